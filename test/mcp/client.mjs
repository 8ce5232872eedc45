// Clients of both TypeScript SDKs: client.mjs client|auto|sdk URL TOKEN prints what becomes of each request.
const [kind, url, token] = process.argv.slice(2);
const from = kind === "sdk" ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client";
const transports = kind === "sdk" ? "@modelcontextprotocol/sdk/client/streamableHttp.js" : from;
const { Client } = await import(from);
const { StreamableHTTPClientTransport } = await import(transports);
const elicitation = kind === "sdk" ? (await import("@modelcontextprotocol/sdk/types.js")).ElicitRequestSchema : "elicitation/create";

const options = { capabilities: { elicitation: {} }, ...(kind === "auto" && { versionNegotiation: { mode: "auto" } }) };
const client = new Client({ name: kind, version: "1" }, options);
client.setRequestHandler(elicitation, () => ({ action: "accept", content: { sure: true } }));
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } });
await client.connect(transport);

async function say(name, request) {
  try {
    console.log(name, "answered:", await request());
  } catch (error) {
    console.log(name, "refused:", error.message.replaceAll(/\s+/g, " "));
  }
}

// The second argument of v1 is the schema of the result.
const text = async (name, options) => {
  const params = { name, arguments: {} };
  const out = kind === "sdk" ? await client.callTool(params, undefined, options) : await client.callTool(params, options);
  return out.content[0].text;
};
const call = (name, options) => say(name, () => text(name, options));

await say("tools", async () => (await client.listTools()).tools.length);
for (const name of ["read_issue", "delete_issue", "read_issue"]) await call(name);
const steps = [];
await call("search_issues", { onprogress: () => steps.push("search_issues") });
console.log("steps", ...steps);
for (const uri of ["issue://OPEN/1", "issue://OPEN/draft"]) await say(uri, async () => (await client.readResource({ uri })).contents[0].text);
for (const name of ["triage", "wipe"]) await say(name, async () => (await client.getPrompt({ name })).messages[0].content.text);
await say("complete", async () => {
  await client.complete({ ref: { type: "ref/prompt", name: "wipe" }, argument: { name: "a", value: "1" } });
  return "did complete";
});

const before = await text("search_cancelled");
const controller = new AbortController();
let gaveUp = false;
try {
  await text("search_slowly", { signal: controller.signal, onprogress: () => controller.abort("enough") });
} catch {
  gaveUp = controller.signal.aborted;
}
console.log("search_slowly cancelled:", gaveUp);
// Without a session and before 2026-07-28, nothing tells the server which call is meant.
const tells = kind === "auto" || transport.sessionId !== undefined;
let knows = false;
for (const end = Date.now() + 10_000; tells && !knows && Date.now() < end; ) knows = (await text("search_cancelled")) !== before;
console.log("the server knows:", knows);

for (const name of ["read_issue", "search_private", "read_issue"]) await call(name);
await client.close();
