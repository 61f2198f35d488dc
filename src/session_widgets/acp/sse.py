"""Parser of server-sent events, from bytes in pieces of any size."""

from __future__ import annotations

from typing import NamedTuple

from session_widgets.errors import ProtocolError

MAX_EVENT_BYTES = 128 << 20


class ServerSentEvent(NamedTuple):
    """One event: its own `id` (None if it has none), its type, its data lines joined by newlines."""

    id: bytes | None
    event: bytes
    data: bytes


class SseParser:
    """Feed it bytes from a socket; it returns the events that are complete.

    An event cut off by the end of the stream is never returned, as the standard requires: the
    server sends it again after a reconnect.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ended_in_cr = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that end within `chunk`, without comments and events without data.

        Raises:
            ProtocolError: an event grows beyond MAX_EVENT_BYTES.
        """
        buffer = self._buffer
        searched = max(0, len(buffer) - 1)
        buffer += self._with_newlines(chunk)
        end = buffer.rfind(b"\n\n", searched)
        if end < 0:
            if len(buffer) > MAX_EVENT_BYTES:
                raise ProtocolError(f"the runner sent a message of more than {MAX_EVENT_BYTES:,} bytes")
            return []
        complete = bytes(buffer[:end])
        del buffer[: end + 2]
        return [event for block in complete.split(b"\n\n") if (event := _parse(block)) is not None]

    def _with_newlines(self, chunk: bytes) -> bytes:
        """Turn CRLF and CR into LF; a CR at the end of the last chunk already counted."""
        if self._ended_in_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._ended_in_cr = False
        if b"\r" not in chunk:
            return chunk
        self._ended_in_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _parse(block: bytes) -> ServerSentEvent | None:
    id_: bytes | None = None
    event = b"message"
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"id":
            id_ = value.removeprefix(b" ")
        elif name == b"event":
            event = value.removeprefix(b" ")
    return ServerSentEvent(id_, event, b"\n".join(data)) if data else None
