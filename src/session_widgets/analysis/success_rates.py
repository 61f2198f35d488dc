"""The success of each side of an experiment alone, with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from session_widgets.analysis import stats
from session_widgets.analysis.experiment import Experiment, Treatment, read_experiment
from session_widgets.analysis.success_plot import success_plot
from session_widgets.analysis.table import Table
from session_widgets.errors import BadValue
from session_widgets.printing import html_table, one_line, text_table

if TYPE_CHECKING:
    import pandas as pd
    from altair import HConcatChart


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """The success of one side.

    Attributes:
        side: its name.
        errors: whether runs that ended by an error are "excluded" or count as "failures", with value 0.
        tasks: number of tasks with a run.
        clusters: number of independent clusters of the tasks.
        runs: number of runs with a value.
        ended_by_error: number of runs that ended by an error.
        unscored: number of runs with neither a value nor an error; they are left out.
        mean: mean over tasks of the mean of their runs; None without a run.
        se: clustered standard error of the mean; None with fewer than two clusters.
        low: lower end of the interval of the mean.
        high: upper end of the interval of the mean.
        pass_at_k: for each k, the probability that one or more of k runs of a task passes; None unless all values
            are 0 or 1.
        pass_hat_k: for each k, the probability that all of k runs of a task pass; None likewise.
    """

    side: str
    errors: Treatment
    tasks: int
    clusters: int
    runs: int
    ended_by_error: int
    unscored: int
    mean: float | None
    se: float | None
    low: float | None
    high: float | None
    pass_at_k: tuple[stats.OverTasks | None, ...]
    pass_hat_k: tuple[stats.OverTasks | None, ...]


@dataclass(frozen=True, slots=True)
class Success:
    """The result of `success`: one row a side; `.df()` has every figure, `.matrix()` the mean of each task and side."""

    rows: tuple[SuccessRate, ...]
    k: tuple[int, ...]
    confidence: float
    experiment: Experiment

    def df(self) -> pd.DataFrame:
        """Return the rows as a pandas frame: the columns of `SuccessRate`, and `pass@k`, `pass^k` and `dropped@k`.

        `dropped@k` is the number of tasks with fewer than k runs, which are in neither.
        """
        import pandas as pd

        return pd.DataFrame([self._figures(row) for row in self.rows])

    def matrix(self, errors: Treatment = "excluded") -> pd.DataFrame:
        """Return a frame with a row a task and a column a side: the mean of the runs, empty without any.

        Args:
            errors: leave out runs that ended by an error, or count them as "failures".
        """
        import pandas as pd

        if errors not in ("excluded", "failures"):
            raise BadValue(f'errors must be "excluded" or "failures"; got {errors!r}.')
        sides = {name: side.runs(errors) for name, side in self.experiment.sides.items()}
        tasks = list(self.experiment.clusters)
        means = [[fmean(runs[task]) if runs.get(task) else math.nan for runs in sides.values()] for task in tasks]
        return pd.DataFrame(means, index=pd.Index(tasks, name="task", tupleize_cols=False), columns=list(sides))

    def plot(self, errors: Treatment = "excluded") -> HConcatChart:
        """Return a chart of altair: each side's rate with its interval, and a cell for each task and side.

        Needs `pip install 'session-widgets[plot]'`. `chart.save("success.svg")` and, after
        `altair.renderers.enable("svg")`, a cell draw it without a network.

        Args:
            errors: leave out runs that ended by an error, or count them as "failures".

        Raises:
            BadValue: the outcomes are not between 0 and 1.
            MissingDependency: altair is not installed.
        """
        if not self.experiment.is_rate:
            low, high = self.experiment.ends
            raise BadValue(f"plot() shows outcomes between 0 and 1; these are from {low:g} to {high:g}.")
        matrix = self.matrix(errors)
        rows = [row for row in self.rows if row.errors == errors] or list(self.rows)
        means = {str(side): matrix[side].tolist() for side in matrix.columns}
        return success_plot([asdict(row) for row in rows], [*map(str, matrix.index)], means, self.confidence)

    def __repr__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())

    def _figures(self, row: SuccessRate) -> dict[str, Any]:
        names = [name for name in SuccessRate.__slots__ if name not in {"pass_at_k", "pass_hat_k"}]
        figures: dict[str, Any] = {name: getattr(row, name) for name in names}
        for k, at, hat in zip(self.k, row.pass_at_k, row.pass_hat_k, strict=True):
            figures[f"pass@{k}"] = at and at.value
            figures[f"pass^{k}"] = hat and hat.value
            figures[f"dropped@{k}"] = at and at.dropped
        return figures

    def _table(self) -> tuple[list[str], list[list[str]]]:
        shares = [f"{name}{k}" for k in self.k for name in ("pass@", "pass^")]
        lines = []
        for row in self.rows:
            mean = "" if row.mean is None else f"{row.mean:.3g}"
            if row.low is not None:
                mean += f" [{row.low:.3g}, {row.high:.3g}]"
            figures = self._figures(row)
            cells = ["" if figures[name] is None else f"{figures[name]:.3g}" for name in shares]
            counts = [str(row.tasks), str(row.runs), f"{row.ended_by_error} {row.errors}"]
            lines.append([one_line(row.side, 40), *counts, f"{mean}", *cells])
        return ["side", "tasks", "runs", "errors", f"mean, {self.confidence:.0%} interval", *shares], lines


def success(
    data: Any,
    *,
    compare: str | Sequence[str] = "harness",
    by: str | Sequence[str] = "task",
    cluster: str | Sequence[str] | None = None,
    value: str = "success",
    error: str = "error",
    k: Sequence[int] = (1,),
    confidence: float = 0.95,
) -> Success:
    """Return the success of each side over its tasks, with intervals over clusters of tasks.

    To say that one side is better than another, use `paired`: intervals of two sides that overlap prove nothing.

    Args:
        data: one row a run: a pandas frame, a list of dictionaries, or a result of DuckDB.
        compare: the column, or columns, that name a side.
        by: the column, or columns, that name a task.
        cluster: the column, or columns, of tasks that are alike, such as their repository. Default: each task alone.
        value: the column of the outcome: True, False, or a number.
        error: the column of errors: a run with a text or True in it ended by an error.
        k: numbers of runs for pass@k and pass^k.
        confidence: of the intervals, between 0 and 1.

    Returns:
        A table with a row a side, two if there are errors; `.df()` has every figure, `.matrix()` every task.

    Raises:
        BadValue: a column is missing or holds something else, or a task is in two clusters.

    Example:
        >>> runs = [{"task": n, "harness": "a", "success": n > m} for n in range(4) for m in range(4)]
        >>> success(runs, k=[1, 4]).df()[["mean", "pass@4", "pass^4"]].values.tolist()
        [[0.375, 0.75, 0.0]]
    """
    ks = tuple(k)
    if not ks or any(isinstance(one, bool) or not isinstance(one, int) or one < 1 for one in ks):
        raise BadValue(f"k must be numbers of runs from 1, such as [1, 5]; got {k!r}.")
    experiment = read_experiment(Table(data), compare, by, cluster, value, error)
    rows = [
        _rate(experiment, name, treatment, ks, confidence)
        for name in experiment.sides
        for treatment in experiment.treatments
    ]
    return Success(tuple(rows), ks, confidence, experiment)


def _rate(experiment: Experiment, name: str, treatment: Treatment, k: Sequence[int], confidence: float) -> SuccessRate:
    side = experiment.sides[name]
    tasks: dict[Hashable, Sequence[float]] = {task: runs for task, runs in side.runs(treatment).items() if runs}
    groups = [experiment.clusters[task] for task in tasks]
    mean = stats.clustered_mean([fmean(runs) for runs in tasks.values()], groups, confidence) if tasks else None
    values = {value for runs in tasks.values() for value in runs}
    counts = [(len(runs), round(sum(runs))) for runs in tasks.values()] if values <= {0, 1} else None
    return SuccessRate(
        side=name,
        errors=treatment,
        tasks=len(tasks),
        clusters=len(set(groups)),
        runs=sum(map(len, tasks.values())),
        ended_by_error=sum(side.errors.values()),
        unscored=side.unscored,
        mean=None if mean is None else mean.value,
        se=None if mean is None else mean.se,
        low=None if mean is None else mean.low,
        high=None if mean is None else mean.high,
        pass_at_k=tuple(None if counts is None else stats.pass_at_k_over_tasks(counts, one) for one in k),
        pass_hat_k=tuple(None if counts is None else stats.pass_hat_k_over_tasks(counts, one) for one in k),
    )
