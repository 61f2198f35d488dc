"""What happens to the connections that lead into a box, beside being cut: silence, repetition, an outage."""

from __future__ import annotations

import asyncio

from tests.standins.network import pump

STREAM = b"text/event-stream"


class Line:
    """The network between a box and everybody else.

    Attributes:
        stalled: how many streams have become silent.
        repeated: how many pieces of streams were sent twice.
    """

    def __init__(self) -> None:
        self.stalled = 0
        self.repeated = 0
        self._works = asyncio.Event()
        self._works.set()
        self._streams: set[_Stream] = set()
        self._to_stall = 0
        self._repeats = False

    @property
    def seen(self) -> dict[str, int]:
        """The numbers, and how many streams are `open`."""
        return {"open": len(self._streams), "stalled": self.stalled, "repeated": self.repeated}

    def stall(self) -> None:
        """Let the open streams say nothing more, and the next one nothing after its headers; none is closed."""
        for stream in self._streams:
            stream.silent = True
        self.stalled += len(self._streams)
        self._to_stall = 1

    def repeat(self) -> None:
        """Send every event twice from now on."""
        self._repeats = True

    def unplug(self) -> None:
        """Let nothing pass, in either direction, on old connections and new ones."""
        self._works.clear()

    def plug(self) -> None:
        """End an outage: what was held goes on."""
        self._works.set()

    async def inwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry requests."""
        await pump(reader, writer, self._pass)

    async def outwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry answers."""
        stream = _Stream()
        try:
            await pump(reader, writer, lambda piece: self._answer(stream, piece))
        finally:
            self._streams.discard(stream)

    async def _pass(self, piece: bytes) -> bytes:
        await self._works.wait()
        return piece

    async def _answer(self, stream: _Stream, piece: bytes) -> bytes:
        await self._works.wait()
        if stream.silent:
            return b""
        if stream not in self._streams:
            head, end, _ = piece.partition(b"\r\n\r\n")
            if STREAM not in head:
                return piece
            self._streams.add(stream)
            if self._to_stall:
                self._to_stall -= 1
                self.stalled += 1
                stream.silent = True
                return head + end
        elif self._repeats and _is_whole(piece):
            self.repeated += 1
            return piece * 2
        return piece


class _Stream:
    """An answer that goes on: a stream of events."""

    silent = False


def _is_whole(piece: bytes) -> bool:
    """Whether it consists of chunks of HTTP, each of them whole."""
    while piece:
        size, _, rest = piece.partition(b"\r\n")
        try:
            end = int(size, 16) + 2
        except ValueError:
            return False
        if len(rest) < end or end == 2:
            return False
        piece = rest[end:]
    return True
