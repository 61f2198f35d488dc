"""Plain DuckDB connections for other programs, on a copy of the file that blocks no writer."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import duckdb

from session_widgets._store import failures, querying
from session_widgets._store.connection import CONFIG, UTC, Config, StoreFile
from session_widgets.errors import StoreError

RACY_NS = 50_000_000
"""A change this shortly before the copy may be followed by another one with the same time and size."""
Stamp = tuple[tuple[int, int, int] | None, ...]


class Snapshots:
    """Makes connections to copies of one file.

    A copy has no name on the disk once it is open, so it is gone with the last connection to it, even of a killed
    process. DuckDB finds it by its former path as long as this process has a connection to it.
    """

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        self._making = threading.Lock()
        self._latest: Path | None = None
        self._stamp: Stamp | None = None
        self._spill: Path | None = None

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a read-only connection to a copy as of now.

        Raises:
            StoreBusy: the file was not free within 10 s.
            StoreError: there is no room for a copy, or the file is damaged.
        """
        with self._making:
            return self._again() or self._new()

    def _again(self) -> duckdb.DuckDBPyConnection | None:
        """Return a connection to the latest copy, if one is open and nothing was written since."""
        if self._latest is None or self._stamp is None or self._stamp != self._now():
            return None
        try:
            return self._open(self._latest)
        except duckdb.IOException:  # the last connection to it was closed
            return None

    def _new(self) -> duckdb.DuckDBPyConnection:
        with self._file.alone() as deadline, self._file.attached_to_read(deadline):
            stamp, since = self._now(), time.time_ns() - RACY_NS
            copy = querying.copy_attached(self._file)
        if copy is None:
            raise StoreError(
                f"there is no room for a copy of {self._file.path}. Free some space, or use sql(...), which needs none."
            )
        try:
            connection = self._open(copy)
        except duckdb.Error as error:
            raise failures.failure(self._file.path, "read", error) from error
        finally:
            querying.discard(copy, self._file)
        settled = all(part is None or part[2] < since for part in stamp)
        self._latest, self._stamp = copy, stamp if settled else None
        return connection

    def _open(self, copy: Path) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(copy, read_only=True, config=self._config())
        connection.execute(UTC)
        return connection

    def _config(self) -> Config:
        """Return the same configuration each time: DuckDB opens a copy once, with one."""
        if self._spill is None:
            self._spill = self._file.scratch.directory()
            (self._spill / "used").touch(mode=0o600)  # an empty directory would be tidied away
        return {**CONFIG, "temp_directory": str(self._spill)}

    def _now(self) -> Stamp:
        """Return what changes with every commit: identity, size and time of the file and its log."""
        return tuple(_stamp(self._file.path.with_name(self._file.path.name + end)) for end in ("", ".wal"))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
