'use strict';

const lookups = (process.env.LOOKUPS || '').split(',').filter(Boolean);

/** A value as the report has it: a string, or JSON for what is nested. */
const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value) ?? 'undefined');

/** Parameters by name, with a list of values each. */
function parameters(object) {
  if (!object || typeof object !== 'object' || Array.isArray(object)) return undefined;
  return Object.fromEntries(Object.entries(object).map(([name, value]) =>
    [name, (Array.isArray(value) ? value : [value]).map(text)]));
}

/** What both frameworks share: the headers of Node's request. */
function headers(raw, get) {
  const all = {};
  for (let i = 0; i + 1 < raw.rawHeaders.length; i += 2) (all[raw.rawHeaders[i]] ??= []).push(raw.rawHeaders[i + 1]);
  const lookup = {};
  for (const name of lookups) {
    const value = get(name);
    if (value !== undefined) lookup[name] = [].concat(value).map(String);
  }
  return { headers: all, lookup };
}

/** The path decoded once, or as it came where it can't be. */
function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

const isForm = (type) => /^(application\/x-www-form-urlencoded|multipart\/form-data)/i.test(type || '');

module.exports = { parameters, headers, decoded, isForm };
