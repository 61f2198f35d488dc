"""Rewrites the file without deleted rows, which DuckDB keeps in free blocks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import duckdb

from session_widgets._store import failures, views
from session_widgets._store.connection import NEW, TYPE, StoreFile
from session_widgets.errors import StoreError

ROWS_AT_ONCE = 100_000

Progress = Callable[[int, int], object]


def compact(file: StoreFile, progress: Progress) -> None:
    """Copy every row into a new file beside the old one, then replace the old one.

    Until then the old file is unchanged; a killed process leaves the old file or the new one, complete. No process
    attaches meanwhile: the place in the queue and DuckDB's lock prevent it, and afterwards they find the new file.
    """
    with file.rewriting() as connection:
        try:
            place = file.scratch.directory()
            fresh = place / file.path.name
            try:
                _copy(connection, fresh, progress)
                _swap(connection, fresh, file.path)
            finally:
                for left in place.iterdir():
                    left.unlink()
        except OSError as error:
            raise failures.unusable(file.path, error) from error
        file.scratch.tidy()


def _copy(connection: duckdb.DuckDBPyConnection, fresh: Path, progress: Progress) -> None:
    quoted = str(fresh).replace("'", "''")
    connection.execute(f"attach '{quoted}' as fresh ({TYPE}{NEW})")
    try:
        tables = connection.execute(
            "select table_name, sql from duckdb_tables() where database_name = 'store' and not internal order by all"
        ).fetchall()
        connection.execute("use fresh")
        for _, sql in tables:
            connection.execute(sql)
        views.define(connection, "fresh")
        counts = {name: _count(connection, f"store.{name}") for name, _ in tables}
        done, total = 0, sum(counts.values())
        for name in counts:
            end = connection.execute(f"select coalesce(max(rowid), -1) + 1 from store.{name}").fetchall()[0][0]  # noqa: S608
            for first in range(0, end, ROWS_AT_ONCE):
                copied = connection.execute(
                    f"insert into fresh.{name} select * from store.{name} where rowid >= ? and rowid < ?",  # noqa: S608
                    [first, first + ROWS_AT_ONCE],
                )
                done += copied.fetchall()[0][0]
                progress(done, total)
        lost = [name for name, count in counts.items() if _count(connection, f"fresh.{name}") != count]
        if lost:
            raise StoreError(f"the copy of the store lacks rows of {', '.join(lost)}; the store was not changed.")
    finally:
        connection.execute("use memory")
        connection.execute("detach fresh")


def _swap(connection: duckdb.DuckDBPyConnection, fresh: Path, path: Path) -> None:
    _force(fresh)
    fresh.chmod(path.stat().st_mode & 0o777)
    connection.execute("checkpoint store")
    log = path.with_name(path.name + ".wal")
    if log.exists() and log.stat().st_size:
        raise StoreError(f"{log} is still needed, so {path} was not changed. Try again.")
    fresh.replace(path)
    _force(path.parent)


def _force(path: Path) -> None:
    """Have the operating system write a file or a directory to disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"select count(*) from {table}").fetchall()[0][0])  # noqa: S608 - a table of ours
