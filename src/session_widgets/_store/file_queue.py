"""A queue of one place for the store's file.

DuckDB's own lock has no queue: a busy writer that detaches the file and attaches it again would always win against
processes that poll. So a process that needs the file first takes the one place in the queue, and keeps
it until it has the file. The holder of the file sees the waiting process and detaches.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import time
from pathlib import Path
from threading import Lock

SHORTEST_WAIT, LONGEST_WAIT = 0.001, 0.020
"""Seconds between two attempts; drawn at random from this range, so that processes do not synchronise."""


def pause(longest: float = LONGEST_WAIT) -> None:
    """Wait a random moment, at most `longest` seconds, before the next attempt."""
    time.sleep(random.uniform(SHORTEST_WAIT, longest))  # noqa: S311 - jitter, not a secret


class FileQueue:
    """The place in the queue, an flock on a file beside the store; the exit of its process releases it."""

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(store.name + ".line")
        self._file: int | None = None

    def enter(self, deadline: float) -> bool:
        """Take the place; False if it was not free before `deadline` (of `time.monotonic`).

        If the directory is read-only there may be no queue: readers need none.
        """
        file = self._open()
        while file is not None and not _lock(file):
            if time.monotonic() > deadline:
                os.close(file)
                return False
            pause()
        self._file = file
        return True

    def leave(self) -> None:
        """Release the place."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def occupied(self) -> bool:
        """Whether a process waits."""
        file = self._open()
        if file is None:
            return False
        try:
            return not _lock(file)
        finally:
            os.close(file)

    def _open(self) -> int | None:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            if error.errno not in {errno.EROFS, errno.EACCES}:
                raise
        try:
            return os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return None


class FairLock:
    """A lock for the threads of one process, handed over in order; see `FileQueue` for the reason."""

    def __init__(self) -> None:
        self._door, self._room = Lock(), Lock()

    def enter(self, deadline: float) -> bool:
        """Acquire it; False if it was not free before `deadline` (of `time.monotonic`)."""
        if not self._door.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return False
        try:
            return self._room.acquire(timeout=max(0.0, deadline - time.monotonic()))
        finally:
            self._door.release()

    def wanted(self) -> bool:
        """Whether a thread waits for it."""
        return self._door.locked()

    def leave(self) -> None:
        """Release it."""
        self._room.release()


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
