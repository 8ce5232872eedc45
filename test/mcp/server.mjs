// A server of the TypeScript SDK: server.mjs ADDRESS sessions|stateless. It prints a line for everything that it runs.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { NodeStreamableHTTPServerTransport, toNodeHandler } from "@modelcontextprotocol/node";
import { acceptedContent, completable, createMcpHandler, inputRequired, isInitializeRequest, McpServer } from "@modelcontextprotocol/server";
import { z } from "zod";

const [address, sessions] = process.argv.slice(2);
const [host, port] = address.split(":");
let cancelled = 0;

const ran = (name) => (console.log("ran", name), `did ${name}`);
const said = (text) => ({ content: [{ type: "text", text }] });
const progress = (ctx, step) =>
  ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken: ctx.mcpReq._meta?.progressToken, progress: step } });

function tracker() {
  const server = new McpServer({ name: "tracker", version: "1" });
  const tool = (name, f) => server.registerTool(name, { inputSchema: z.object({}) }, f);
  for (const name of ["read_issue", "delete_issue"]) tool(name, async () => said(ran(name)));
  tool("search_cancelled", async () => said(String(cancelled)));
  tool("search_issues", async (_, ctx) => {
    for (const step of [1, 2, 3]) await progress(ctx, step);
    return said(ran("search_issues"));
  });
  tool("search_slowly", async (_, ctx) => {
    await progress(ctx, 1);
    await new Promise((resolve) => ctx.mcpReq.signal.addEventListener("abort", resolve, { once: true }));
    cancelled++;
    return said("did search_slowly");
  });
  const sure = z.object({ sure: z.boolean() });
  tool("search_private", async (_, ctx) => {
    if (acceptedContent(ctx.mcpReq.inputResponses, "owner", sure)?.sure) return said(ran("search_private"));
    return inputRequired({ inputRequests: { owner: inputRequired.elicit({ message: "Sure?", requestedSchema: sure }) } });
  });
  for (const uri of ["issue://OPEN/1", "issue://OPEN/draft"]) {
    server.registerResource(uri, uri, {}, async () => ({ contents: [{ uri, text: ran(uri) }] }));
  }
  const got = (name) => () => ({ messages: [{ role: "user", content: { type: "text", text: ran(name) } }] });
  server.registerPrompt("triage", {}, got("triage"));
  server.registerPrompt("wipe", { argsSchema: z.object({ a: completable(z.string(), () => (ran("complete"), ["1"])) }) }, got("wipe"));
  return server;
}

const transports = new Map();
async function withSessions(req, res) {
  let transport = transports.get(req.headers["mcp-session-id"]);
  if (!transport) {
    transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => transports.set(id, transport),
    });
    await tracker().connect(transport);
  }
  await transport.handleRequest(req, res);
}

createServer(sessions === "sessions" ? withSessions : toNodeHandler(createMcpHandler(tracker))).listen(Number(port), host);
