"""An MCP server made of the OpenAPI document, and a client. Arguments: document, URL, token.

It lists, creates and changes, and prints the name and the description of every tool.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx2
from fastmcp import Client, FastMCP
from fastmcp.server.providers.openapi import MCPType, RouteMap


async def main(document: str, url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    api = httpx2.AsyncClient(base_url=url, headers=headers)
    no_head = RouteMap(methods=["HEAD"], mcp_type=MCPType.EXCLUDE)
    server = FastMCP.from_openapi(
        json.loads(Path(document).read_text()), client=api, route_maps=[no_head]
    )
    async with Client(server) as client:
        tools = await client.list_tools()
        created = await call(client, "createIngredient", {"name": "Rue"})
        listed = await call(client, "listIngredients", {"name": "Rue", "limit": 2})
        etag = (await api.head(f"/api/v2/ingredients/{created['pk']}")).headers["ETag"]
        # `pk` is also a field of the body: fastmcp renames the parameter of the path.
        arguments = {"pk__path": created["pk"], "If-Match": etag, "description": "Bitter."}
        changed = await call(client, "updateIngredient", arguments)
    print(
        json.dumps(
            {
                "tools": {tool.name: tool.description for tool in tools},
                "listed": [row["pk"] for row in listed["result"]] == [created["pk"]],
                "changed": changed["description"],
            }
        )
    )


async def call(client: Any, name: str, arguments: dict[str, Any]) -> Any:
    return (await client.call_tool(name, arguments)).structured_content


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
