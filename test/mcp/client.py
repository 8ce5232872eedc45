"""A client of the Python SDK: client.py URL TOKEN prints what becomes of each call."""
import asyncio
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main(url, token):
    async with httpx2.AsyncClient(headers={"Authorization": "Bearer " + token}, timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            print("tools", len((await client.list_tools()).tools))
            for name in ("read_issue", "delete_issue", "read_issue"):
                try:
                    print(name, "answered:", (await client.call_tool(name, {})).content[0].text)
                except Exception as error:
                    print(name, "refused:", error)


asyncio.run(main(*sys.argv[1:]))
