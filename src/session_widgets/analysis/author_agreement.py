"""Agreement of several authors about the same sessions or steps, beyond chance: Krippendorff's alpha."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from session_widgets.analysis.table import Table
from session_widgets.errors import BadValue, MissingDependency
from session_widgets.printing import plural

Level = Literal["nominal", "ordinal", "interval", "ratio"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How much authors agree.

    Attributes:
        alpha: Krippendorff's: 1 for full agreement, 0 for that of chance, below 0 for systematic disagreement.
        units: number of units that at least two authors judged; only these count.
        authors: number of authors.
        level: of measurement.
    """

    alpha: float
    units: int
    authors: int
    level: Level

    def __str__(self) -> str:
        who = f"{plural(self.authors, 'author')}, {plural(self.units, 'unit')} with two judgements or more"
        return f"alpha {self.alpha:.3f} ({self.level}; {who})"


def agreement(
    data: Any,
    *,
    unit: str | Sequence[str] = "session_id",
    author: str = "author",
    value: str = "value",
    level: Level = "nominal",
) -> Agreement:
    """Return Krippendorff's alpha of judgements such as `v_scores` of one name, or `v_annotations`.

    Needs `pip install 'session-widgets[agreement]'`.

    Args:
        data: one row a judgement: a pandas frame, a list of dictionaries, or a result of DuckDB.
        unit: column or columns of what was judged.
        author: column of the author.
        value: column of the judgement; a missing value is none. Text is nominal.
        level: of measurement: "nominal" (labels), "ordinal", "interval" or "ratio" (numbers).

    Raises:
        BadValue: a column is missing, an author judged a unit twice, no unit has two judgements, or all values are
            equal, which leaves alpha undefined.
        MissingDependency: krippendorff is not installed.

    Example:
        >>> agreement(store().sql("from v_scores where name = 'good'"), level="interval").alpha  # doctest: +SKIP
    """
    if level not in get_args(Level):
        raise BadValue(f"level must be one of {', '.join(get_args(Level))}; got {level!r}.")
    table = Table(data)
    units, authors = table.keys("unit", unit), table.keys("author", author)
    values = table.column("value", value) if level == "nominal" else table.numbers("value", value)
    judged: dict[tuple[Any, Any], Any] = {}
    for place, judgement in zip(zip(authors, units, strict=True), values, strict=True):
        if judgement is None:
            continue
        if place in judged:
            raise BadValue(f"{place[0]!r} judged {place[1]!r} twice. Choose one score's name, or one row each.")
        judged[place] = judgement
    who, what = (sorted({place[side] for place in judged}, key=str) for side in (0, 1))
    paired = [each for each in what if sum((one, each) in judged for one in who) >= 2]
    if not paired:
        raise BadValue("no unit was judged by two authors, so their agreement is not known.")
    codes = _codes(list(judged.values()), level)
    rows = [[codes.get(judged.get((one, each)), np.nan) for each in paired] for one in who]
    if len({number for row in rows for number in row if not np.isnan(number)}) < 2:
        raise BadValue("all judgements are equal: alpha compares with chance, which needs two different values.")
    return Agreement(_alpha(rows, level), len(paired), len(who), level)


def _codes(values: Sequence[Any], level: Level) -> dict[Any, float]:
    """Return a number for each value: of nominal ones any."""
    if level != "nominal":
        return {value: float(value) for value in values}
    return {value: float(number) for number, value in enumerate(sorted(set(values), key=str))}


def _alpha(rows: Sequence[Sequence[float]], level: Level) -> float:
    try:
        import krippendorff
    except ModuleNotFoundError as error:
        raise MissingDependency("agreement() needs krippendorff: pip install 'session-widgets[agreement]'") from error
    return float(krippendorff.alpha(reliability_data=np.array(rows), level_of_measurement=level))
