"""Drafts for tests, and every derived row of a store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from session_widgets._store.database import Store
from session_widgets.transcript.records import Draft

TS = datetime(2026, 11, 21, 9, 0, 0, 123_456, tzinfo=UTC)
OWNER = {"pid": 4711, "host": "here", "process": "kernel", "started": TS.isoformat()}
TABLES = ("sessions", "turns", "steps", "permissions", "llm_calls", "file_changes")


def note(kind: str, number: int, /, *, turn: int | None = None, source: str = "kernel:a", **fields: Any) -> Draft:
    return Draft("note", kind, json.dumps(fields), source, number, turn, TS)


def opened(number: int = 1, source: str = "kernel:a", **fields: Any) -> Draft:
    fixed = {"harness": "demo", "sandbox": "local", "workspace": "/w", "title": None}
    return note("session_opened", number, source=source, **{**fixed, **fields})


def update(kind: str, number: int, /, *, turn: int | None = 1, source: str = "c1", **fields: Any) -> Draft:
    body = {"method": "session/update", "params": {"update": {"sessionUpdate": kind, **fields}}}
    return Draft("in", kind, json.dumps(body), source, number, turn, TS, "session/update")


def chunk(number: int, text: str = "x", **place: Any) -> Draft:
    return update("agent_message_chunk", number, content={"type": "text", "text": text}, **place)


def rows_of(store: Store, names: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of tables and views, as `Store.sql` reads them, but attached once."""
    with store._file.alone() as deadline, store._file.attached_to_read(deadline) as connection:
        connection.execute("use store")
        try:
            return {name: connection.execute(f"select * from {name} order by all").fetchall() for name in names}
        finally:
            connection.execute("use memory")


def derived(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every derived table."""
    return rows_of(store, TABLES)
