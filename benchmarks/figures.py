"""A figure, and the table of figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Reference:
    """What a figure stands beside: a peer or a floor, and what was measured of it."""

    what: str
    values: Sequence[float]


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, once in each run.

    Attributes:
        aim: the median should be at most this; at least, if `more` is better.
        remark: what else was seen, such as losses.
    """

    what: str
    unit: str
    values: Sequence[float]
    aim: float | None = None
    more: bool = False
    beside: Reference | None = None
    remark: str = ""

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def best(self) -> float:
        return max(self.values) if self.more else min(self.values)

    @property
    def ratio(self) -> float | None:
        """Ours to theirs, of the medians."""
        return self.median / median(self.beside.values) if self.beside else None

    @property
    def reached(self) -> bool | None:
        if self.aim is None:
            return None
        return self.median >= self.aim if self.more else self.median <= self.aim

    def as_json(self) -> dict[str, Any]:
        beside = self.beside and {"what": self.beside.what, "values": list(self.beside.values)}
        return {
            "what": self.what,
            "unit": self.unit,
            "values": list(self.values),
            "median": self.median,
            "best": self.best,
            "aim": self.aim,
            "more": self.more,
            "reached": self.reached,
            "beside": beside,
            "ratio": self.ratio,
            "remark": self.remark,
        }


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def table(section: str, figures: Sequence[Figure]) -> Table:
    """Draw the figures of a section."""
    remarks = "\n".join(f"{figure.what}: {figure.remark}" for figure in figures if figure.remark)
    drawn = Table(title=section, title_justify="left", title_style="bold", caption=remarks, caption_justify="left")
    for name in ("", "median", "best", "aim", "beside", "ratio"):
        drawn.add_column(name, justify="left" if name in {"", "beside"} else "right")
    for figure in figures:
        sign = "≥" if figure.more else "≤"
        colour = {True: "green", False: "red", None: "default"}[figure.reached]
        beside = figure.beside
        drawn.add_row(
            figure.what,
            f"[{colour}]{_number(figure.median)} {figure.unit}[/]",
            f"{_number(figure.best)} {figure.unit}",
            "" if figure.aim is None else f"{sign} {_number(figure.aim)} {figure.unit}",
            f"{_number(median(beside.values))} {figure.unit}, {beside.what}" if beside else "",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
        )
    return drawn


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
