"""Detects changes of a DuckDB file by its file system status, without a query."""

from __future__ import annotations

import time
from pathlib import Path

SETTLED_NS = 1_000_000_000
"""A file that changed less than this before a check may change again with the same time and size."""


class Stamp:
    """The last known status of a database and its log.

    Args:
        path: of the database.
    """

    def __init__(self, path: Path) -> None:
        self._files = (path, path.with_name(f"{path.name}.wal"))
        self._seen: tuple[tuple[int, int, int], ...] | None = None

    def has_moved(self) -> bool:
        """Whether the files may have changed since the last call; read them after it, not before."""
        now = tuple(map(_seen, self._files))
        if now == self._seen:
            return False
        settled = time.time_ns() - max(changed for _, _, changed in now) > SETTLED_NS
        self._seen = now if settled else None
        return True

    def forget(self) -> None:
        """Make the next call return True: the files could not be read."""
        self._seen = None


def _seen(path: Path) -> tuple[int, int, int]:
    try:
        info = path.stat()
    except OSError:
        return 0, 0, 0
    return info.st_ino, info.st_size, info.st_mtime_ns
