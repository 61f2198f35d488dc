"""Figures of runs side by side, each with its difference to the first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from session_widgets._store import store as open_store
from session_widgets.errors import BadValue
from session_widgets.printing import html_table, one_line, text_table

if TYPE_CHECKING:
    import pandas as pd

    from session_widgets._store import Store

Unit = Literal["count", "tokens", "money", "seconds"]
Figures = Mapping[str, Any]
"""A row of `v_runs`."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of runs.

    Attributes:
        name: its column in `v_runs`.
        label: for people.
    """

    name: str
    label: str
    unit: Unit


METRICS = (
    Metric("turns", "turns", "count"),
    Metric("steps", "steps", "count"),
    Metric("tool_calls", "tool calls", "count"),
    Metric("failed_calls", "failed calls", "count"),
    Metric("input_tokens", "input tokens", "tokens"),
    Metric("cache_read_tokens", "cache read tokens", "tokens"),
    Metric("cache_write_tokens", "cache write tokens", "tokens"),
    Metric("output_tokens", "output tokens", "tokens"),
    Metric("reasoning_tokens", "reasoning tokens", "tokens"),
    Metric("cost", "cost", "money"),
    Metric("run_s", "time working", "seconds"),
    Metric("waited_s", "time waiting for a person", "seconds"),
    Metric("seconds", "time of all turns", "seconds"),
)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The result of `metrics`: a line a figure, a column a run; `.df()` has one row a run.

    Attributes:
        ids: the sessions, in the order of the call.
        rows: of each its row of `v_runs`; None if the store does not have it.
    """

    ids: tuple[str, ...]
    rows: tuple[Figures | None, ...]

    def df(self) -> pd.DataFrame:
        """Return a pandas frame with one row a run and the columns of `v_runs`, without missing runs."""
        import pandas as pd

        return pd.DataFrame([dict(row) for row in self.rows if row is not None])

    def values(self, metric: Metric) -> list[float | None]:
        """Return a figure of each run; None if it is unknown."""
        return [None if row is None else _number(row.get(metric.name)) for row in self.rows]

    def difference(self, metric: Metric, run: int) -> float | None:
        """Return a figure of a run minus that of the first one; None if they cannot be compared.

        Tokens of different scopes and costs in different currencies are not compared. A difference that is shown as 0
        is 0.
        """
        first, other = self.rows[0], self.rows[run]
        if first is None or other is None:
            return None
        same = {"tokens": "usage_scope", "money": "currency"}.get(metric.unit)
        if same is not None and (first[same] != other[same] or first[same] == "mixed"):
            return None
        values = self.values(metric)
        before, after = values[0], values[run]
        if before is None or after is None:
            return None
        difference = after - before
        return 0.0 if figure(metric, abs(difference)) == figure(metric, 0) else difference

    def _table(self) -> tuple[list[str], list[list[str]]]:
        lines = []
        for name in ("harness", "model", "outcome", "usage_scope", "usage_quality", "currency"):
            found = ["" if row is None or row[name] is None else one_line(str(row[name]), 30) for row in self.rows]
            if any(found):
                lines.append([name.replace("_", " "), *found])
        for metric in METRICS:
            values = self.values(metric)
            if any(value is not None for value in values):
                cells = [self._cell(metric, run, value) for run, value in enumerate(values)]
                lines.append([metric.label, *cells])
        return ["", *(one_line(name, 30) for name in self.ids)], lines

    def _cell(self, metric: Metric, run: int, value: float | None) -> str:
        difference = self.difference(metric, run) if run else None
        return figure(metric, value) + (f" ({figure(metric, difference, signed=True)})" if difference else "")

    def __repr__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())


def metrics(ids: Sequence[str], *, store: Store | None = None) -> Metrics:
    """Return the figures of runs: turns, steps, tool calls, failures, tokens by class, cost, times.

    Args:
        ids: the sessions; a run that the store does not have is an empty column.
        store: with the sessions. Default: `session_widgets.store()`.

    Returns:
        A table, with the difference of each run to the first; `.df()` has one row a run.

    Raises:
        BadValue: ids is not a list of texts.
    """
    if isinstance(ids, str) or not all(isinstance(one, str) for one in ids):
        raise BadValue(f'ids must be a list of sessions, such as ["a", "b"]; got {one_line(repr(ids), 80)}.')
    opened = open_store() if store is None else store
    query = "select * from v_runs where session_id in (select unnest(?))"
    found = opened.sql(query, [list(ids)])
    rows = {row[0]: dict(zip(found.columns, row, strict=True)) for row in found.fetchall()}
    return Metrics(tuple(ids), tuple(rows.get(name) for name in ids))


def figure(metric: Metric, value: float | None, *, signed: bool = False) -> str:
    """Return a figure as text: "1,234", "0.0125", "3 min 05 s"; "unknown" is empty."""
    if value is None:
        return ""
    sign = ("+" if value >= 0 else "-") if signed else "-" if value < 0 else ""
    size = abs(value)
    if metric.unit == "money":
        return f"{sign}{size:.4f}"
    if metric.unit == "seconds":
        return sign + _duration(size)
    return f"{sign}{size:,.0f}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = timedelta(seconds=round(seconds))
    hours, minutes = divmod(whole // timedelta(minutes=1), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {whole.seconds % 60:02} s"


def _number(value: object) -> float | None:
    return None if value is None or isinstance(value, str | datetime) else float(value)  # type: ignore[arg-type]
