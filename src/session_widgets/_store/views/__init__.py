"""The views: the public SQL interface of the store. `docs/data-model.md` is made from them."""

from __future__ import annotations

import duckdb

from session_widgets._store.views import calls, imports, labels, prices, sandboxes, sessions, steps, usage
from session_widgets._store.views.view import View

DOCUMENTED: tuple[View, ...] = (
    *sessions.VIEWS,
    *steps.VIEWS,
    *calls.VIEWS,
    *usage.VIEWS,
    *prices.VIEWS,
    *sandboxes.VIEWS,
    *labels.VIEWS,
    *imports.VIEWS,
)
"""In the order in which one may use another."""
VIEWS = {view.name: view.query for view in DOCUMENTED}


def define(connection: duckdb.DuckDBPyConnection, database: str = "store") -> None:
    """Create the views of an attached database, or replace those of an older release."""
    connection.execute(f"use {database}")
    for name, query in VIEWS.items():
        connection.execute(f"create or replace view {database}.{name} as {query}")
    connection.execute("use memory")
