"""A small MCP client: one tool of the session's servers, called in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Self

import orjson

from session_widgets.demo.wire import LINE_LIMIT

PROTOCOL = "2025-06-18"
START_SECONDS = 30

Json = dict[str, Any]


class McpFailed(ValueError):
    """No server has the tool, or a server does not do as MCP says."""


class McpServer:
    """A stdio server as an async context manager; leaving it ends the process group."""

    def __init__(self, server: Mapping[str, Any], cwd: str) -> None:
        self._server = server
        self._cwd = cwd
        self._last_id = 0

    async def __aenter__(self) -> Self:
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._server["command"],
                *self._server.get("args", ()),
                cwd=self._cwd,
                env={**os.environ, **{pair["name"]: pair["value"] for pair in self._server.get("env", ())}},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                process_group=0,
                limit=LINE_LIMIT,
            )
        except OSError as error:
            raise McpFailed(f"the MCP server {self._server['name']} does not start: {error}") from error
        try:
            async with asyncio.timeout(START_SECONDS):
                client = {"name": "session-widgets-demo", "version": "1"}
                await self.ask("initialize", protocolVersion=PROTOCOL, capabilities={}, clientInfo=client)
                await self._send({"method": "notifications/initialized"})
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def tools(self) -> list[str]:
        """Return the names of its tools."""
        return [tool["name"] for tool in (await self.ask("tools/list"))["tools"]]

    async def ask(self, method: str, **params: Any) -> Json:
        """Return the result of a request; raise `McpFailed` for an error. Cancelling it says so to the server."""
        self._last_id += 1
        id_ = self._last_id
        try:
            await self._send({"id": id_, "method": method, "params": params})
            return await self._answer(id_)
        except asyncio.CancelledError:
            with contextlib.suppress(McpFailed):
                await self._send({"method": "notifications/cancelled", "params": {"requestId": id_}})
            raise

    async def _send(self, message: Json) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(orjson.dumps({"jsonrpc": "2.0", **message}) + b"\n")
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise McpFailed(f"the MCP server {self._server['name']} has ended") from error

    async def _answer(self, id_: int) -> Json:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = orjson.loads(line)
            if message.get("id") != id_ or "method" in message:
                continue
            if "error" in message:
                raise McpFailed(f"the MCP server {self._server['name']} refuses: {message['error'].get('message')}")
            result: Json = message["result"]
            return result
        raise McpFailed(f"the MCP server {self._server['name']} has ended")


async def call_tool(servers: Sequence[Mapping[str, Any]], cwd: str, name: str, arguments: Json) -> Json:
    """Return MCP's result of the tool `name`, of the first server that has it."""
    for server in servers:
        if "command" not in server:
            continue
        async with McpServer(server, cwd) as running:
            if name in await running.tools():
                return await running.ask("tools/call", name=name, arguments=arguments)
    raise McpFailed(f"no MCP server of this session has a tool {name!r:.80}")
