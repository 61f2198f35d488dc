"""The result of a query: DuckDB's relation, drawn as a table, whose errors name missing packages."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import duckdb

from session_widgets.errors import MissingDependency
from session_widgets.printing import html_table, one_line, plural

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 50
"""Rows that a cell shows."""
MANY = 10_000
"""Rows from which a frame is made column by column, so that only one of them is in memory twice."""
TEXT = {"VARCHAR", "JSON"}
LISTS = "VARCHAR[]"


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

    def df(self, **options: Any) -> pd.DataFrame:
        """Return the result as a pandas frame."""
        if len(self) < MANY:
            frame: pd.DataFrame = super().df(**options)
            return frame
        import pandas as pd

        columns = [self.project(f"#{place}") for place in range(1, len(self.columns) + 1)]
        arrow = _has_arrow_text()
        frames: list[pd.DataFrame] = [
            _text_column(column)
            if arrow and str(kind) in TEXT
            else _lists_column(column)
            if arrow and str(kind) == LISTS
            else column.df(**options)
            for column, kind in zip(columns, self.types, strict=True)
        ]
        return pd.concat(frames, axis=1)

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


def _has_arrow_text() -> bool:
    """Whether pandas keeps text as Arrow does: pandas 3 with pyarrow."""
    import pandas as pd

    known = importlib.util.find_spec("pyarrow") is not None
    return known and isinstance(pd.Series(["a"], dtype="str").dtype, pd.StringDtype)


def _text_column(column: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    """Return a column of text without an object for each value; one of only NULL has no type, as pandas infers it."""
    import pandas as pd

    values: Any = column.to_arrow_table().column(0)
    empty = values.null_count == len(values)
    text = pd.Series([None] * len(values), dtype=object) if empty else pd.Series(values, dtype="str")
    return text.to_frame(column.columns[0])


def _lists_column(column: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    """Return a column of lists of texts as DuckDB does, arrays and NA, but each text is one object however often."""
    import numpy as np
    import pandas as pd

    lists: Any = column.to_arrow_table().column(0).combine_chunks()
    words = lists.values.dictionary_encode()
    texts = np.array([*words.dictionary.to_pylist(), None], dtype=object)
    flat = texts[words.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)]
    ends = lists.offsets.to_numpy()
    values = np.empty(len(lists), dtype=object)
    for place, known in enumerate(lists.is_valid().to_numpy(zero_copy_only=False)):
        values[place] = flat[ends[place] : ends[place + 1]] if known else pd.NA
    return pd.Series(values, dtype=object).to_frame(column.columns[0])


def as_result(relation: duckdb.DuckDBPyRelation) -> Result:
    """Return the same relation as a `Result`."""
    relation.__class__ = Result
    assert isinstance(relation, Result)
    return relation
