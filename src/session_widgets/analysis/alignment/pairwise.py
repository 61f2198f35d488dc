"""Alignment of a run with columns, the best one: in a band that grows, or in linear memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from session_widgets.analysis.alignment.pieces import WORK, pieces
from session_widgets.analysis.alignment.similarity import GAP, MATCH, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAND = 32
"""Columns beside the diagonal that are tried first."""
CELLS = 40_000_000
"""Cells of one byte that an alignment may keep; a larger one is divided."""
_NEVER = -(2**30)
_ACTION, _COLUMN = 1, 2
"""Bits of a cell: its best score is also that without its action, or without its column. Taken first on the way back,
gaps stand as late as possible: runs are together until they part."""

Pairs = list[tuple[int | None, int | None]]
"""Action and column at each place of an alignment; None for the side that has a gap there."""


def align_pair(scores: Scores, *, cells: int = CELLS, work: int = WORK) -> Pairs:
    """Return the best global alignment of a run with columns, with a constant cost for each gap.

    Of sides that need more than `work` comparisons, pieces between equal actions are aligned, each the best way.

    Sources: Needleman and Wunsch (1970), Journal of Molecular Biology 48:443-453; Ukkonen (1985), Information and
    Control 64:100-118, for the band: it is doubled until no path outside of it can have a better score; Hirschberg
    (1975), Communications of the ACM 18:341-343, for linear memory, where the table would have more than `cells`
    cells.

    Args:
        scores: of each action and column.
        cells: largest table, in bytes.
        work: largest number of comparisons of an action with an action.
    """
    found: Pairs = []
    todo = list(pieces(*scores.names, work // scores.members))[::-1]
    while todo:
        first, last, low, high = todo.pop()
        part = scores.part(first, last, low, high)
        pairs = _in_a_band(part, cells)
        if pairs is None:
            middle = (first + last) // 2
            ahead = _last_row(scores.part(first, middle, low, high))
            behind = _last_row(scores.part(middle, last, low, high, backwards=True))
            cut = low + int((ahead + behind[::-1]).argmax())
            todo += [(middle, last, cut, high), (first, middle, low, cut)]
        else:
            found += [(_moved(action, first), _moved(column, low)) for action, column in pairs]
    return found


def _moved(place: int | None, start: int) -> int | None:
    return None if place is None else place + start


def _in_a_band(scores: Scores, cells: int) -> Pairs | None:
    """Return the best alignment; None if its table does not fit."""
    import numpy as np

    rows, columns = len(scores), scores.width
    beside, apart = BAND, abs(rows - columns)
    while True:
        width = min(columns + 1, apart + 2 * beside + 1)
        if (rows + 1) * width > cells and rows > 1:
            return None
        steps = np.full((rows + 1, width), _COLUMN, dtype=np.uint8)
        best = int(_fill(scores, beside, steps)[columns]) - (rows + columns) * GAP
        # A path outside of the band has at least beside + 1 pairs less, and two gaps more for each of them.
        needed = -(-(min(rows, columns) * MATCH - apart * GAP - best) // (MATCH + 2 * GAP)) - 1
        if width == columns + 1 or beside >= needed:
            return _trace(steps, rows, columns, beside)
        beside = needed


def _last_row(scores: Scores) -> NDArray[Any]:
    return _fill(scores, scores.width + len(scores), None)


def _low(row: int, rows: int, columns: int, beside: int) -> int:
    """Return the first column of the band in a row."""
    return max(0, row + min(0, columns - rows) - beside)


def _fill(scores: Scores, beside: int, steps: NDArray[Any] | None) -> NDArray[Any]:
    """Return the last row of the table of best scores, and write where each cell's score comes from into `steps`.

    To each score `GAP` is added for each action and column so far, so that a gap costs nothing.
    """
    import numpy as np

    rows, columns = len(scores), scores.width
    size = np.int32 if (rows + columns) * MATCH < -_NEVER else np.int64
    before = np.full(columns + 1, _NEVER, dtype=size)
    before[: min(columns, max(0, columns - rows) + beside) + 1] = 0
    row = np.full(columns + 1, _NEVER, dtype=size)
    for number in range(1, rows + 1):
        low = _low(number, rows, columns, beside)
        high = min(columns, number + max(0, columns - rows) + beside)
        first = max(low, 1)
        both = scores.row(number - 1, first - 1, high) + before[first - 1 : high]
        both += 2 * GAP - MATCH
        action = before[first : high + 1]
        best = np.maximum(both, action)
        if low == 0:
            row[0] = 0
            np.maximum(best, 0, out=best)
        else:
            row[low - 1] = _NEVER
        np.maximum.accumulate(best, out=row[first : high + 1])
        if steps is not None:
            here = row[first : high + 1]
            told = steps[number, first - low : high + 1 - low]
            np.left_shift((here == row[first - 1 : high]).view("u1"), 1, out=told)
            told |= (here == action).view("u1")
            if low == 0:
                steps[number, 0] = _ACTION
        before, row = row, before
    return before


def _trace(steps: NDArray[Any], rows: int, columns: int, beside: int) -> Pairs:
    found: Pairs = []
    row, column = rows, columns
    while row or column:
        step = int(steps[row, column - _low(row, rows, columns, beside)])
        if step & _ACTION:
            row -= 1
            found.append((row, None))
        elif step & _COLUMN:
            column -= 1
            found.append((None, column))
        else:
            row, column = row - 1, column - 1
            found.append((row, column))
    return found[::-1]
