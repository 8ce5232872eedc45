"""A client of the Python SDK: client.py URL TOKEN prints what becomes of each request."""
import asyncio
import sys
import time

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult, PromptReference


PATIENCE = 10  # seconds until the server must know that a call was cancelled


async def say(name, request):
    try:
        print(name, "answered:", await request)
    except Exception as error:
        print(name, "refused:", error)


async def accept(context, params):
    return ElicitResult(action="accept", content={"sure": True})


class User:
    def __init__(self, client):
        self.client = client
        self.steps = []
        self.begun = asyncio.Event()

    async def step(self, name, progress):
        self.steps.append(name)
        self.begun.set()

    async def text(self, name):
        async def step(progress, total, message):
            await self.step(name, progress)

        return (await self.client.call_tool(name, {}, progress_callback=step)).content[0].text

    async def tools(self):
        return len((await self.client.list_tools()).tools)

    async def resource(self, uri):
        return (await self.client.read_resource(uri)).contents[0].text

    async def prompt(self, name):
        return (await self.client.get_prompt(name)).messages[0].content.text

    async def complete(self):
        await self.client.complete(PromptReference(name="wipe"), {"name": "a", "value": "1"})
        return "did complete"

    async def give_up(self):
        before = await self.text("search_cancelled")
        self.begun.clear()
        call = asyncio.create_task(self.text("search_slowly"))
        await self.begun.wait()
        call.cancel()
        await asyncio.wait([call])
        print("search_slowly cancelled:", str(call.cancelled()).lower())
        knows, end = False, time.monotonic() + PATIENCE
        while not knows and time.monotonic() < end:
            knows = await self.text("search_cancelled") != before
        print("the server knows:", str(knows).lower())


async def main(url, token):
    async with httpx2.AsyncClient(headers={"Authorization": "Bearer " + token}, timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http), elicitation_callback=accept) as client:
            user = User(client)
            await say("tools", user.tools())
            for name in ("read_issue", "delete_issue", "read_issue", "search_issues"):
                await say(name, user.text(name))
            while len(user.steps) < 3:
                await asyncio.sleep(0)
            print("steps", *user.steps)
            for uri in ("issue://OPEN/1", "issue://OPEN/draft"):
                await say(uri, user.resource(uri))
            for name in ("triage", "wipe"):
                await say(name, user.prompt(name))
            await say("complete", user.complete())
            await user.give_up()
            for name in ("read_issue", "search_private", "read_issue"):
                await say(name, user.text(name))


asyncio.run(main(*sys.argv[1:]))
