"""Asks an MCP server as an agent does, with the official Python SDK.

    mcp_client.py MODE CALLS http URL TOKEN
    mcp_client.py MODE CALLS stdio COMMAND ARGUMENT...

MODE is `legacy` (initialize) or `auto` (the newest protocol). CALLS is a JSON list of [tool, arguments]; a tool `resource`
reads the resource `uri` of its arguments. Each structured answer is checked against the schema that its tool declares.
Prints what came of it as JSON.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import httpx2
import jsonschema
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def called(client, schemas, tool, arguments):
    try:
        if tool == "resource":
            return {"contents": plain(await client.read_resource(arguments["uri"]))["contents"]}
        result = plain(await client.call_tool(tool, arguments))
    except Exception as error:  # what the server refused is an answer too
        return {"refused": f"{type(error).__name__}: {error}"}
    texts = [block["text"] for block in result["content"] if block["type"] == "text"]
    images = [block for block in result["content"] if block["type"] == "image"]
    structured = result.get("structuredContent")
    if not result.get("isError"):
        jsonschema.Draft202012Validator(schemas[tool]).validate(structured)
        assert json.loads(texts[0]) == structured, "the text is not what is structured"
    return {"error": result.get("isError", False), "structured": structured, "texts": texts, "images": images}


async def main():
    mode, calls, kind, *where = sys.argv[1:]
    async with AsyncExitStack() as stack:
        if kind == "http":
            url, token = where
            http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)
            server = streamable_http_client(url, http_client=await stack.enter_async_context(http))
        else:
            server = StdioServerParameters(command=where[0], args=where[1:])
        client = await stack.enter_async_context(Client(server, mode=mode))
        tools = (await client.list_tools()).tools
        for tool in tools:
            jsonschema.Draft202012Validator.check_schema(tool.input_schema)
            jsonschema.Draft202012Validator.check_schema(tool.output_schema)
        schemas = {tool.name: tool.output_schema for tool in tools}
        answers = [await called(client, schemas, tool, arguments) for tool, arguments in json.loads(calls)]
        resources = []
        if client.server_capabilities.resources:
            resources = [str(resource.uri) for resource in (await client.list_resources()).resources]
        report = {
            "version": client.protocol_version,
            "server": plain(client.server_info),
            "instructions": client.instructions,
            "tools": {tool.name: plain(tool) for tool in tools},
            "resources": resources,
            "answers": answers,
        }
    print(json.dumps(report))


asyncio.run(main())
