"""What tests of the store's file do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from session_widgets._store.connection import StoreFile


def put(file: StoreFile, value: int) -> None:
    with file.transaction() as connection:
        connection.execute("create table if not exists store.probe (a integer)")
        connection.execute("insert into store.probe values (?)", [value])


def values(file: StoreFile) -> list[int]:
    with file.looking() as connection:
        return [value for (value,) in connection.execute("select a from store.probe order by a").fetchall()]


def facts(connection: duckdb.DuckDBPyConnection, *columns: str) -> dict[str, Any]:
    """What DuckDB says of the attached file."""
    query = f"select {', '.join(columns)} from duckdb_databases() where database_name = 'store'"
    return dict(zip(columns, connection.execute(query).fetchall()[0], strict=True))


def is_free(path: Path) -> bool:
    """Whether another connection can write the file."""
    try:
        duckdb.connect(str(path)).close()
    except duckdb.Error:
        return False
    return True
