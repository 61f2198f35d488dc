"""Success of a task that was run several times: pass@k and pass^k."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import comb

from session_widgets.errors import BadValue


@dataclass(frozen=True, slots=True)
class OverTasks:
    """A mean over tasks.

    Attributes:
        value: the mean; None if no task has enough runs.
        tasks: number of tasks in the mean.
        dropped: number of tasks with fewer than k runs, for which the value is not defined.
    """

    value: float | None
    tasks: int
    dropped: int


def pass_at_k(runs: int, passed: int, k: int) -> float | None:
    """Return the probability that at least one of k runs of a task passes, without bias.

    Formula: 1 - C(n - c, k) / C(n, k). Source: Chen et al. (2021), *Evaluating Large Language Models Trained on Code*,
    arXiv:2107.03374, equation 1.

    Args:
        runs: number n of runs of the task.
        passed: number c of those that passed.
        k: number of runs that are drawn.

    Returns:
        The probability; None if the task has fewer than k runs.

    Raises:
        BadValue: a count is negative, `passed` is above `runs`, or k is below 1.

    Example:
        >>> pass_at_k(4, 1, 2)
        0.5
    """
    _check(runs, passed, k)
    return None if runs < k else 1 - comb(runs - passed, k) / comb(runs, k)


def pass_hat_k(runs: int, passed: int, k: int) -> float | None:
    """Return the probability that all of k runs of a task pass (pass^k), without bias.

    Formula: C(c, k) / C(n, k). Source: Yao et al. (2024), *tau-bench: A Benchmark for Tool-Agent-User Interaction in
    Real-World Domains*, arXiv:2406.12045, the definition of pass^k.

    Args:
        runs: number n of runs of the task.
        passed: number c of those that passed.
        k: number of runs that are drawn.

    Returns:
        The probability; None if the task has fewer than k runs.

    Raises:
        BadValue: a count is negative, `passed` is above `runs`, or k is below 1.

    Example:
        >>> pass_hat_k(4, 2, 1)
        0.5
    """
    _check(runs, passed, k)
    return None if runs < k else comb(passed, k) / comb(runs, k)


def pass_at_k_over_tasks(counts: Iterable[tuple[int, int]], k: int) -> OverTasks:
    """Return the mean of pass@k over tasks; tasks with fewer than k runs are counted and left out.

    Args:
        counts: of each task, the number of its runs and of those that passed.
        k: number of runs that are drawn.

    Example:
        >>> pass_at_k_over_tasks([(4, 4), (4, 0), (1, 1)], 2)
        OverTasks(value=0.5, tasks=2, dropped=1)
    """
    return _over_tasks(pass_at_k, counts, k)


def pass_hat_k_over_tasks(counts: Iterable[tuple[int, int]], k: int) -> OverTasks:
    """Return the mean of pass^k over tasks; tasks with fewer than k runs are counted and left out.

    Args:
        counts: of each task, the number of its runs and of those that passed.
        k: number of runs that are drawn.

    Example:
        >>> pass_hat_k_over_tasks([(4, 4), (4, 0), (1, 1)], 2)
        OverTasks(value=0.5, tasks=2, dropped=1)
    """
    return _over_tasks(pass_hat_k, counts, k)


def _over_tasks(
    estimator: Callable[[int, int, int], float | None], counts: Iterable[tuple[int, int]], k: int
) -> OverTasks:
    values = [estimator(runs, passed, k) for runs, passed in counts]
    known = [value for value in values if value is not None]
    return OverTasks(sum(known) / len(known) if known else None, len(known), len(values) - len(known))


def _check(runs: int, passed: int, k: int) -> None:
    if not 0 <= passed <= runs:
        raise BadValue(f"passed must be between 0 and the number of runs; got {passed} of {runs}.")
    if k < 1:
        raise BadValue(f"k must be at least 1; got {k}.")
