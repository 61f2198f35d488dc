"""Request bodies with limits, and clients that disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import orjson
from starlette.requests import Request

from session_widgets.host.tar_stream import Pieces
from session_widgets.runner.problems import Problem, invalid, over_limit

T = TypeVar("T")

AT_ONCE = 256 << 10
"""Bytes that are collected for a thread: each exchange with the loop costs as much as copying them."""


async def stream_body(request: Request, name: str, limit: int) -> AsyncIterator[bytes]:
    """Yield the body; raise `Problem` 413 as soon as it exceeds the limit called `name`."""
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() else 0
    if size > limit:
        raise over_limit(413, name, limit, f"body of {size} bytes")
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise over_limit(413, name, limit, f"body above {limit} bytes")
        yield chunk


class BlockingBody:
    """A body for a thread that reads it as a file, or its `pieces`. The end of its client is an exception there."""

    def __init__(self, request: Request, name: str, limit: int) -> None:
        self._pieces = stream_body(request, name, limit)
        self._loop = asyncio.get_running_loop()
        self._waiting: Future[bytes | None] | None = None
        self._abandoned = False
        self.pieces = iter(self._wait, None)
        self.read = Pieces(self.pieces).read

    def _wait(self) -> bytes | None:
        self._waiting = asyncio.run_coroutine_threadsafe(self._piece(), self._loop)
        if self._abandoned:
            self._waiting.cancel()
        return self._waiting.result()

    def abandon(self) -> None:
        """Let the thread fail at its next read, or at the one that it waits in."""
        self._abandoned = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _piece(self) -> bytes | None:
        found = bytearray()
        async for piece in self._pieces:
            found += piece
            if len(found) >= AT_ONCE:
                break
        return bytes(found) or None


async def in_thread(function: Callable[[BlockingBody], T], body: BlockingBody) -> T:
    """Call a function in a thread. If the request ends first, so does the thread, before this returns."""
    work = asyncio.ensure_future(asyncio.to_thread(function, body))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        body.abandon()
        await asyncio.wait({work})
        raise


async def read_body(request: Request, name: str, limit: int) -> bytes:
    """Return the whole body, limited by `name`."""
    return b"".join([chunk async for chunk in stream_body(request, name, limit)])


async def read_object(request: Request, name: str, limit: int) -> dict[str, Any]:
    """Return the body as a JSON object; raise `Problem` for any other."""
    return parse_object(await read_body(request, name, limit))


async def read_json_object(request: Request, name: str, limit: int) -> dict[str, Any]:
    """Return the body as a JSON object, for routes that require a JSON content-type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        message = "content-type must be application/json"
        raise Problem(415, "unsupported_media_type", message, details={"message": message})
    return await read_object(request, name, limit)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return `body` as a JSON object; raise `Problem` for any other."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"invalid JSON body: {error}") from error
    if not isinstance(value, dict):
        raise invalid("request body must be a JSON object")
    return value


async def unless_disconnected(request: Request, work: Awaitable[T]) -> T | None:
    """Await `work`, or cancel it and return None if the client disconnects first. The body must have been read."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait({working})
        return None
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
