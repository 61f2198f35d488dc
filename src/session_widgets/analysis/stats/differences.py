"""The difference of two sides over the tasks that both have run."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from session_widgets.analysis.stats.exact import mcnemar, sign_flip
from session_widgets.analysis.stats.rates import Interval, cluster_bootstrap, cluster_sums, clustered_mean
from session_widgets.errors import BadValue

Runs = Mapping[Hashable, Sequence[float]]
"""The values of the runs of each task."""
_SAME = 1e-12


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """First side minus second side, as a mean over tasks.

    Attributes:
        value: mean over tasks of the difference between the task's mean on either side.
        first: mean over the same tasks of the first side.
        second: mean over the same tasks of the second side.
        se: clustered standard error of `value`; None with fewer than two clusters.
        low: lower end of the interval by Student's t; None with fewer than two clusters.
        high: upper end of that interval.
        bootstrap: percentile interval of the cluster bootstrap; None with fewer than two clusters.
        p: of the sign-flip test over clusters.
        p_mcnemar: of McNemar's exact test; None unless every task has one run a side, with value 0 or 1.
        tasks: number of tasks that both sides have run.
        unpaired: number of tasks that only one side has run; they are left out.
        clusters: number of independent clusters of tasks.
        within: variance of the difference of two single runs of a task, sigma_A^2 + sigma_B^2; None if no task has
            several runs on each side.
        between: variance over tasks of the true difference of a task, omega^2; None if `within` is unknown.
    """

    value: float
    first: float
    second: float
    se: float | None
    low: float | None
    high: float | None
    bootstrap: Interval | None
    p: float
    p_mcnemar: float | None
    tasks: int
    unpaired: int
    clusters: int
    within: float | None
    between: float | None


def paired_difference(
    first: Runs,
    second: Runs,
    clusters: Mapping[Hashable, Hashable] | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference | None:
    """Return the difference between two sides over the tasks of both.

    For each task, the mean of its runs on one side is taken from that on the other; the mean of these differences
    over tasks has the clustered standard error of `clustered_mean`. Source: Miller (2024), *Adding Error Bars to
    Evals*, arXiv:2411.00640, on paired differences and on clustered standard errors.

    Args:
        first: of each task, the values of its runs; a task without values counts as absent.
        second: the same of the other side.
        clusters: of each task, its cluster, such as its repository; None if tasks are independent.
        confidence: of the intervals, between 0 and 1.
        seed: of the bootstrap and of random sign flips.

    Returns:
        The difference; None if the sides share no task.

    Raises:
        BadValue: a task has no cluster.

    Example:
        >>> paired_difference({"a": [1, 1], "b": [1, 0]}, {"a": [0, 1], "b": [0, 0]}).value
        0.5
    """
    had = [{task for task, values in side.items() if values} for side in (first, second)]
    tasks = [task for task in first if task in had[0] & had[1]]
    if not tasks:
        return None
    missing = [task for task in tasks if clusters is not None and task not in clusters]
    if missing:
        raise BadValue(f"task {missing[0]!r} has no cluster; expected one for each task.")
    groups = [task if clusters is None else clusters[task] for task in tasks]
    means = [(fmean(first[task]), fmean(second[task])) for task in tasks]
    differences = [0.0 if math.isclose(one, other, rel_tol=_SAME) else one - other for one, other in means]
    mean = clustered_mean(differences, groups, confidence)
    within, between = _components(first, second, tasks, mean.se)
    return PairedDifference(
        value=mean.value,
        first=fmean(one for one, _ in means),
        second=fmean(other for _, other in means),
        se=mean.se,
        low=mean.low,
        high=mean.high,
        bootstrap=cluster_bootstrap(differences, groups, confidence, seed=seed),
        p=sign_flip(cluster_sums(differences, groups)[0], seed=seed),
        p_mcnemar=_mcnemar(first, second, tasks),
        tasks=len(tasks),
        unpaired=len(had[0] ^ had[1]),
        clusters=mean.clusters,
        within=within,
        between=between,
    )


def _mcnemar(first: Runs, second: Runs, tasks: Sequence[Hashable]) -> float | None:
    if any(len(side[task]) != 1 or side[task][0] not in (0, 1) for task in tasks for side in (first, second)):
        return None
    pairs = [(first[task][0], second[task][0]) for task in tasks]
    return mcnemar(sum(one > other for one, other in pairs), sum(one < other for one, other in pairs))


def _components(
    first: Runs, second: Runs, tasks: Sequence[Hashable], se: float | None
) -> tuple[float | None, float | None]:
    """Return the pooled variance within tasks of a difference of single runs, and that between tasks beyond it."""
    pooled = []
    for side in (first, second):
        several = [side[task] for task in tasks if len(side[task]) > 1]
        freedom = sum(len(values) - 1 for values in several)
        squares = math.fsum((value - mean) ** 2 for values in several for mean in [fmean(values)] for value in values)
        pooled.append(squares / freedom if freedom else None)
    if se is None or pooled[0] is None or pooled[1] is None:
        return None, None
    noise = fmean(pooled[0] / len(first[task]) + pooled[1] / len(second[task]) for task in tasks)
    return pooled[0] + pooled[1], max(0.0, len(tasks) * se**2 - noise)
