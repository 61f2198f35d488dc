"""Whether a DuckDB file may hold something new, from what the file system says of it: to ask costs no query."""

from __future__ import annotations

import time
from pathlib import Path

SETTLED_NS = 1_000_000_000
"""A file that changed later than this before a look may change again without another time or size."""


class Stamp:
    """What was last seen of a database and the log beside it.

    Args:
        path: of the database.
    """

    def __init__(self, path: Path) -> None:
        self._files = (path, path.with_name(f"{path.name}.wal"))
        self._seen: tuple[tuple[int, int, int], ...] | None = None

    def has_moved(self) -> bool:
        """Whether the files may differ from what they were at the last call; read them after it, not before."""
        now = tuple(map(_seen, self._files))
        if now == self._seen:
            return False
        settled = time.time_ns() - max(changed for _, _, changed in now) > SETTLED_NS
        self._seen = now if settled else None
        return True

    def forget(self) -> None:
        """Take the files for changed at the next call: what was there could not be read."""
        self._seen = None


def _seen(path: Path) -> tuple[int, int, int]:
    try:
        info = path.stat()
    except OSError:
        return 0, 0, 0
    return info.st_ino, info.st_size, info.st_mtime_ns
