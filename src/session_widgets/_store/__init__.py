"""Transcripts in one DuckDB file.

Importing this package is cheap: DuckDB is loaded with the first `store()`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

if TYPE_CHECKING:
    from session_widgets._store.database import Store
    from session_widgets._store.hits import Hits
    from session_widgets._store.listing import SessionList
    from session_widgets._store.search_filters import Filters

__all__ = ["SessionList", "Store", "search", "sessions", "store"]


def store(path: str | Path | None = None) -> Store:
    """Return the store at `path`; the same object for the same file, as long as it is open.

    Args:
        path: a DuckDB file, created at first use. Default: `transcripts.duckdb` under
            SESSION_WIDGETS_HOME, else under the platform's data directory.

    Example:
        >>> store().sql("select session_id, turns from v_sessions").df()  # doctest: +SKIP
    """
    from session_widgets._store.database import open_store

    return open_store(path)


def sessions() -> SessionList:
    """Return the sessions of the default store, newest first; a notebook draws them as a table."""
    return store().sessions()


def search(text: str, *, limit: int = 100, timeout: float = 10.0, **filters: Unpack[Filters]) -> Hits:
    """Search the default store, as `Store.search` does.

    Args:
        text: to search for.
        limit: of hits; the newest are kept.
        timeout: seconds after which it stops with the hits so far.
        filters: `regex`, `case`, `harness`, `model`, `tool`, `kind`, `error`, `file`, `since`, `until`, `session`.

    Example:
        >>> search("connection refused", harness="codex", tool="execute")  # doctest: +SKIP
    """
    return store().search(text, limit=limit, timeout=timeout, **filters)


def __getattr__(name: str) -> Any:
    if name == "Store":
        from session_widgets._store.database import Store

        return Store
    if name == "SessionList":
        from session_widgets._store.listing import SessionList

        return SessionList
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
