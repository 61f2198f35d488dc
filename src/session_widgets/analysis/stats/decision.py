"""The verdict of a comparison as one of four words, by a stated rule."""

from __future__ import annotations

import math
from typing import Literal

from session_widgets.analysis.stats.distributions import check_share, t_tail
from session_widgets.errors import BadValue

Verdict = Literal["better", "worse", "tied", "not enough data"]


def verdict(
    difference: float, p: float, p_tied: float, clusters: int, *, margin: float = 0.1, alpha: float = 0.05
) -> Verdict:
    """Return the verdict about the first side.

    The rule, in this order:

    1. "better" or "worse" by the sign of the difference, if `p` is at most alpha;
    2. "tied", if `p_tied` is at most alpha and there are at least `clusters_for_a_tie(margin, alpha)` clusters: then
       the true difference is smaller than the margin. That no difference was found is not enough for a tie;
    3. "not enough data".

    Args:
        difference: first minus second; higher is better.
        p: of the test that there is no difference, adjusted for the number of comparisons.
        p_tied: of the test that the difference is at least the margin (`p_equivalent`), adjusted alike.
        clusters: number of independent clusters, usually tasks.
        margin: largest difference that counts as none, as a share of the range of the values.
        alpha: probability of a false finding.

    Example:
        >>> verdict(0.2, 0.001, 0.99, 80), verdict(0.003, 0.94, 0.01, 80), verdict(0.003, 0.94, 0.3, 80)
        ('better', 'tied', 'not enough data')
    """
    if p <= alpha and difference != 0:
        return "better" if difference > 0 else "worse"
    return "tied" if p_tied <= alpha and clusters >= clusters_for_a_tie(margin, alpha) else "not enough data"


def p_equivalent(difference: float, se: float | None, clusters: int, margin: float) -> float:
    """Return the p-value of the two one-sided tests (TOST) that the true difference is as large as the margin.

    It is the larger of P(T > (margin - d) / se) and P(T > (margin + d) / se), with clusters - 1 degrees of freedom.
    Source: Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15:657-680.

    Args:
        difference: the estimate.
        se: its standard error; None if it is unknown, which gives 1.
        clusters: number of independent clusters.
        margin: largest difference that counts as none, above 0.

    Example:
        >>> round(p_equivalent(0.003, 0.041, 80, 0.1), 3)
        0.01
    """
    if not margin > 0:
        raise BadValue(f"margin must be above 0; got {margin}.")
    if se is None or clusters < 2:
        return 1.0
    nearest = margin - abs(difference)
    if se == 0:
        return 0.0 if nearest > 0 else 1.0
    return t_tail(nearest / se, clusters - 1)


def clusters_for_a_tie(margin: float, alpha: float = 0.05) -> int:
    """Return the number of clusters below which nothing is called a tie: log(alpha) / log(1 - margin), rounded up.

    With fewer, tasks that all end alike on both sides are no evidence: if one side alone fails a share of `margin`
    of all tasks, a sample without such a task has a probability of (1 - margin)^n, above alpha. Source: Hanley and
    Lippman-Hand (1983), *If Nothing Goes Wrong, Is Everything All Right?*, JAMA 249:1743-1745.

    Args:
        margin: as a share of the range of the values.
        alpha: probability of a false finding.

    Example:
        >>> clusters_for_a_tie(0.1), clusters_for_a_tie(0.25)
        (29, 11)
    """
    check_share("alpha", alpha)
    return 2 if margin >= 1 else max(2, math.ceil(math.log(alpha) / math.log1p(-margin)))
