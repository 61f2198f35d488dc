"""Statements of every commit, parsed once: parsing is a quarter of the cost of one that inserts a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

KEPT = 256

_parsed: dict[str, duckdb.Statement] = {}


def execute(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] = ()) -> None:
    """Execute one statement. A parsed statement belongs to no connection: DuckDB executes a copy of it."""
    statement = _parsed.get(query)
    if statement is None:
        if len(_parsed) >= KEPT:
            _parsed.clear()
        (statement,) = connection.extract_statements(query)
        _parsed[query] = statement
    connection.execute(statement, parameters)
