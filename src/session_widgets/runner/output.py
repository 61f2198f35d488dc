"""Output of a process: numbered, limited, readable from any position by any number of readers."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections import deque
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One piece of output; `stream` is stdout, stderr or pty."""

    sequence: int
    stream: str
    timestamp_ms: int
    data: bytes

    def json(self) -> dict[str, Any]:
        """Return sandbox-agent's record."""
        return {
            "sequence": self.sequence,
            "stream": self.stream,
            "timestampMs": self.timestamp_ms,
            "data": b64encode(self.data).decode(),
            "encoding": "base64",
        }


class Output:
    """A ring of entries; a reader slower than the ring sees a gap in the numbers."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._last = 0
        self._readers: set[asyncio.Event] = set()
        self.ended = False

    def add(self, stream: str, data: bytes) -> None:
        """Append `data`, dropping the oldest entries above the limit."""
        self._last += 1
        self._entries.append(Entry(self._last, stream, time.time_ns() // 1_000_000, data))
        self._bytes += len(data)
        while self._bytes > self._max_bytes and len(self._entries) > 1:
            self._bytes -= len(self._entries.popleft().data)
        self._wake()

    def end(self) -> None:
        """End the output."""
        self.ended = True
        self._wake()

    def after(self, sequence: int) -> list[Entry]:
        """Return the entries after a number."""
        newer = self._last - max(sequence, self._last - len(self._entries))
        return [self._entries[index] for index in range(len(self._entries) - newer, len(self._entries))]

    def subscribe(self) -> asyncio.Event:
        """Return an event that is set at every addition; `unsubscribe` it."""
        event = asyncio.Event()
        self._readers.add(event)
        return event

    def unsubscribe(self, event: asyncio.Event) -> None:
        """Remove an event."""
        self._readers.discard(event)

    def _wake(self) -> None:
        for event in self._readers:
            event.set()
