"""Alignment of several runs, one after the other: the most alike first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from session_widgets.analysis.alignment.actions import Action
from session_widgets.analysis.alignment.pairwise import align_pair
from session_widgets.analysis.alignment.similarity import Codes, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

Columns = list[tuple[int | None, ...]]
"""For each column the index of each run's action, None for a gap."""


def align_runs(runs: Sequence[Sequence[Action]]) -> Columns:
    """Align the actions of runs: each action is in one column, in order, and no column is empty.

    The two runs with the most actions in common are aligned first, then the run that has most in common with those
    already aligned, and so on; gaps, once set, stay. Sources: Feng and Doolittle (1987), Journal of Molecular
    Evolution 25:351-360, for progressive alignment; Edgar (2004), Nucleic Acids Research 32:1792-1797, for an order
    that needs no alignment of all pairs.

    Args:
        runs: the actions of two to eight runs.
    """
    import numpy as np

    codes = Codes(runs)
    order = _order(runs)
    columns: NDArray[Any] = np.arange(len(runs[order[0]]))[None, :]
    for place in range(1, len(order)):
        members, new = order[:place], order[place]
        pairs = align_pair(Scores(codes.runs[new], codes.column_codes(columns, members)))
        grown = np.full((place + 1, len(pairs)), -1)
        for number, (action, column) in enumerate(pairs):
            if column is not None:
                grown[:place, number] = columns[:, column]
            if action is not None:
                grown[place, number] = action
        columns = grown
    by_run = columns[np.argsort(order)]
    return [tuple(None if place < 0 else place for place in column) for column in by_run.T.tolist()]


def _order(runs: Sequence[Sequence[Action]]) -> list[int]:
    """Return the runs in the order in which they are aligned."""
    contents = [Counter((action.kind, action.target) for action in run) for run in runs]
    common = {
        (one, other): (contents[one] & contents[other]).total() / max(1, len(runs[one]), len(runs[other]))
        for one, other in combinations(range(len(runs)), 2)
    }
    closest = max(common, key=lambda pair: (common[pair], -pair[0], -pair[1]))
    order = list(closest)
    while len(order) < len(runs):
        left = [run for run in range(len(runs)) if run not in order]
        order.append(
            max(
                left,
                key=lambda run: (
                    sum(value for pair, value in common.items() if run in pair and {*pair} & {*order}),
                    -run,
                ),
            )
        )
    return order
