"""Server-sent events: frames, and a response with heartbeats."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": heartbeat\n\n"


def frame(event: str, data: bytes, number: int | None = None) -> bytes:
    """Return one event; `data` must be a single line."""
    name = f"id: {number}\n".encode() if number is not None else b""
    return b"event: " + event.encode() + b"\n" + name + b"data: " + data + b"\n\n"


def frames(first: int, lines: list[bytes]) -> bytes:
    """Return `message` events numbered from `first`, ready for one write."""
    return b"".join([b"event: message\nid: %d\ndata: %s\n\n" % item for item in enumerate(lines, first)])


def event_stream(content: AsyncIterator[bytes]) -> StreamingResponse:
    """Return a response that streams `content`."""
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(content, media_type="text/event-stream", headers=headers)
