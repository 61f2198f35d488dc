"""Quantiles and tails of the normal and of Student's t distribution, without SciPy."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from session_widgets.errors import BadValue

NORMAL = NormalDist()
_TINY = 1e-300
_STEPS = 100_000


def check_share(name: str, value: float) -> float:
    """Return a number strictly between 0 and 1, such as a confidence; raise `BadValue` for another one."""
    if not (isinstance(value, int | float) and 0 < value < 1):
        raise BadValue(f"{name} must be a number between 0 and 1, such as 0.95; got {value!r}.")
    return float(value)


def normal_quantile(share: float) -> float:
    """Return the value below which this share of a standard normal distribution lies."""
    return NORMAL.inv_cdf(share)


def t_tail(t: float, df: float) -> float:
    """Return P(T > t) of Student's t distribution with `df` degrees of freedom.

    Formula: Abramowitz and Stegun (1964), *Handbook of Mathematical Functions*, 26.7.1, as an incomplete beta function.
    """
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    beyond = _incomplete_beta(df / 2, 0.5, df / (df + t * t)) / 2
    return beyond if t >= 0 else 1 - beyond


@lru_cache(maxsize=1024)
def t_quantile(share: float, df: float) -> float:
    """Return the value below which this share of Student's t distribution lies, by bisection."""
    check_share("share", share)
    if share == 0.5:
        return 0.0
    if share < 0.5:
        return -t_quantile(1 - share, df)
    low, high = 0.0, 1.0
    while t_tail(high, df) > 1 - share:
        low, high = high, high * 2
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, df) > 1 - share else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function for 0 <= x <= 1."""
    if x in (0, 1):
        return float(x)
    return 1 - _fraction(b, a, 1 - x) if x > (a + 1) / (a + b + 2) else _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """Return the same by its continued fraction, DLMF 8.17.22, evaluated by Lentz's method."""
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    front = math.exp(logarithm) / a
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
