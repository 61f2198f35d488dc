"""Runs of several sides over tasks, with their errors apart."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from session_widgets.analysis.table import Table
from session_widgets.errors import BadValue

Treatment = Literal["excluded", "failures"]
"""Whether runs that ended by an error are left out or count as failures, with value 0."""


@dataclass(slots=True)
class Side:
    """The runs of one side.

    Attributes:
        values: of each task, the values of its runs that have one.
        errors: of each task, the number of its runs that ended by an error.
        unscored: number of runs with neither a value nor an error.
    """

    values: dict[Hashable, list[float]]
    errors: dict[Hashable, int]
    unscored: int = 0

    def runs(self, treatment: Treatment) -> Mapping[Hashable, Sequence[float]]:
        """Return the values of each task."""
        if treatment == "excluded":
            return self.values
        tasks = self.values | {task: [] for task in self.errors if task not in self.values}
        return {task: [*values, *[0.0] * self.errors.get(task, 0)] for task, values in tasks.items()}


@dataclass(frozen=True, slots=True)
class Experiment:
    """The runs of all sides.

    Attributes:
        sides: by name.
        clusters: of each task, its cluster.
    """

    sides: dict[str, Side]
    clusters: dict[Hashable, Hashable]

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        known = [value for side in self.sides.values() for values in side.values.values() for value in values]
        return (min(known), max(known)) if known else (0.0, 1.0)

    @property
    def is_rate(self) -> bool:
        """Whether all values are between 0 and 1, so that an error can count as 0."""
        low, high = self.ends
        return low >= 0 and high <= 1

    @property
    def treatments(self) -> list[Treatment]:
        """How errors are counted: in both ways if there are any."""
        any_error = any(side.errors for side in self.sides.values())
        return ["excluded", "failures"] if any_error and self.is_rate else ["excluded"]


def read_experiment(
    table: Table,
    compare: str | Sequence[str],
    by: str | Sequence[str],
    cluster: str | Sequence[str] | None,
    value: str,
    error: str,
) -> Experiment:
    """Return the runs of a table; the arguments name its columns, as in `paired`.

    Raises:
        BadValue: a column is missing or holds something else, or a task is in two clusters.
    """
    tasks = table.keys("by", by)
    clusters: dict[Hashable, Hashable] = {}
    for task, group in zip(tasks, table.keys("cluster", by if cluster is None else cluster), strict=True):
        if clusters.setdefault(task, group) != group:
            raise BadValue(f"task {task!r} is in the clusters {clusters[task]!r} and {group!r}; expected one a task.")
    errors = table.column("error", error) if error != "error" or error in table else [None] * table.rows
    sides: dict[str, Side] = {}
    for name, task, number, failure in zip(
        _names(table.keys("compare", compare)), tasks, table.numbers("value", value), errors, strict=True
    ):
        side = sides.setdefault(name, Side({}, {}))
        if failure:
            side.errors[task] = side.errors.get(task, 0) + 1
        elif number is None:
            side.unscored += 1
        else:
            side.values.setdefault(task, []).append(number)
    return Experiment(sides, clusters)


def _names(keys: Iterable[Hashable]) -> list[str]:
    return [" + ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in keys]
