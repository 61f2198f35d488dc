"""A place in line for the store's file.

DuckDB's own lock says yes or no, never "next": a busy writer that lets the file go and takes it again
would win against everyone who polls. So whoever wants the file first takes the one place in line, and keeps
it until the file is theirs. The holder of the file sees that somebody stands there, and lets go.
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
"""Seconds between two attempts; the actual time is drawn from this range, so that no two keep in step."""


def pause(longest: float = LONGEST_WAIT) -> None:
    """Wait a random moment, at most `longest` seconds, before the next attempt."""
    time.sleep(random.uniform(SHORTEST_WAIT, longest))  # noqa: S311 - jitter, not a secret


class Line:
    """The place in line, an flock on a file beside the store; a process that dies leaves it."""

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(store.name + ".line")
        self._file: int | None = None

    def enter(self, deadline: float) -> bool:
        """Take the place; False if it was not free before `deadline` (of `time.monotonic`).

        Where nothing can be written there may be no line: whoever reads there needs none.
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
        """Give the place up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def occupied(self) -> bool:
        """Whether somebody waits."""
        file = self._open()
        if file is None:
            return False
        try:
            return not _lock(file)
        finally:
            os.close(file)

    def _open(self) -> int | None:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in {errno.EROFS, errno.EACCES}:
                raise
        try:
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None


class Room:
    """A lock for the threads of one process, handed on in turn; see `Line` for why."""

    def __init__(self) -> None:
        self._door, self._room = Lock(), Lock()

    def enter(self, deadline: float) -> bool:
        """Go in; False if it was not free before `deadline` (of `time.monotonic`)."""
        if not self._door.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return False
        try:
            return self._room.acquire(timeout=max(0.0, deadline - time.monotonic()))
        finally:
            self._door.release()

    def wanted(self) -> bool:
        """Whether somebody waits to go in."""
        return self._door.locked()

    def leave(self) -> None:
        """Go out."""
        self._room.release()


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
