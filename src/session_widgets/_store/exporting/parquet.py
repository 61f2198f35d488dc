"""Writes the rows of a session as parquet files of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from session_widgets._store.exporting.redacting import Cleaner
from session_widgets._store.result import Result
from session_widgets.errors import SessionGone

if TYPE_CHECKING:
    from session_widgets._store.database import Store

FILES = {
    "sessions": "session_id",
    "turns": "turn",
    "events": "seq",
    "steps": "turn, step",
    "tool_calls": "turn, step",
    "llm_calls": "turn, llm_call_id",
}
"""Each is a file with the rows of the view of this name, in this order."""


def write(store: Store, session_id: str, folder: Path, cleaner: Cleaner) -> int:
    """Write the files, each complete or absent, and return their size in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    for name, found in _views(store, session_id):
        path = folder / f"{name}.parquet"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            _cleaned(name, found, cleaner, temporary)
            size += temporary.stat().st_size
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return size


def look(store: Store, session_id: str, cleaner: Cleaner) -> None:
    """Look for what `write` would replace."""
    for name, found in _views(store, session_id):
        _frame(name, found, cleaner)


def _views(store: Store, session_id: str) -> Iterator[tuple[str, Result]]:
    if store.session(session_id) is None:
        raise SessionGone(f"the store holds no session {session_id!r}. Its sessions are store().sessions().")
    for name, order in FILES.items():
        query = f"select * from v_{name} where session_id = ? order by {order}"  # noqa: S608 - names of our views
        yield name, store.sql(query, [session_id])


def _cleaned(name: str, found: Result, cleaner: Cleaner, path: Path) -> None:
    before = len(cleaner.hits)
    frame = _frame(name, found, cleaner) if cleaner.active else None
    if frame is None or len(cleaner.hits) == before:
        found.write_parquet(str(path), compression="zstd")
        return
    columns = ", ".join(f'cast("{column}" as {kind}) as "{column}"' for column, kind in _typed(found))
    with duckdb.connect() as connection:
        connection.register("frame", frame)
        query = f"select {columns} from frame"  # noqa: S608 - names of our own columns
        connection.sql(query).write_parquet(str(path), compression="zstd")


def _frame(name: str, found: Result, cleaner: Cleaner) -> Any:
    """Return the rows as a pandas frame without secrets."""
    frame = found.df()
    for column, kind in _typed(found):
        if "VARCHAR" in kind or "JSON" in kind:  # a list or a struct of texts too
            values = [_plain(value) for value in frame[column]]
            frame[column] = [cleaner.value(value, f"{name}, row {row}, {column}") for row, value in enumerate(values)]
    return frame


def _plain(value: Any) -> Any:
    """Return a value of a pandas column as JSON has it; None for NULL."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return value if isinstance(value, str | list | dict) else None


def _typed(found: Result) -> Iterator[tuple[str, str]]:
    return ((column, str(kind)) for column, kind in zip(found.columns, found.types, strict=True))
