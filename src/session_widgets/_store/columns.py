"""Rows as columns: how they come from the process that reads files, and how DuckDB takes them fastest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from session_widgets._store.rows import Row

_AS_THEY_ARE = {str, type(None)}


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of a table; a column that no row has is absent.

    Attributes:
        count: of the rows.
        arrays: by name of the column: whole numbers, or texts and None.
    """

    count: int
    arrays: dict[str, Any]


def columns_of(rows: Sequence[Row]) -> Columns:
    """Return rows with the same columns as columns."""
    found = {name: list(map(itemgetter(name), rows)) for name in (rows[0] if rows else ())}
    return Columns(
        len(rows), {name: column_of(values) for name, values in found.items() if values.count(None) < len(values)}
    )


def column_of(values: Sequence[Any]) -> Any:
    """Return values as an array: unlike JSON, that needs no second copy of a text."""
    kinds = set(map(type, values))
    if kinds == {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass
    if not kinds <= _AS_THEY_ARE:
        values = [value if value is None or isinstance(value, str) else _text(value) for value in values]
    return np.array(values, dtype=object)


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the rows of several parts, in order."""
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for part in parts for name in part.arrays)
    return Columns(sum(part.count for part in parts), {name: _joined(name, parts) for name in names})


def _joined(name: str, parts: Sequence[Columns]) -> Any:
    found = [part.arrays.get(name) for part in parts]
    numbers = all(each is not None and each.dtype != object for each in found)
    same = [
        np.full(part.count, None, dtype=object) if each is None else each if numbers else _as_texts(each)
        for part, each in zip(parts, found, strict=True)
    ]
    return np.concatenate(same)


def _as_texts(column: Any) -> Any:
    return column if column.dtype == object else column.astype(str).astype(object)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
