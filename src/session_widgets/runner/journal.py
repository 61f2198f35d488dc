"""The messages of one agent, numbered and on disk.

A journal is a directory of segments. A segment is named by the id of its first line and holds one envelope a
line, so ids are dense by construction and every reader, fast or slow, reads from the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from bisect import bisect_right
from pathlib import Path

SEGMENT_BYTES = 8 << 20
READ_BYTES = 256 << 10
APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND


class JournalError(Exception):
    """The journal can no longer be written; the message has the reason."""


class Trimmed(Exception):
    """The requested ids were acknowledged and deleted."""


class Ahead(Exception):
    """The requested id does not exist yet."""


class Journal:
    """Append-only lines with ids 1, 2, 3, ...; opens the existing segments of the directory."""

    def __init__(self, directory: Path, *, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._unsynced: list[int] = []
        self._syncing = asyncio.Lock()
        self._synced = 0
        self._readers: set[asyncio.Event] = set()
        self.ended = False
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.segments = sorted(int(path.stem) for path in directory.glob("*.jsonl")) or [1]
        self._kept_bytes = sum(self.path(first).stat().st_size for first in self.segments[:-1])
        self._fd, self._size, self.last_id = self._open_last()

    def path(self, first: int) -> Path:
        """Return the file of the segment that starts with id `first`."""
        return self.directory / f"{first:016d}.jsonl"

    @property
    def first_id(self) -> int:
        """The oldest id that can still be read, if any."""
        return self.segments[0]

    def append(self, lines: list[bytes]) -> int:
        """Append `lines` (each without a newline) and return the id of the first.

        Raises:
            JournalError: the disk or the journal is full; none of `lines` was kept.
        """
        data = b"\n".join(lines) + b"\n"
        if self._kept_bytes + self._size + len(data) > self._max_bytes:
            raise JournalError(
                f"the journal is full; acknowledge events or raise the limit maxJournalBytes ({self._max_bytes})"
            )
        try:
            if self._size >= self._segment_bytes:
                self._rotate()
            self._write(data)
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise JournalError(f"the journal cannot be written: {error.strerror}") from error
        self._size += len(data)
        first = self.last_id + 1
        self.last_id += len(lines)
        self._wake()
        return first

    def reader(self, after: int) -> JournalReader:
        """Return a reader that starts after id `after`.

        Raises:
            Trimmed: ids after `after` are deleted.
            Ahead: `after` is not in the journal yet.
        """
        if after > self.last_id:
            raise Ahead
        return JournalReader(self, after, self._readers)

    def line(self, number: int) -> bytes | None:
        """Return one line, or None if it was trimmed."""
        try:
            reader = self.reader(number - 1)
        except Trimmed:
            return None
        try:
            return reader.read()[1][0]
        finally:
            reader.close()

    def trim(self, upto: int) -> None:
        """Delete the segments that contain only ids up to `upto`."""
        while len(self.segments) > 1 and self.segments[1] <= upto + 1:
            path = self.path(self.segments.pop(0))
            self._kept_bytes -= path.stat().st_size
            path.unlink()

    async def sync(self) -> None:
        """Return once all appended lines are on disk."""
        async with self._syncing:
            if self._synced == self.last_id:
                return
            upto, rotated, self._unsynced = self.last_id, self._unsynced, []
            await asyncio.to_thread(_fsync_all, [*rotated, self._fd], self.directory)
            for fd in rotated:
                os.close(fd)
            self._synced = upto

    def end_readers(self) -> None:
        """End every reader: no line will follow."""
        self.ended = True
        self._wake()

    async def close(self) -> None:
        """Sync, end all readers and close the files."""
        if self._fd >= 0:
            self.end_readers()
            with contextlib.suppress(OSError):
                await self.sync()
            os.close(self._fd)
            self._fd = -1

    async def remove(self) -> None:
        """Close, and delete the directory."""
        await self.close()
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)

    def _open_last(self) -> tuple[int, int, int]:
        """Open the last segment without an incomplete last line; return its file, its size and the last id."""
        first = self.segments[-1]
        path = self.path(first)
        fd = os.open(path, APPEND, 0o600)
        data = path.read_bytes()
        size = data.rfind(b"\n") + 1
        os.ftruncate(fd, size)
        return fd, size, first - 1 + data.count(b"\n")

    def _rotate(self) -> None:
        first = self.last_id + 1
        fd = os.open(self.path(first), APPEND, 0o600)
        self._unsynced.append(self._fd)
        self._fd = fd
        self._kept_bytes += self._size
        self._size = 0
        self.segments.append(first)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def _wake(self) -> None:
        for event in self._readers:
            event.set()


class JournalReader:
    """Reads a journal in order, at any distance from the end; holds one file open and nothing in memory."""

    def __init__(self, journal: Journal, after: int, wakers: set[asyncio.Event]) -> None:
        self._journal = journal
        self._wakers = wakers
        self._news = asyncio.Event()
        self._next = after + 1
        if self._next < journal.first_id:
            raise Trimmed
        self._segment = journal.segments[bisect_right(journal.segments, self._next) - 1]
        self._fd = os.open(journal.path(self._segment), os.O_RDONLY)
        self._offset = self._skip(self._next - self._segment)
        wakers.add(self._news)

    def read(self, size: int = READ_BYTES) -> tuple[int, list[bytes]]:
        """Return the next lines and the id of the first; no lines at the end of the journal.

        Args:
            size: bytes to read at once; a longer line is read completely.

        Raises:
            Trimmed: the reader fell behind an acknowledgement.
        """
        while True:
            self._news.clear()
            chunk = os.pread(self._fd, size, self._offset)
            end = chunk.rfind(b"\n") + 1
            if end:
                lines = chunk[: end - 1].split(b"\n")
                first = self._next
                self._next += len(lines)
                self._offset += end
                return first, lines
            if chunk:
                size *= 4
            elif not self._next_segment():
                return self._next, []

    async def wait(self, seconds: float) -> bool:
        """Wait for more lines or the end of the journal; False if neither came within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        self._wakers.discard(self._news)
        os.close(self._fd)

    def _next_segment(self) -> bool:
        segments = self._journal.segments
        if segments[-1] == self._segment:
            return False
        if self._next < segments[0]:
            raise Trimmed
        fd = os.open(self._journal.path(self._next), os.O_RDONLY)
        os.close(self._fd)
        self._fd, self._segment, self._offset = fd, self._next, 0
        return True

    def _skip(self, lines: int) -> int:
        """Return the offset after the first `lines` lines of the segment."""
        offset = 0
        while lines:
            chunk = os.pread(self._fd, READ_BYTES, offset)
            found = chunk.count(b"\n")
            if found < lines:
                lines -= found
                offset += len(chunk)
                continue
            end = 0
            for _ in range(lines):
                end = chunk.index(b"\n", end) + 1
            return offset + end
        return offset


def _fsync_all(fds: list[int], directory: Path) -> None:
    for fd in fds:
        os.fsync(fd)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
