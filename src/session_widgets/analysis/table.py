"""Columns of a table of runs: a pandas frame, a list of dictionaries, or a result of DuckDB."""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from session_widgets.errors import BadValue
from session_widgets.printing import one_line

EXPECTED = "a pandas DataFrame, a list of dictionaries (of a polars frame: frame.to_dicts()), or a result of DuckDB"


class Table:
    """Columns by name; a missing value is None.

    Args:
        data: a pandas DataFrame, a list of dictionaries, or a result of DuckDB.

    Raises:
        BadValue: the data are of another type, or have no row.
    """

    def __init__(self, data: Any) -> None:
        self._columns = _read(data)
        self.rows = max((len(values) for values in self._columns.values()), default=0)
        if not self.rows:
            raise BadValue(f"expected a table with one row a run; the {type(data).__name__} has no rows.")

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def column(self, argument: str, name: str) -> list[Any]:
        """Return a column; `argument` is the parameter that names it, for the error."""
        if name not in self._columns:
            raise BadValue(
                f"{argument}={name!r}: there is no such column. The data have {listed(list(self._columns))}; "
                f"name one of them with {argument}=."
            )
        return self._columns[name]

    def keys(self, argument: str, names: str | Sequence[str]) -> list[Hashable]:
        """Return the values of one column, or of several as tuples, to group by.

        Raises:
            BadValue: there is no such column, or a row has no value in it.
        """
        several = [names] if isinstance(names, str) else list(names) if isinstance(names, Sequence) else []
        if not several or not all(isinstance(name, str) for name in several):
            raise BadValue(f"{argument} must be the name of a column, or several names; got {names!r}.")
        columns = [self.column(argument, name) for name in several]
        for name, column in zip(several, columns, strict=True):
            for row, value in enumerate(column):
                if value is None or not isinstance(value, Hashable):
                    got = "is empty" if value is None else f"holds {type(value).__name__}"
                    raise BadValue(f"{argument}={name!r}: row {row} {got}; expected a text or a number in each row.")
        return list(columns[0]) if isinstance(names, str) else list(zip(*columns, strict=True))

    def numbers(self, argument: str, name: str) -> list[float | None]:
        """Return a column of numbers or truth values as numbers.

        Raises:
            BadValue: there is no such column, or it holds something else.
        """
        return [_number(argument, name, row, value) for row, value in enumerate(self.column(argument, name))]


def listed(values: Sequence[Hashable], most: int = 12) -> str:
    """Return values for an error message, as one line."""
    return ", ".join(repr(value) for value in values[:most]) + (", ..." if len(values) > most else "")


def _number(argument: str, name: str, row: int, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadValue(
            f"{argument}={name!r}: row {row} holds {one_line(repr(value), 60)}; expected True, False, a finite number "
            "or, without a score, nothing. Compute such a column first, for example outcome == 'passed'."
        )
    return number


def _read(data: Any) -> dict[str, list[Any]]:
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _read_pandas(data)
    if hasattr(data, "fetchall"):
        names = [column[0] for column in data.description or ()]
        columns = list(zip(*data.fetchall(), strict=True)) or [()] * len(names)
        return {name: [_present(value) for value in column] for name, column in zip(names, columns, strict=True)}
    if isinstance(data, list | tuple) and all(isinstance(row, Mapping) for row in data):
        found = {name: None for row in data for name in row}
        return {name: [_present(row.get(name)) for row in data] for name in found}
    raise BadValue(f"expected {EXPECTED}; got {one_line(type(data).__module__)}.{one_line(type(data).__qualname__)}.")


def _read_pandas(frame: Any) -> dict[str, list[Any]]:
    if not frame.columns.is_unique:
        twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        raise BadValue(f"expected columns with different names; the frame has {listed(twice)} more than once.")
    empty = frame.isna()
    return {
        str(name): [
            None if missing else value
            for value, missing in zip(frame[name].tolist(), empty[name].tolist(), strict=True)
        ]
        for name in frame.columns
    }


def _present(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
