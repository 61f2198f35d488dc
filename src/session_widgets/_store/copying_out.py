"""Runs a user's query and keeps its result apart from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import duckdb

from session_widgets._store.failures import a_line_higher
from session_widgets._store.result import MANY, Result, as_result

_numbers = count(1)


def copy_out(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None
) -> Result:
    """Run a query on the attached store; return its result as a table in the connection's memory.

    The result of many rows is a compressed table, which is as large as a fraction of an ordinary one, in a database of
    its own. That database stays attached: see `is_large`.
    """
    place = f"session_widgets_result_{next(_numbers)}"
    connection.execute(f"attach ':memory:' as {place} (compress)")
    large = False
    try:
        connection.execute("use store")
        try:
            text = f"create table {place}.result as\n{query.strip()}"
            (rows,) = connection.execute(text, parameters or []).fetchall()[0]
        except duckdb.Error as error:  # DuckDB shows the line that is wrong
            raise a_line_higher(error) from None
        finally:
            connection.execute("use memory")
        large = rows >= MANY
        if large:
            connection.execute(f"checkpoint {place}")
            _return_memory(connection)
            return as_result(connection.table(f"{place}.result"))
        connection.execute(f"create or replace temp table result as from {place}.result")
        return as_result(connection.table("result"))
    finally:
        if not large:
            with suppress(duckdb.Error):
                connection.execute(f"detach {place}")


def is_large(result: Result) -> bool:
    """Whether the result has a database of its own, which ends with the connections of its instance of DuckDB."""
    return len(result) >= MANY


def _return_memory(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the operating system what the query has freed: DuckDB does that only when its limit is set."""
    (limit,) = connection.execute("select current_setting('memory_limit')").fetchall()[0]
    connection.execute(f"set memory_limit = '{limit}'")
