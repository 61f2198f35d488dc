"""JSON lines over stdin and stdout, as the official library's `Transport`.

The library's own stdio transport drops a line that is not JSON, and a message of the wrong shape ends its
receive loop. This one answers both with a JSON-RPC error, and writes with orjson: a flood is bound by the pipe.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson
from acp.exceptions import RequestError

LINE_LIMIT = 64 * 2**20  # bytes of one incoming line


class StdioTransport:
    """Messages over this process's stdin and stdout; make it with `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls) -> StdioTransport:
        """Take over stdin and stdout, which must be pipes, sockets or a terminal."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), sys.stdout
        )
        return cls(reader, asyncio.StreamWriter(transport, protocol, None, loop))

    async def send(self, message: dict[str, Any]) -> None:
        """Write one message; waits while the pipe is full."""
        self._writer.write(orjson.dumps(message, default=str) + b"\n")
        await self._writer.drain()

    async def receive(self) -> dict[str, Any] | None:
        """Return the next well-formed message, or None at the end of input."""
        while True:
            try:
                line = await self._reader.readline()
            except ValueError:
                await self._refuse(None, RequestError.parse_error({"details": f"a line exceeds {LINE_LIMIT} bytes"}))
                continue
            if not line:
                return None
            if not line.strip():
                continue
            try:
                message = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                await self._refuse(None, RequestError.parse_error({"details": str(error)}))
                continue
            if problem := _problem(message):
                id_ = message.get("id") if isinstance(message, dict) else None
                await self._refuse(id_, RequestError.invalid_request({"details": problem}))
                continue
            return message  # type: ignore[no-any-return]  # _problem has checked that it is an object

    async def close(self) -> None:
        """Close stdout."""
        self._writer.close()

    async def _refuse(self, id_: object, error: RequestError) -> None:
        usable = id_ if isinstance(id_, str | int) else None
        await self.send({"jsonrpc": "2.0", "id": usable, "error": error.to_error_obj()})


def _problem(message: object) -> str | None:
    if not isinstance(message, dict):
        return "a message is one JSON object"
    if not isinstance(message.get("id"), str | int | None):
        return "id must be a string or an integer"
    if "method" in message:
        return None if isinstance(message["method"], str) else "method must be a string"
    if "id" not in message:
        return "neither method nor id"
    if not isinstance(message.get("error"), dict | None):
        return "error must be an object"
    return None
