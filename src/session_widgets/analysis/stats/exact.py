"""Tests that hold for few tasks: exact McNemar and sign flips, and Holm's adjustment for several tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb, fsum
from typing import TYPE_CHECKING, Any

from session_widgets.errors import BadValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLIPS = 9_999
"""Random sign flips, where there are too many to try all."""
ALL_FLIPS = 14
"""Clusters up to which all sign flips are tried: 2^14."""
_AT_ONCE = 1_000_000
_SAME = 1e-12


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: did one side pass more of the tasks that only one passed?

    It is 2 * P(X <= min(b, c)), at most 1, for X binomial with b + c trials of probability 1/2. Sources: McNemar
    (1947), Psychometrika 12:153-157; exact as in Fagerland, Lydersen and Laake (2013), BMC Medical Research
    Methodology 13:91.

    Args:
        only_first: number of tasks that only the first side passed.
        only_second: number of tasks that only the second side passed.

    Raises:
        BadValue: a count is negative.

    Example:
        >>> mcnemar(6, 0)
        0.03125
    """
    if min(only_first, only_second) < 0:
        raise BadValue(f"numbers of tasks cannot be negative; got {only_first} and {only_second}.")
    discordant = only_first + only_second
    below: int = sum(comb(discordant, number) for number in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * below / (1 << discordant))


def sign_flip(sums: Sequence[float], *, seed: int = 0) -> float:
    """Return the two-sided p-value of the sign-flip test: could the sum of these differences be chance?

    Under the null hypothesis the two sides of each cluster are exchangeable, so each difference has either sign
    with probability 1/2. The p-value is the share of all sign assignments whose sum is at least as far from 0. For
    differences of -1, 0 and 1 it is the one of McNemar's exact test. With more than 14 other differences, 9,999
    random assignments and the observed one are used. Sources: Fisher (1935), *The Design of Experiments*, section
    21; Phipson and Smyth (2010), Statistical Applications in Genetics and Molecular Biology 9:39, for random
    assignments.

    Args:
        sums: one difference a cluster.
        seed: of the random assignments.

    Example:
        >>> sign_flip([0.5, 0.5, 0.25, 0.25])
        0.125
    """
    import numpy as np

    moving = [value for value in sums if value != 0]
    if not moving:
        return 1.0
    if max(map(abs, moving)) - min(map(abs, moving)) <= _SAME * max(map(abs, moving)):
        positive = sum(value > 0 for value in moving)
        return mcnemar(positive, len(moving) - positive)
    differences = np.asarray(moving)
    reach = abs(fsum(moving)) - _SAME * float(np.abs(differences).sum())
    if len(moving) <= ALL_FLIPS:
        totals = np.zeros(1)
        for value in moving:
            totals = np.concatenate([totals + value, totals - value])
        return float(np.mean(np.abs(totals) >= reach))
    beyond = 0
    step = max(1, _AT_ONCE // len(moving))
    for first in range(0, FLIPS, step):
        totals = _signs(len(moving), min(step, FLIPS - first), (seed, first)) @ differences
        beyond += int(np.count_nonzero(np.abs(totals) >= reach))
    return (1 + beyond) / (FLIPS + 1)


@lru_cache(maxsize=8)
def _signs(clusters: int, draws: int, seed: tuple[int, int]) -> NDArray[Any]:
    import numpy as np

    bits = np.unpackbits(np.frombuffer(np.random.default_rng(seed).bytes(draws * clusters // 8 + 1), dtype=np.uint8))
    return bits[: draws * clusters].reshape(draws, clusters) * 2.0 - 1


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the same order: Holm's step-down procedure.

    Source: Holm (1979), *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of
    Statistics 6:65-70. The probability of one or more false findings stays below alpha if those with an adjusted
    p-value of at most alpha are taken as findings.

    Raises:
        BadValue: a p-value is not between 0 and 1.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise BadValue(f"p-values must be between 0 and 1; got {list(p_values)!r}.")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = highest
    return adjusted
