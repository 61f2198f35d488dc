"""Mends a block of the file that a killed process has overwritten in part.

A checkpoint writes each changed block of metadata over the old one (`MetadataManager::Flush` of DuckDB), and changes
only parts of the block that the previous checkpoint does not use. So a process killed in the middle of that write
leaves everything that was committed, in the file and in its write-ahead log, but a block with a wrong checksum, and
DuckDB refuses the file. With the right checksum it reads the file again.

This module is also a program, which writes the checksum: a process that closes a file loses its locks on it (fcntl(2)).
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import duckdb

Log = tuple[int, int, int]
"""Inode, size in bytes, and time of the last change in nanoseconds."""
_WRONG = re.compile(r"computed checksum (\d+) does not match stored checksum (\d+) in block at location (\d+)")


def log_of_a_killed_process(path: Path) -> Log | None:
    """Identify the write-ahead log of a file that nobody has attached; None if it has no commits, as after a detach."""
    try:
        found = path.with_name(path.name + ".wal").stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found.st_size else None


def read_metadata(connection: duckdb.DuckDBPyConnection) -> None:
    """Read all metadata of the attached store: that of most tables is otherwise read when it is needed."""
    query = "select table_name from duckdb_tables() where database_name = 'store'"
    for (table,) in connection.execute(query).fetchall():
        connection.execute(f"select count(*) from pragma_storage_info('store.main.{table}')")  # noqa: S608 - of the file


class Mended(NamedTuple):
    """A checksum that was corrected."""

    place: int
    old: int
    new: int


def mend(path: Path, error: Exception) -> Mended | None:
    """Correct the checksum that an error of DuckDB names; None if it names none, or the file cannot be written."""
    found = _WRONG.search(str(error))
    if not found:
        return None
    new, old, place = map(int, found.groups())
    mended = Mended(place, old, new)
    return mended if _write(path, mended) else None


def undo(path: Path, mended: Mended) -> None:
    """Put back the checksum that `mend` has corrected: the block is damaged all the same."""
    _write(path, Mended(mended.place, mended.new, mended.old))


def _write(path: Path, change: Mended) -> bool:
    command = [sys.executable, "-I", "-S", __file__, str(path), *map(str, change)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _replace(path: str, place: int, old: int, new: int) -> bool:
    """Replace 8 bytes of a file; False if they are others. Raises OSError if a process uses the file."""
    with Path(path).open("r+b", buffering=0) as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock that DuckDB takes
        if os.pread(file.fileno(), 8, place) != old.to_bytes(8, "little"):
            return False
        os.pwrite(file.fileno(), new.to_bytes(8, "little"), place)
        os.fsync(file.fileno())
    return True


if __name__ == "__main__":
    sys.exit(not _replace(sys.argv[1], *map(int, sys.argv[2:])))
