"""The result of a query: DuckDB's relation, drawn as a table, whose errors name missing packages."""

from __future__ import annotations

from typing import Any

import duckdb

from session_widgets.errors import MissingDependency
from session_widgets.printing import html_table, one_line, plural

SHOWN = 50
"""Rows that a cell shows."""


class Result(duckdb.DuckDBPyRelation):
    """A relation over a copy of the result in memory; `.pl()` and Arrow need the extra `frames`."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Return the first rows as a table; text of agents is escaped, and cut."""
        cells = [
            ["" if value is None else one_line(str(value)) for value in row] for row in self.limit(SHOWN).fetchall()
        ]
        count = len(self)
        more = f"the first {SHOWN} of " if count > SHOWN else ""
        return f"{html_table(self.columns, cells)}<p>{more}{plural(count, 'row')}</p>"

    def pl(self, *args: Any, **options: Any) -> Any:
        """Return the result as a polars frame.

        Raises:
            MissingDependency: polars or pyarrow is not installed.
        """
        return self._as("pl", *args, **options)

    def arrow(self, *args: Any, **options: Any) -> Any:
        """Return the result as an Arrow reader; `to_arrow_table()` gives a table.

        Raises:
            MissingDependency: pyarrow is not installed.
        """
        return self._as("arrow", *args, **options)

    def to_arrow_table(self, *args: Any, **options: Any) -> Any:
        """Return the result as an Arrow table.

        Raises:
            MissingDependency: pyarrow is not installed.
        """
        return self._as("to_arrow_table", *args, **options)

    def to_arrow_reader(self, *args: Any, **options: Any) -> Any:
        """Return the result as an Arrow reader.

        Raises:
            MissingDependency: pyarrow is not installed.
        """
        return self._as("to_arrow_reader", *args, **options)

    def _as(self, method: str, *args: Any, **options: Any) -> Any:
        try:
            return getattr(super(), method)(*args, **options)
        except ModuleNotFoundError as error:
            raise MissingDependency(
                f".{method}() needs {error.name or 'polars and pyarrow'}, which is not installed. "
                "Install it with: pip install 'session-widgets[frames]'; .df() and .fetchall() work without."
            ) from error


def as_result(relation: duckdb.DuckDBPyRelation) -> Result:
    """Return the same relation as a `Result`."""
    relation.__class__ = Result
    assert isinstance(relation, Result)
    return relation
