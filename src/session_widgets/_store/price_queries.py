"""The SQL of prices: a table that is not derived."""

from __future__ import annotations

from typing import Any

from session_widgets._store.queries import Connection
from session_widgets._store.rows import Row

RATES = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
"""Prices of a million tokens."""
_CREATE = f"""
    create table if not exists store.prices (
        source varchar not null, provider varchar, model varchar not null, price_model varchar not null,
        from_date date, above_input bigint not null, currency varchar not null,
        {", ".join(f"{name} decimal(18, 9)" for name in RATES)})"""
_COLUMNS = ("source", "provider", "model", "price_model", "from_date", "above_input", "currency", *RATES)


def create(connection: Connection) -> None:
    """Create the table."""
    connection.execute(_CREATE)


def models(connection: Connection) -> list[tuple[str | None, str]]:
    """Return the providers and models of all model calls."""
    query = "select distinct provider, model from store.llm_calls where model is not null order by all"
    return connection.execute(query).fetchall()


def replace(connection: Connection, of_user: bool, new: list[Row]) -> None:
    """Put prices in the place of those of the user, or of those of the list."""
    connection.execute("delete from store.prices where (source = 'user') = ?", [of_user])
    names, marks = ", ".join(_COLUMNS), ", ".join("?" for _ in _COLUMNS)
    values: list[list[Any]] = [[row[name] for name in _COLUMNS] for row in new]
    if values:
        connection.executemany(f"insert into store.prices ({names}) values ({marks})", values)  # noqa: S608
