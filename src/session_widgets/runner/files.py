"""`/v1/fs/file`: streamed reads and writes."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from typing import NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from session_widgets.runner.bodies import stream_body
from session_widgets.runner.jail import Jail
from session_widgets.runner.limits import Limits
from session_widgets.runner.problems import Problem
from session_widgets.runner.queries import required
from session_widgets.runner.writing import Upload, etag

CHUNK = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Span(NamedTuple):
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int


class Files:
    """The content of files."""

    def __init__(self, jail: Jail, limits: Limits) -> None:
        self._jail = jail
        self._limits = limits

    async def read(self, request: Request) -> Response:
        """Send a file or its `Range`."""
        fd, info = await asyncio.to_thread(self._open, required(request, "path"))
        try:
            tag = etag(info)
            headers = {"etag": tag, "accept-ranges": "bytes", "x-content-type-options": "nosniff"}
            if request.headers.get("if-none-match") == tag:
                os.close(fd)
                return Response(status_code=304, headers=headers)
            span = _span(request, info.st_size, tag)
            whole = span is None
            start, end = span or Span(0, info.st_size)
            content = None
            if request.method != "HEAD" and end - start <= CHUNK:  # the stated length is then that of what was read
                content = await asyncio.to_thread(_read, fd, start, end)
                end = start + len(content)
                if span is not None and not content:
                    raise Problem(416, "range_not_satisfiable", "the file became shorter", size=start)
            headers["content-length"] = str(end - start)
            if not whole:
                headers["content-range"] = f"bytes {start}-{end - 1}/{info.st_size}"
            if request.method == "HEAD":
                start = end
        except BaseException:
            os.close(fd)
            raise
        status = 200 if whole else 206
        if content is not None:
            os.close(fd)
            return Response(content, status, headers, media_type="application/octet-stream")
        return StreamingResponse(_chunks(fd, start, end), status, headers, media_type="application/octet-stream")

    async def write(self, request: Request) -> Response:
        """Write the body to a file atomically; missing directories are created."""
        upload = await asyncio.to_thread(Upload, self._jail, required(request, "path"))
        try:
            pending = bytearray()
            async for chunk in stream_body(request, "max_file_bytes", self._limits.max_file_bytes):
                pending += chunk
                if len(pending) >= CHUNK:
                    await asyncio.to_thread(upload.write, bytes(pending))
                    pending.clear()
            if pending:
                await asyncio.to_thread(upload.write, bytes(pending))
            headers = request.headers
            conditions = headers.get("if-match"), headers.get("if-none-match")
            path, tag = await asyncio.to_thread(upload.finish, *conditions)
        finally:
            upload.discard()
        body = orjson.dumps({"path": path, "bytesWritten": upload.size, "etag": tag})
        return Response(body, media_type="application/json", headers={"etag": tag})

    def _open(self, path: str) -> tuple[int, os.stat_result]:
        with self._jail.locate(path) as place:
            return place.open_file()


def _read(fd: int, start: int, end: int) -> bytes:
    found = bytearray()
    while start + len(found) < end and (piece := os.pread(fd, end - start - len(found), start + len(found))):
        found += piece
    return bytes(found)


async def _chunks(fd: int, start: int, end: int) -> AsyncIterator[bytes]:
    """Yield the bytes of a span and close the file; if the file shrinks meanwhile, the connection is closed."""
    try:
        while start < end:
            chunk = await asyncio.to_thread(os.pread, fd, min(CHUNK, end - start), start)
            if not chunk:
                return
            start += len(chunk)
            yield chunk
    finally:
        os.close(fd)


def _span(request: Request, size: int, tag: str) -> Span | None:
    """Return the span of a single `Range`, None for the whole file; several ranges are ignored."""
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if not match or match.group() == "bytes=-" or request.headers.get("if-range", tag) != tag:
        return None
    first, last = match.groups()
    if first:
        span = Span(int(first), min(int(last) + 1, size) if last else size)
        reversed_ = bool(last) and int(last) < int(first)
    else:
        span = Span(max(0, size - int(last)), size)
        reversed_ = False
    if reversed_:
        return None
    if span.start >= span.end:
        raise Problem(416, "range_not_satisfiable", f"the file has {size} bytes", size=size)
    return span
