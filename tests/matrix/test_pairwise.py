"""The cells that CI runs have every pair, and no cell more than needed."""

from __future__ import annotations

import itertools

import pytest

from tests.matrix.pairwise import covering

LETTERS, DIGITS, SIGNS = "abcde", "1234", "+-*/%"
WHOLE = list(itertools.product(LETTERS, DIGITS, SIGNS))
RAGGED = [cell for cell in WHOLE if cell[0] != "e" or cell[1] in "12"]
"""The last letter has two of the digits alone, as a sandbox that no bucket can be mounted into."""


def pairs(cells):
    return {pair for cell in cells for pair in itertools.combinations(enumerate(cell), 2)}


@pytest.mark.parametrize("cells", [WHOLE, RAGGED], ids=["whole", "ragged"])
def test_each_pair_of_values_is_there(cells):
    chosen = covering(cells)
    assert pairs(chosen) == pairs(cells)
    assert set(chosen) <= set(cells)
    assert len(chosen) <= 30  # of 100; 25 pairs of a letter and a sign need a cell each


def test_the_choice_is_the_same_each_time_and_in_the_order_of_the_matrix():
    assert covering(WHOLE) == covering(iter(WHOLE)) == sorted(covering(WHOLE), key=WHOLE.index)


def test_a_cell_that_stands_twice_is_chosen_once():
    assert covering([("a", "1"), ("a", "1"), ("b", "1")]) == [("a", "1"), ("b", "1")]
