"""Power of a comparison: the difference that it can detect, and the data that it needs."""

from __future__ import annotations

import math

from session_widgets.analysis.stats.distributions import NORMAL, check_share, normal_quantile
from session_widgets.errors import BadValue

POWER = 0.8
ALPHA = 0.05


def power(difference: float, se: float, alpha: float = ALPHA) -> float:
    """Return the probability that a two-sided test detects a difference.

    Formula: Phi(d / se - z) + Phi(-d / se - z), with z the 1 - alpha / 2 quantile of the normal distribution.
    Source: Cohen (1988), *Statistical Power Analysis for the Behavioral Sciences*, for a known standard error.

    Args:
        difference: the true difference.
        se: standard error of its estimate, above 0.
        alpha: probability of a false finding.

    Example:
        >>> round(power(0.1, 0.0357), 2)
        0.8
    """
    _check_positive("se", se)
    z = normal_quantile(1 - check_share("alpha", alpha) / 2)
    return NORMAL.cdf(difference / se - z) + NORMAL.cdf(-difference / se - z)


def detectable(se: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the smallest true difference that a two-sided test detects with this power.

    Formula: (z(1 - alpha / 2) + z(power)) * se. Source: Bloom (1995), *Minimum Detectable Effects*, Evaluation Review
    19:547-556.

    Args:
        se: standard error of the estimated difference, from 0.
        alpha: probability of a false finding.
        power: probability of detecting the difference.

    Example:
        >>> round(detectable(0.041), 3)
        0.115
    """
    if se < 0 or math.isnan(se):
        raise BadValue(f"se must be 0 or more; got {se}.")
    return _reach(alpha, power) * se


def tasks_needed(variance: float, difference: float, alpha: float = ALPHA, power: float = POWER) -> int:
    """Return the number of tasks with which a two-sided test detects a difference.

    Formula: (z(1 - alpha / 2) + z(power))^2 * variance / difference^2, rounded up. Source: Miller (2024), *Adding
    Error Bars to Evals*, arXiv:2411.00640, on power analysis, where `variance` is omega^2 + sigma_A^2 / K_A +
    sigma_B^2 / K_B.

    Args:
        variance: variance over tasks of the difference of a task: number of tasks times squared standard error.
        difference: the true difference, not 0.
        alpha: probability of a false finding.
        power: probability of detecting the difference.

    Example:
        >>> tasks_needed(0.25, 0.1)
        197
    """
    _check_positive("difference", abs(difference))
    return max(2, math.ceil(_reach(alpha, power) ** 2 * variance / difference**2 - 1e-9))


def runs_needed(
    between: float, within: float, tasks: int, difference: float, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """Return the number of runs a task and side with which these tasks detect a difference.

    Solves the formula of `tasks_needed` for K = K_A = K_B, with variance = between + within / K.

    Args:
        between: variance over tasks of the true difference of a task, omega^2.
        within: variance of the difference of two single runs of the same task, sigma_A^2 + sigma_B^2.
        tasks: number of tasks.
        difference: the true difference, not 0.
        alpha: probability of a false finding.
        power: probability of detecting the difference.

    Returns:
        The number; None if no number of runs suffices, because the tasks are too few.

    Example:
        >>> runs_needed(0.02, 0.4, tasks=80, difference=0.1)
        5
        >>> runs_needed(0.25, 0.4, tasks=80, difference=0.1) is None
        True
    """
    _check_positive("difference", abs(difference))
    left = tasks * difference**2 / _reach(alpha, power) ** 2 - between
    return max(1, math.ceil(within / left - 1e-9)) if left > 0 else None


def _reach(alpha: float, power: float) -> float:
    return normal_quantile(1 - check_share("alpha", alpha) / 2) + normal_quantile(check_share("power", power))


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise BadValue(f"{name} must be above 0; got {value}.")
