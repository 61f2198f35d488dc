"""The result of a query: DuckDB's relation, whose errors name missing packages."""

from __future__ import annotations

from typing import Any

import duckdb

from session_widgets.errors import MissingDependency


class Result(duckdb.DuckDBPyRelation):
    """A relation over a copy of the result in memory; `.pl()` and Arrow need the extra `frames`."""

    __slots__ = ()

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
