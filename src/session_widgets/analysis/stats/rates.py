"""Means over runs and their uncertainty: Wilson's interval, the clustered standard error, the cluster bootstrap."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from session_widgets.analysis.stats.distributions import check_share, normal_quantile, t_quantile
from session_widgets.errors import BadValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 4_000
"""Resamples of a bootstrap."""
_AT_ONCE = 1_000_000
"""Draws of a cluster that are kept in memory."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of values in clusters.

    Attributes:
        se: clustered standard error; None with fewer than two clusters.
        low: lower end of the interval; None with fewer than two clusters.
        high: upper end of the interval; None with fewer than two clusters.
        values: number of values.
        clusters: number of clusters.
    """

    value: float
    se: float | None
    low: float | None
    high: float | None
    values: int
    clusters: int


def wilson(passed: int, runs: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's interval for a probability: for independent runs of one cell, such as one task.

    Source: Wilson (1927), *Probable Inference, the Law of Succession, and Statistical Inference*, Journal of the
    American Statistical Association 22:209-212; in the form of Brown, Cai and DasGupta (2001), Statistical Science
    16:101-133, equation 4. Runs of several tasks are not independent: use `clustered_mean`.

    Args:
        passed: number of runs that passed.
        runs: number of runs, from 1.
        confidence: of the interval, between 0 and 1.

    Raises:
        BadValue: `passed` is not between 0 and `runs`, there is no run, or the confidence is no share.

    Example:
        >>> [round(end, 3) for end in wilson(8, 10)]
        [0.49, 0.943]
    """
    if not 0 <= passed <= runs or runs < 1:
        raise BadValue(f"wilson needs at least one run, and passed between 0 and runs; got {passed} of {runs}.")
    z2 = normal_quantile((1 + check_share("confidence", confidence)) / 2) ** 2
    centre = (passed + z2 / 2) / (runs + z2)
    half = math.sqrt(z2) * math.sqrt(passed * (runs - passed) / runs + z2 / 4) / (runs + z2)
    return Interval(0.0 if passed == 0 else centre - half, 1.0 if passed == runs else centre + half)


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable], confidence: float = 0.95) -> Mean:
    """Return the mean of values whose clusters are independent, such as the runs of tasks, with its interval.

    The variance is G / (G - 1) * sum over clusters of (sum of residuals)^2 / n^2, and the interval uses Student's t
    with G - 1 degrees of freedom, for G clusters and n values. Sources: Liang and Zeger (1986), Biometrika
    73:13-22; Miller (2024), *Adding Error Bars to Evals*, arXiv:2411.00640, on clustered standard errors, for
    evaluations; Cameron and Miller (2015), *A Practitioner's Guide to Cluster-Robust Inference*, Journal of Human
    Resources 50:317-372, for the factor and t.

    Args:
        values: one a run, for example 0 or 1.
        clusters: of each value, the cluster, for example the task.
        confidence: of the interval, between 0 and 1.

    Raises:
        BadValue: there is no value, or not one cluster for each.

    Example:
        >>> mean = clustered_mean([1, 1, 0, 0], ["a", "a", "b", "b"])
        >>> mean.value, mean.se, mean.clusters
        (0.5, 0.5, 2)
    """
    sums, sizes = cluster_sums(values, clusters)
    count, groups = len(values), len(sizes)
    mean = math.fsum(values) / count
    check_share("confidence", confidence)
    if groups < 2:
        return Mean(mean, None, None, None, count, groups)
    residuals = (total - size * mean for total, size in zip(sums, sizes, strict=True))
    se = math.sqrt(groups / (groups - 1) * math.fsum(residual**2 for residual in residuals)) / count
    half = t_quantile((1 + confidence) / 2, groups - 1) * se
    return Mean(mean, se, mean - half, mean + half, count, groups)


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    confidence: float = 0.95,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval | None:
    """Return the percentile interval of the mean when whole clusters are drawn with replacement.

    Sources: Efron and Tibshirani (1993), *An Introduction to the Bootstrap*, chapter 13, for the percentile interval;
    Cameron, Gelbach and Miller (2008), Review of Economics and Statistics 90:414-427, for drawing clusters.

    Args:
        values: one a run.
        clusters: of each value, the cluster.
        confidence: of the interval, between 0 and 1.
        draws: number of resamples.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        The interval; None with fewer than two clusters.

    Raises:
        BadValue: there is no value, or not one cluster for each.
    """
    import numpy as np

    sums, sizes = (np.asarray(part, dtype=float) for part in cluster_sums(values, clusters))
    tail = (1 - check_share("confidence", confidence)) / 2
    if len(sizes) < 2:
        return None
    means: list[NDArray[Any]] = []
    step = max(1, _AT_ONCE // len(sizes))
    for first in range(0, draws, step):
        times = _times_drawn(len(sizes), min(step, draws - first), (seed, first))
        means.append(times @ sums / (times @ sizes))
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(low), float(high))


@lru_cache(maxsize=2)  # the pairs of an experiment mostly have the same number of clusters
def _times_drawn(clusters: int, draws: int, seed: tuple[int, int]) -> NDArray[Any]:
    """Return how often each cluster (column) is in each resample (row)."""
    import numpy as np

    drawn = np.random.default_rng(seed).integers(0, clusters, (draws, clusters))
    places = drawn + np.arange(draws)[:, None] * clusters
    return np.bincount(places.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(float)


def cluster_sums(values: Sequence[float], clusters: Sequence[Hashable]) -> tuple[list[float], list[int]]:
    """Return the sum and the number of the values of each cluster, in the order of first appearance."""
    if not values or len(values) != len(clusters):
        raise BadValue(f"expected one cluster for each of one or more values; got {len(values)} and {len(clusters)}.")
    parts: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        parts.setdefault(cluster, []).append(value)
    return [math.fsum(part) for part in parts.values()], [len(part) for part in parts.values()]
