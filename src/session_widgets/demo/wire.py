"""JSON lines over stdin and stdout. An invalid message is answered with a JSON-RPC error, and ends nothing."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from typing import IO

import orjson

from session_widgets.demo.jsonrpc import Json, RequestError

LINE_LIMIT = 64 * 2**20  # bytes of one incoming line


class StdioTransport:
    """Messages over this process's stdin and stdout; make it with `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls) -> StdioTransport:
        """Take over stdin and stdout.

        Raises:
            OSError: one of them is no pipe, socket or terminal; on others nothing can be waited for.
        """
        _check_stream("stdin", sys.stdin)
        _check_stream("stdout", sys.stdout)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), sys.stdout
        )
        return cls(reader, asyncio.StreamWriter(transport, protocol, None, loop))

    async def send(self, message: Json) -> None:
        """Write one message; waits while the pipe is full, so a flood is bound by it."""
        if self._writer.is_closing():
            raise ConnectionError("the client is gone")
        self._writer.write(orjson.dumps(message) + b"\n")
        await self._writer.drain()

    async def receive(self) -> Json | None:
        """Return the next well-formed message, or None at the end of input."""
        while True:
            try:
                line = await self._reader.readline()
            except ValueError:
                await self._refuse(None, RequestError.parse_error(f"a line exceeds {LINE_LIMIT} bytes"))
                continue
            if not line:
                return None
            if not line.strip():
                continue
            try:
                message = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                await self._refuse(None, RequestError.parse_error(str(error)))
                continue
            if problem := _problem(message):
                id_ = message.get("id") if isinstance(message, dict) else None
                await self._refuse(id_, RequestError.invalid_request(problem))
                continue
            return message  # type: ignore[no-any-return]  # an object, says _problem

    def close(self) -> None:
        """Close stdout once it has taken what was sent."""
        self._writer.close()

    async def _refuse(self, id_: object, error: RequestError) -> None:
        usable = id_ if isinstance(id_, str | int) else None
        await self.send({"jsonrpc": "2.0", "id": usable, "error": error.as_json()})


def _check_stream(name: str, stream: IO[str]) -> None:
    mode = os.fstat(stream.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()):
        raise OSError(f"{name} is no pipe, socket or terminal; an ACP client connects to both ends")


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
