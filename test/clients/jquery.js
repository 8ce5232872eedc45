// Runs a snippet in a page with a jQuery: node jquery.js jquery3 SNIPPET. The page asks
// for the token's value, as it does a user.
const fs = require("fs");
const { JSDOM } = require("jsdom");

const [, , version, file] = process.argv;
const url = process.env.PAGE_URL;
const page = new JSDOM("<!doctype html><p>", { url, runScripts: "outside-only" });
page.window.prompt = () => process.env.PATGATE_TOKEN;
page.window.TextEncoder = TextEncoder;
page.window.console.log = (...texts) => console.log(...texts);
page.window.console.error = (...texts) => {
  console.error(...texts);
  process.exitCode = 1;
};
page.window.eval(fs.readFileSync(require.resolve(version), "utf8"));
page.window.eval(fs.readFileSync(file, "utf8"));
