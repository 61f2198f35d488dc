"""The success matrix as a plot: tasks by sides, and the rate of each side with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from session_widgets.errors import MissingDependency
from session_widgets.printing import one_line

if TYPE_CHECKING:
    from altair import HConcatChart

WIDE = 620
"""Pixels of the matrix, at most."""
CELL = 24
"""Pixels of a task or a side, at most."""
_WORDS = "#808080"
"""Readable on white and on black."""


def success_plot(
    rates: Sequence[Mapping[str, Any]], tasks: Sequence[str], means: Mapping[str, Sequence[float]], confidence: float
) -> HConcatChart:
    """Return the rates of sides with their intervals, beside a cell for each task and side.

    Args:
        rates: of each side its `side`, `mean`, `low`, `high`.
        tasks: names of the tasks.
        means: of each side, the mean of each task; NaN without a run.
        confidence: of the intervals.

    Raises:
        MissingDependency: altair is not installed.
    """
    try:
        alt: Any = import_module("altair")
    except ImportError as error:
        raise MissingDependency("plot() needs altair: pip install 'session-widgets[plot]'") from error
    sides = [one_line(str(rate["side"]), 40) for rate in rates]
    names = _distinct([one_line(str(task), 60) for task in tasks])
    order = sorted(range(len(names)), key=lambda place: (-_mean(means, place), names[place]))
    cells = [
        {"side": side, "task": names[place], "mean": None if math.isnan(values[place]) else values[place]}
        for side, values in zip(sides, means.values(), strict=True)
        for place in order
    ]
    points = [
        {"side": side, **{name: rate[name] for name in ("mean", "low", "high")}}
        for side, rate in zip(sides, rates, strict=True)
    ]
    y = alt.Y("side:N", sort=sides, title=None, axis=alt.Axis(labelLimit=220))
    rate = alt.Chart(alt.Data(values=points)).encode(y=y)
    scale = alt.Scale(domain=[0, 1])
    interval = rate.mark_rule(strokeWidth=2, color=_WORDS).encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    mark = rate.mark_point(filled=True, size=70, opacity=1, color="#3b76d6").encode(
        x=alt.X(
            "mean:Q",
            scale=scale,
            title=f"success, {confidence:.0%} interval",
            axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
        ),
        tooltip=["side:N", "mean:Q", "low:Q", "high:Q"],
    )
    matrix = (
        alt.Chart(alt.Data(values=cells))
        .mark_rect(stroke=_WORDS, strokeOpacity=0.35)
        .encode(
            x=alt.X("task:N", sort=[names[place] for place in order], title=None, axis=_axis(alt, len(names))),
            y=alt.Y("side:N", sort=sides, title=None, axis=None),
            color=alt.Color(
                "mean:Q", scale=alt.Scale(domain=[0, 1], scheme="viridis"), title="passed", legend=_legend(alt)
            ),
            tooltip=["task:N", "side:N", "mean:Q"],
        )
    )
    height = CELL * len(sides)
    chart: HConcatChart = (
        alt.hconcat(
            (interval + mark).properties(width=190, height=height),
            matrix.properties(width=min(WIDE, CELL * len(names)), height=height),
            spacing=14,
        )
        .resolve_scale(y="independent")
        .configure(background="transparent", font="sans-serif", padding={"left": 16, "right": 8, "top": 5, "bottom": 5})
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=_WORDS,
            titleColor=_WORDS,
            tickColor=_WORDS,
            domainColor=_WORDS,
            gridColor=_WORDS,
            gridOpacity=0.2,
        )
        .configure_legend(labelColor=_WORDS, titleColor=_WORDS)
    )
    return chart


def _mean(means: Mapping[str, Sequence[float]], place: int) -> float:
    known = [values[place] for values in means.values() if not math.isnan(values[place])]
    return sum(known) / len(known) if known else -1.0


def _distinct(names: list[str]) -> list[str]:
    """Number the names that were equal after they were cut."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _axis(alt: Any, count: int) -> Any:
    """Return the axis of the tasks, without labels where they would overlap."""
    return alt.Axis(labelAngle=-90, labelLimit=110, labels=count * 12 <= WIDE, ticks=False, domain=False)


def _legend(alt: Any) -> Any:
    return alt.Legend(format="%", gradientLength=90, gradientThickness=10)
