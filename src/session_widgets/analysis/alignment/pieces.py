"""Pieces of a long alignment, so that its time is bounded: cut where both sides certainly are at the same place."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

WORK = 25_000_000
"""Cells that an alignment may compute; one with more is cut into pieces."""

Place = tuple[int, int]


def pieces(first: Sequence[int], other: Sequence[int], work: int = WORK) -> Iterator[tuple[int, int, int, int]]:
    """Yield ranges of two sequences that are aligned apart from each other, in order: from, to, from, to.

    There is one piece if it takes at most `work` cells. Else pieces end at anchors: values that each side has exactly
    once, in the same order. Source: Cohen's patience diff (2003), of Bazaar. Where no anchor is near, both sides are
    cut in proportion, so all pieces together have at most about `work` cells, whatever the sequences are.

    Args:
        first: numbers that stand for actions.
        other: of the other side; negative where it has none.
        work: largest number of cells.

    Example:
        >>> list(pieces([1, 2, 3], [1, 2, 3]))
        [(0, 3, 0, 3)]
        >>> list(pieces([1, 2, 3, 4, 5, 6], [1, 2, 9, 9, 3, 4, 5, 6], work=24))
        [(0, 1, 0, 1), (1, 2, 1, 4), (2, 5, 4, 7), (5, 6, 7, 8)]
    """
    end = len(first), len(other)
    if end[0] * end[1] <= work:
        yield 0, end[0], 0, end[1]
        return
    side = max(1, work // max(end))
    here, number = (0, 0), 0
    anchors = [*_anchors(first, other), end]
    while here != end:
        while number + 1 < len(anchors) and _near(here, anchors[number + 1], side):
            number += 1
        there = anchors[number]
        if _near(here, there, side):
            number += 1
        else:
            share = side / max(there[0] - here[0], there[1] - here[1])
            there = _ahead(here[0], there[0], share), _ahead(here[1], there[1], share)
        if here != there:
            yield here[0], there[0], here[1], there[1]
        here = there


def _ahead(here: int, there: int, share: float) -> int:
    return here + max(min(1, there - here), int((there - here) * share))


def _near(here: Place, there: Place, side: int) -> bool:
    return max(there[0] - here[0], there[1] - here[1]) <= side


def _anchors(first: Sequence[int], other: Sequence[int]) -> list[Place]:
    """Return the places of the longest increasing chain of values that both sides have exactly once."""
    once = {value for value, count in Counter(first).items() if count == 1}
    once &= {value for value, count in Counter(other).items() if count == 1 and value >= 0}
    where = {value: place for place, value in enumerate(other) if value in once}
    pairs = [(place, where[value]) for place, value in enumerate(first) if value in once]
    lasts: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for number, (_, place) in enumerate(pairs):
        rank = bisect_left(lasts, place)
        before.append(ends[rank - 1] if rank else -1)
        lasts[rank : rank + 1] = [place]
        ends[rank : rank + 1] = [number]
    chain = []
    number = ends[-1] if ends else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]
