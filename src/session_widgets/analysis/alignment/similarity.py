"""Similarity of actions, in whole numbers, so that equal scores compare as equal."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from session_widgets.analysis.alignment.actions import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS = 5
"""The same kind counts 2, the same target 2, of which the same family of targets 1, the same arguments 1."""
UNIT = 840
"""Divisible by each number of members up to 8."""
MATCH = LEVELS * 2 * UNIT
"""Score of two equal actions; of two without anything in common minus that."""
GAP = 4 * UNIT
"""Cost of an action without a counterpart: two of them cost less than a pair without anything in common."""


def similarity(first: Action, second: Action) -> float:
    """Return the similarity of two actions: 0.4 for the same kind, 0.4 for the target, 0.2 for the arguments.

    The target counts only with the same kind, the arguments only with the same target; another target of the same
    family counts 0.2.
    """
    levels = 0
    for weight, one, other in zip((2, 1, 1, 1), _facts(first), _facts(second), strict=True):
        if one != other:
            break
        levels += weight
    return levels / LEVELS


def _facts(action: Action) -> tuple[str, str, str, str]:
    return action.kind, action.family, action.target, action.arguments


class Codes:
    """Actions of all runs as numbers, one for each different value of kind, family, target and arguments.

    Args:
        runs: the actions of each run.
    """

    def __init__(self, runs: Sequence[Sequence[Action]]) -> None:
        known = _Known()
        self.runs = [self._encode(run, known) for run in runs]

    @staticmethod
    def _encode(run: Sequence[Action], known: _Known) -> NDArray[Any]:
        import numpy as np

        facts = [[known(*_facts(action)[:count]) for count in range(1, 5)] for action in run]
        return np.ascontiguousarray(np.array(facts, dtype=np.int32).reshape(len(run), 4).T)

    def column_codes(self, columns: NDArray[Any], members: Sequence[int]) -> NDArray[Any]:
        """Return the codes of aligned columns: (fact, member, column), -1 where a member has no action."""
        import numpy as np

        found = np.full((4, len(members), columns.shape[1]), -1, dtype=np.int32)
        for place, member in enumerate(members):
            here = columns[place] >= 0
            found[:, place, here] = self.runs[member][:, columns[place, here]]
        return found


class _Known(dict[Hashable, int]):
    def __call__(self, *value: Hashable) -> int:
        return self.setdefault(value, len(self))


class Scores:
    """Scores of the actions of one run against aligned columns of others.

    The score of an action and a column is the mean over the members that have an action there of
    `MATCH * (2 * similarity - 1)`.

    Args:
        run: codes of the actions of the run, (fact, action).
        columns: codes of the columns, (fact, member, column).
    """

    def __init__(self, run: NDArray[Any], columns: NDArray[Any]) -> None:
        self.run, self.columns = run, columns
        present = (columns[0] >= 0).sum(axis=0).clip(1)
        self._level = (4 * UNIT // present).astype("int32")

    def __len__(self) -> int:
        return int(self.run.shape[1])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.columns.shape[2])

    @property
    def members(self) -> int:
        """Number of runs in the columns, 1 at least."""
        return max(1, int(self.columns.shape[1]))

    @property
    def names(self) -> tuple[list[int], list[int]]:
        """A number for each action and for each column, that of its first member: equal for equal actions."""
        whole = self.columns[3]
        first = (whole >= 0).argmax(axis=0)
        return self.run[3].tolist(), whole[first, range(self.width)].tolist()

    def row(self, action: int, low: int, high: int) -> NDArray[Any]:
        """Return `MATCH` plus the scores of an action against the columns from `low` to before `high`."""
        same = self.columns[:, :, low:high] == self.run[:, action, None, None]
        levels = same.view("u1").sum(axis=(0, 1), dtype="u1")
        levels += same[0].view("u1").sum(axis=0, dtype="u1")
        scores: NDArray[Any] = levels * self._level[low:high]
        return scores

    def part(self, first: int, last: int, low: int, high: int, *, backwards: bool = False) -> Scores:
        """Return the scores of some actions and columns, in order or backwards."""
        step = -1 if backwards else 1
        return Scores(self.run[:, first:last][:, ::step], self.columns[:, :, low:high][:, :, ::step])
