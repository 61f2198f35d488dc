"""Sides of an experiment compared task by task, each pair with a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from html import escape
from itertools import combinations
from typing import TYPE_CHECKING, Any

from session_widgets.analysis import stats
from session_widgets.analysis.experiment import Experiment, Treatment, read_experiment
from session_widgets.analysis.stats.distributions import check_share
from session_widgets.analysis.table import Table, listed
from session_widgets.errors import BadValue
from session_widgets.printing import html_table, one_line, text_table

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.1
"""Largest difference that counts as none, of values from 0 to 1."""
_COLUMNS = ("first", "second", "errors", "tasks", "first mean", "second mean", "difference", "p", "verdict")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One side compared with another over the tasks of both.

    Attributes:
        errors: whether runs that ended by an error are "excluded" or count as "failures", with value 0.
        verdict: of the first side: "better", "worse", "tied" or "not enough data" (`stats.verdict`).
        tasks: number of tasks that both sides have run.
        unpaired: number of tasks that only one side has run; they are left out.
        clusters: number of independent clusters of the tasks.
        runs_first: number of runs of the first side with a value.
        runs_second: number of runs of the second side with a value.
        errors_first: number of runs of the first side that ended by an error.
        errors_second: number of runs of the second side that ended by an error.
        unscored_first: number of runs of the first side with neither a value nor an error; they are left out.
        unscored_second: number of runs of the second side with neither.
        mean_first: mean over the tasks of the first side.
        mean_second: mean over the tasks of the second side.
        difference: first minus second.
        se: clustered standard error of the difference.
        low: lower end of the interval of the difference, by Student's t.
        high: upper end of that interval.
        bootstrap_low: lower end of the interval by the cluster bootstrap.
        bootstrap_high: upper end of that interval.
        p: that there is no difference, by sign flips.
        p_holm: the same, adjusted for the number of pairs.
        p_mcnemar: by McNemar's exact test; only if every task has one run a side, with value 0 or 1.
        p_tied_holm: that the difference is as large as the margin, adjusted for the number of pairs.
        detectable: smallest true difference that these data detect with a power of 0.8.
        tasks_needed: number of tasks, with as many runs each, that detect a difference of the margin.
        runs_needed: number of runs a task and side with which the same tasks detect it; None if no number
            suffices, or if tasks were run once.
    """

    first: str
    second: str
    errors: Treatment
    verdict: stats.Verdict = "not enough data"
    tasks: int = 0
    unpaired: int = 0
    clusters: int = 0
    runs_first: int = 0
    runs_second: int = 0
    errors_first: int = 0
    errors_second: int = 0
    unscored_first: int = 0
    unscored_second: int = 0
    mean_first: float | None = None
    mean_second: float | None = None
    difference: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    bootstrap_low: float | None = None
    bootstrap_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    p_mcnemar: float | None = None
    p_tied_holm: float | None = None
    detectable: float | None = None
    tasks_needed: int | None = None
    runs_needed: int | None = None


@dataclass(frozen=True, slots=True)
class Paired:
    """The result of `paired`: one row a pair of sides; `.df()` has every figure."""

    rows: tuple[Comparison, ...]
    margin: float
    confidence: float

    def df(self) -> pd.DataFrame:
        """Return the rows as a pandas frame, with the columns of `Comparison`."""
        import pandas as pd

        frame = pd.DataFrame([asdict(row) for row in self.rows], columns=[field.name for field in fields(Comparison)])
        counts = {field.name: "Int64" for field in fields(Comparison) if str(field.type).startswith("int")}
        numbers = {field.name: "float64" for field in fields(Comparison) if str(field.type).startswith("float")}
        return frame.astype({**counts, **numbers})

    @property
    def legend(self) -> str:
        """The rule of the verdict, as text."""
        alpha = f"{1 - self.confidence:.2g}"
        return (
            f"difference: first minus second, with its {self.confidence:.0%} interval. p: of sign flips, after Holm.\n"
            f"better, worse: p <= {alpha}. tied: a true difference of {self.margin:g} or more "
            f"is excluded (two one-sided tests, after Holm, p <= {alpha}).\n"
            "errors: runs without an outcome of their own, excluded or counted as failures."
        )

    def __repr__(self) -> str:
        return f"{text_table(_COLUMNS, [_cells(row) for row in self.rows])}\n{self.legend}"

    def _repr_html_(self) -> str:
        table = html_table(_COLUMNS, [_cells(row) for row in self.rows])
        return f"{table}<p>{'<br>'.join(escape(self.legend).splitlines())}</p>"


def paired(
    data: Any,
    *,
    compare: str | Sequence[str] = "harness",
    by: str | Sequence[str] = "task",
    cluster: str | Sequence[str] | None = None,
    value: str = "success",
    error: str = "error",
    baseline: str | None = None,
    margin: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Paired:
    """Compare sides of an experiment over the tasks that both have run, and say better, worse, tied or not enough data.

    Differences are taken task by task and their uncertainty over clusters of tasks, so hard tasks and repeated runs
    do not mislead. Runs that ended by an error (sandbox, rate limit, time limit) say nothing about success: if there
    are any, each pair has two rows, one without these runs, one with them as failures.

    Args:
        data: one row a run: a pandas frame, a list of dictionaries, or a result of DuckDB.
        compare: the column, or columns, that name a side: the harness, or `["harness", "model"]`.
        by: the column, or columns, that name a task.
        cluster: the column, or columns, of tasks that are alike, such as their repository. Default: each task alone.
        value: the column of the outcome: True, False, or a number; higher is better. An empty one is left out.
        error: the column of errors: a run with a text or True in it ended by an error. Without it there are none.
        baseline: compare this side with each other one. Default: all pairs.
        margin: largest difference that counts as a tie. Default: 0.1 for values from 0 to 1.
        confidence: of the intervals and of the verdict, between 0 and 1.
        seed: of the bootstrap and of random sign flips.

    Returns:
        A table with a row a pair, readable at a prompt and in a cell; `.df()` has every figure, `.rows` the same as
        objects.

    Raises:
        BadValue: a column is missing or holds something else, there are not two sides, or a task is in two clusters.

    Example:
        >>> runs = [{"task": n, "harness": h, "success": n % 3 > 0 or h == "a"} for n in range(30) for h in "ab"]
        >>> [(row.first, row.second, row.verdict) for row in paired(runs).rows]
        [('a', 'b', 'better')]
    """
    check_share("confidence", confidence)
    experiment = read_experiment(Table(data), compare, by, cluster, value, error)
    if len(experiment.sides) < 2:
        only = listed(list(experiment.sides))
        raise BadValue(f"compare={compare!r} has only {only}; expected at least two different values.")
    pairs = _pairs(list(experiment.sides), baseline)
    low, high = experiment.ends
    if margin is None and not experiment.is_rate:
        raise BadValue(
            f"the values reach from {low:g} to {high:g}, so no difference counts as a tie by default: "
            "pass margin=, the largest one that does, in units of the values."
        )
    margin = MARGIN if margin is None else margin
    if not margin > 0:
        raise BadValue(f"margin must be above 0; got {margin!r}.")
    span = 1.0 if experiment.is_rate else high - low
    found: list[Comparison] = []
    for treatment in experiment.treatments:
        rows = [_compare(experiment, *pair, treatment, margin, confidence, seed) for pair in pairs]
        found += _judged(rows, margin, margin / span if span else 1.0, 1 - confidence)
    order = {pair: place for place, pair in enumerate(pairs)}
    return Paired(tuple(sorted(found, key=lambda row: order[row.first, row.second])), margin, confidence)


def _pairs(sides: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    if baseline is None:
        return list(combinations(sides, 2))
    if baseline not in sides:
        raise BadValue(f"baseline={baseline!r} is not among the compared values {listed(sides)}.")
    return [(side, baseline) for side in sides if side != baseline]


def _compare(
    experiment: Experiment, first: str, second: str, treatment: Treatment, margin: float, confidence: float, seed: int
) -> Comparison:
    one, other = experiment.sides[first], experiment.sides[second]
    values = one.runs(treatment), other.runs(treatment)
    row = Comparison(
        first,
        second,
        treatment,
        runs_first=sum(map(len, values[0].values())),
        runs_second=sum(map(len, values[1].values())),
        errors_first=sum(one.errors.values()),
        errors_second=sum(other.errors.values()),
        unscored_first=one.unscored,
        unscored_second=other.unscored,
    )
    found = stats.paired_difference(*values, experiment.clusters, confidence=confidence, seed=seed)
    if found is None:
        return replace(row, unpaired=len(values[0].keys() | values[1].keys()))
    alpha = 1 - confidence
    row = replace(
        row,
        tasks=found.tasks,
        unpaired=found.unpaired,
        clusters=found.clusters,
        mean_first=found.first,
        mean_second=found.second,
        difference=found.value,
        se=found.se,
        low=found.low,
        high=found.high,
        p=found.p,
        p_mcnemar=found.p_mcnemar,
    )
    if found.se is None or found.bootstrap is None:
        return row
    return replace(
        row,
        bootstrap_low=found.bootstrap.low,
        bootstrap_high=found.bootstrap.high,
        detectable=stats.detectable(found.se, alpha) if found.se else None,
        tasks_needed=stats.tasks_needed(found.tasks * found.se**2, margin, alpha) if found.se else None,
        runs_needed=None
        if found.between is None or found.within is None or not found.se
        else stats.runs_needed(found.between, found.within, found.tasks, margin, alpha),
    )


def _judged(rows: Sequence[Comparison], margin: float, share: float, alpha: float) -> list[Comparison]:
    """Return the rows with the p-values of all pairs adjusted together, and their verdicts."""
    known = [row for row in rows if row.difference is not None]
    same = stats.holm([row.p for row in known if row.p is not None])
    tied = stats.holm(
        [
            stats.p_equivalent(row.difference, row.se, row.clusters, margin)
            for row in known
            if row.difference is not None
        ]
    )
    adjusted = {(row.first, row.second): ps for row, ps in zip(known, zip(same, tied, strict=True), strict=True)}
    judged = []
    for row in rows:
        if row.difference is not None:
            p, p_tied = adjusted[row.first, row.second]
            word = stats.verdict(row.difference, p, p_tied, row.clusters, margin=share, alpha=alpha)
            row = replace(row, p_holm=p, p_tied_holm=p_tied, verdict=word)
        judged.append(row)
    return judged


def _cells(row: Comparison) -> tuple[str, ...]:
    errors = f"{row.errors_first} + {row.errors_second} {row.errors}"
    means = ["" if mean is None else f"{mean:.3g}" for mean in (row.mean_first, row.mean_second)]
    difference = "" if row.difference is None else f"{row.difference:+.3g}"
    if row.low is not None:
        difference += f" [{row.low:+.3g}, {row.high:+.3g}]"
    p = "" if row.p_holm is None else "<0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}"
    sides = (one_line(row.first, 40), one_line(row.second, 40))
    return (*sides, errors, str(row.tasks), *means, difference, p, row.verdict)
