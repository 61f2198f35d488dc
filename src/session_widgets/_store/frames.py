"""Tables of the caller that a query joins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from session_widgets._store.views import VIEWS
from session_widgets.errors import BadValue, MissingDependency
from session_widgets.printing import one_line

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
EXPECTED = "a pandas or polars frame, an Arrow table, a list of dictionaries, or the result of a query"


def tables(frames: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return frames as DuckDB can register them.

    Raises:
        BadValue: a name is no identifier or that of a view, or a value is no table.
        MissingDependency: polars needs pyarrow for it.
    """
    return {_name(name): _table(name, frame) for name, frame in (frames or {}).items()}


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadValue(f"frames: {name!r} is no name of a table. Use letters, digits and underscores.")
    if name.lower() in VIEWS:
        raise BadValue(f"frames: {name!r} is a view of the store. Give the frame another name.")
    return name


def _table(name: str, frame: Any) -> Any:
    import pandas as pd

    if isinstance(frame, duckdb.DuckDBPyRelation):
        return frame.df()
    if isinstance(frame, Sequence) and all(isinstance(row, Mapping) for row in frame):
        frame = pd.DataFrame(list(frame))
    try:
        with duckdb.connect() as probe:
            probe.register("frame", frame)
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"frames: {name!r} needs {error.name}, which is not installed. "
            "Install it with: pip install 'session-widgets[frames]'; a pandas frame works without."
        ) from error
    except duckdb.Error as error:
        got = f"{type(frame).__name__}: {one_line(str(error))}"
        raise BadValue(f"frames: {name!r} must be {EXPECTED}; got {got}") from error
    return frame
