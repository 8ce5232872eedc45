// Clients of both TypeScript SDKs: client.mjs client|auto|sdk URL TOKEN prints what becomes of each call.
const [kind, url, token] = process.argv.slice(2);
const from = kind === "sdk" ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client";
const transports = kind === "sdk" ? "@modelcontextprotocol/sdk/client/streamableHttp.js" : from;
const { Client } = await import(from);
const { StreamableHTTPClientTransport } = await import(transports);

const options = kind === "auto" ? { versionNegotiation: { mode: "auto" } } : {};
const client = new Client({ name: kind, version: "1" }, options);
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } }));
console.log("tools", (await client.listTools()).tools.length);
for (const name of ["read_issue", "delete_issue", "read_issue"]) {
  try {
    console.log(name, "answered:", (await client.callTool({ name, arguments: {} })).content[0].text);
  } catch (error) {
    console.log(name, "refused:", error.message);
  }
}
await client.close();
