"""A server of the Python SDK: server.py ADDRESS sessions|stateless. It prints a line for everything that it runs."""
import sys
from typing import Annotated

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp_types import Completion
from pydantic import BaseModel

server = MCPServer("tracker")
cancelled = 0


def ran(name):
    print("ran", name, flush=True)
    return "did " + name


def plain(name):
    def tool() -> str:
        return ran(name)

    server.add_tool(tool, name=name)


plain("read_issue")
plain("delete_issue")


@server.tool()
async def search_issues(ctx: Context) -> str:
    for step in range(3):
        await ctx.report_progress(step + 1)
    return ran("search_issues")


@server.tool()
async def search_slowly(ctx: Context) -> str:
    global cancelled
    await ctx.report_progress(1)
    try:
        await anyio.sleep(30)
    except anyio.get_cancelled_exc_class():
        cancelled += 1
        raise
    return ran("search_slowly")


@server.tool()
def search_cancelled() -> str:
    return str(cancelled)


class Sure(BaseModel):
    sure: bool


def owner() -> Elicit[Sure]:
    return Elicit("Sure?", Sure)


@server.tool()
def search_private(answer: Annotated[Sure, Resolve(owner)]) -> str:
    return ran("search_private")


@server.resource("issue://{project}/{number}")
def issue(project: str, number: str) -> str:
    return ran(f"issue://{project}/{number}")


def prompt(name):
    @server.prompt(name)
    def text() -> str:
        return ran(name)


prompt("triage")
prompt("wipe")


@server.completion()
async def complete(ref, argument, context):
    ran("complete")
    return Completion(values=["1"])


host, port = sys.argv[1].split(":")
app = server.streamable_http_app(stateless_http=sys.argv[2] == "stateless")
uvicorn.run(app, host=host, port=int(port), log_level="error")
