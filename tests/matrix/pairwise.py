"""Which cells of a matrix CI runs: each pair of values at least once. `make nightly` runs all cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

Cell = tuple[str, ...]


def covering(cells: Iterable[Cell]) -> list[Cell]:
    """Choose cells that have each pair of values that any cell has; always the same ones.

    Args:
        cells: the whole matrix; each cell has one value of each dimension.

    Returns:
        The chosen cells, in the order of the matrix.
    """
    whole = list(dict.fromkeys(cells))
    missing = {pair for cell in whole for pair in _pairs(cell)}
    chosen = set()
    while missing:
        best = max(whole, key=lambda cell: len(missing & _pairs(cell)))  # the first of several
        chosen.add(best)
        missing -= _pairs(best)
    return [cell for cell in whole if cell in chosen]


def _pairs(cell: Cell) -> set[tuple[tuple[int, str], ...]]:
    """Two values each, with their dimensions."""
    return set(itertools.combinations(enumerate(cell), 2))
