"""Alignment and divergence without a store."""

from __future__ import annotations

import tracemalloc
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_widgets.analysis.alignment import pairwise
from session_widgets.analysis.alignment.alignment import Alignment
from session_widgets.analysis.alignment.divergence import Ending, action_divergence
from session_widgets.analysis.alignment.pairwise import align_pair
from session_widgets.analysis.alignment.pieces import pieces
from session_widgets.analysis.alignment.progressive import _order, align_runs
from session_widgets.analysis.alignment.similarity import GAP, MATCH, Codes, Scores, similarity
from tests.analysis.made import GOLDEN, action, golden, run

WORDS = [f"{kind} {target} #{more}" for kind in ("read", "edit") for target in ("a/x", "b/x", "y") for more in "12"]
RUNS = st.lists(st.sampled_from(WORDS), max_size=9).map(lambda texts: run(*texts))


def aligned(*runs, endings=()):
    return Alignment([f"r{n}" for n in range(len(runs))], runs, endings or [Ending()] * len(runs))


def scores(first, second):
    codes = Codes([first, second])
    return Scores(codes.runs[0], codes.column_codes(np.arange(len(second))[None, :], [1]))


def score(first, second, pairs):
    """The score of an alignment, by the definition."""
    return sum(
        -GAP if one is None or other is None else MATCH * (2 * similarity(first[one], second[other]) - 1)
        for one, other in pairs
    )


def best_score(first, second):
    """The best score of any alignment, tried out."""

    @cache
    def best(one, other):
        if not one or not other:
            return -GAP * (one + other)
        pair = MATCH * (2 * similarity(first[one - 1], second[other - 1]) - 1)
        return max(best(one - 1, other - 1) + pair, best(one - 1, other) - GAP, best(one, other - 1) - GAP)

    return best(len(first), len(second))


def check_complete(runs, columns):
    """Each action is in one column, in order, and no column is empty."""
    for number, actions in enumerate(runs):
        assert [column[number] for column in columns if column[number] is not None] == list(range(len(actions)))
    assert all(any(place is not None for place in column) for column in columns)


@given(RUNS, RUNS)
def test_a_pair_is_aligned_with_the_best_score(first, second):
    pairs = align_pair(scores(first, second))
    check_complete([first, second], pairs)
    assert score(first, second, pairs) == pytest.approx(best_score(first, second))


@given(RUNS, RUNS, st.sampled_from([1, 2, 5, 20]))
def test_a_narrow_band_and_little_memory_change_no_score(first, second, cells):
    expected = best_score(first, second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairwise, "BAND", 1)
        pairs = align_pair(scores(first, second))
        assert score(first, second, pairs) == pytest.approx(expected)
        divided = align_pair(scores(first, second), cells=cells)
    check_complete([first, second], divided)
    assert score(first, second, divided) == pytest.approx(expected)


@pytest.mark.parametrize(("rows", "columns"), [(300, 300), (300, 500), (500, 40), (1, 400), (0, 3), (3, 0), (0, 0)])
def test_a_band_that_grows_is_as_good_as_the_whole_table(rows, columns, monkeypatch):
    chance = np.random.default_rng(rows + columns)
    first, second = (run(*(WORDS[n] for n in chance.integers(0, len(WORDS), size))) for size in (rows, columns))
    banded = align_pair(scores(first, second))
    monkeypatch.setattr(pairwise, "BAND", 2_000)
    assert align_pair(scores(first, second)) == banded
    assert score(first, second, align_pair(scores(first, second), cells=9_000)) == score(first, second, banded)


def test_memory_is_bounded_whatever_the_lengths():
    chance = np.random.default_rng(0)
    first, second = (run(*(f"read f{n}" for n in chance.integers(0, 400, 900))) for _ in range(2))
    both = scores(first, second)
    tracemalloc.start()
    pairs = align_pair(both, cells=40_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    check_complete([first, second], pairs)
    assert peak < 500_000  # the whole table has 810 kB


VALUES = st.lists(st.integers(-1, 12), max_size=60)


@given(VALUES, VALUES, st.sampled_from([1, 7, 50, 400]))
def test_pieces_cover_both_sides_and_bound_the_work(first, other, work):
    found = list(pieces(first, other, work))
    places = [(0, 0)]
    for a, b, c, d in found:
        assert (a, c) == places[-1]
        assert (b, d) > (a, c) or len(found) == 1
        places.append((b, d))
    assert places[-1] == (len(first), len(other))
    side = max(1, work // max(len(first), len(other), 1))
    if len(found) > 1:
        assert all(max(b - a, d - c) <= side for a, b, c, d in found)
    assert sum((b - a) * (d - c) for a, b, c, d in found) <= max(work, 2 * (len(first) + len(other)) * side)


def test_pieces_end_where_both_sides_are_at_the_same_place():
    first = [*range(40)]
    other = [*range(20), *range(100, 103), *range(20, 40)]
    for a, b, c, d in pieces(first, other, work=500):
        assert first[a:b] == [value for value in other[c:d] if value < 100]


@given(RUNS, RUNS, st.sampled_from([1, 10, 40]))
def test_a_long_pair_is_aligned_in_pieces_completely_and_in_order(first, second, work):
    pairs = align_pair(scores(first, second), work=work)
    check_complete([first, second], pairs)


def test_a_long_pair_computes_a_bounded_number_of_cells(monkeypatch):
    chance = np.random.default_rng(3)
    first, second = (run(*(f"read f{n}" for n in chance.integers(0, 9, 300))) for _ in range(2))
    cells = []
    fill = pairwise._fill
    monkeypatch.setattr(
        pairwise, "_fill", lambda part, *more: cells.append(len(part) * part.width) or fill(part, *more)
    )
    align_pair(scores(first, second))
    assert sum(cells) >= 90_000
    cells.clear()
    align_pair(scores(first, second), work=3_000)
    assert sum(cells) <= 4 * 3_000


def test_a_long_pair_is_aligned_as_well_in_pieces():
    first = run(*(f"read f{n}" for n in range(400)))
    second = [one for n, one in enumerate(first) if n % 9]
    whole = align_pair(scores(first, second))
    assert score(first, second, align_pair(scores(first, second), work=20_000)) == score(first, second, whole)


@given(st.lists(RUNS, min_size=2, max_size=8))
def test_several_runs_are_aligned_completely_and_in_order(runs):
    columns = align_runs(runs)
    check_complete(runs, columns)
    assert columns == align_runs(runs)


@given(RUNS, st.integers(2, 8))
def test_equal_runs_are_equal_in_each_column(actions, times):
    found = aligned(*[actions] * times)
    assert found.columns == [(place,) * times for place in range(len(actions))]
    assert set(found.similarity) <= {1.0}
    assert not any(map(bool, (found.divergence.action, found.divergence.edit, found.divergence.file_state)))


@given(RUNS, RUNS, RUNS)
def test_what_runs_begin_with_stays_together(beginning, first, second):
    texts = [[one.step.title for one in part] for part in (beginning, first, second)]
    columns = align_runs([run(*texts[0], *texts[1]), run(*texts[0], *texts[2])])
    assert columns[: len(beginning)] == [(place, place) for place in range(len(beginning))]


@given(st.lists(RUNS, min_size=2, max_size=8), RUNS)
def test_the_score_of_a_column_is_the_mean_over_its_members(runs, other):
    columns = align_runs(runs)
    codes = Codes([*runs, other])
    places = [-1 if place is None else place for column in columns for place in column]
    by_run = np.array(places, dtype=int).reshape(-1, len(runs)).T
    both = Scores(codes.runs[-1], codes.column_codes(by_run, range(len(runs))))
    for number, one in enumerate(other):
        expected = [
            np.mean([similarity(one, r[p]) for r, p in zip(runs, column, strict=True) if p is not None])
            for column in columns
        ]
        assert both.row(number, 0, len(columns)) == pytest.approx(2 * MATCH * np.array(expected))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("read a #1", "read a #1", 1),
        ("read a #1", "read a #2", 0.8),
        ("read x/a #1", "read y/a #1", 0.6),
        ("read a #1", "read b #1", 0.4),
        ("read a #1", "edit a #1", 0),
        ("execute git status", "execute git commit", 0.6),
    ],
)
def test_similarity(first, second, expected):
    assert similarity(action(first), action(second)) == similarity(action(second), action(first)) == expected


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_alignment_is_as_a_person_made_it(path):
    by_hand = golden(path)
    found = aligned(*by_hand.runs)
    assert found.columns == by_hand.columns
    assert {name: getattr(found.divergence, name).column for name in by_hand.parts} == by_hand.parts


def test_the_alignments_made_by_hand_are_there():
    assert len(GOLDEN) >= 12


@pytest.mark.parametrize(
    ("similarities", "column"),
    [
        ([], None),
        ([1, 1, 1], None),
        ([1, 1, 0, 0], 2),
        ([0, 0], 0),
        ([1, 1, 0, 1, 1], None),
        ([0.4, 1, 1], None),
        ([1, 0.4, 0, 0.4, 1, 0], 1),
        ([1, 1, 0, 0, 1, 1], None),
    ],
)
def test_runs_part_where_the_similarity_stays_low(similarities, column):
    assert action_divergence(similarities).column == column


def test_files_that_only_commands_changed_differ_at_the_end():
    actions = run("execute make #all")
    endings = [Ending("completed", (("out.bin", 10),)), Ending("completed", (("out.bin", 12), ("log", 1)))]
    found = aligned(actions, actions, endings=endings).divergence
    assert (found.file_state.column, found.file_state.detail) == (1, "at the end alone: log, out.bin differ")
    assert (found.outcome.column, found.outcome.detail) == (None, "completed in all runs")


def test_different_outcomes_are_named():
    actions = run("read a")
    found = aligned(actions, actions, endings=[Ending("completed"), Ending("rate_limited")]).divergence.outcome
    assert (found.column, found.detail) == (1, "completed, rate_limited")


def test_an_edit_of_an_unknown_text_is_compared_by_its_history():
    same = aligned(run("edit a #x>y", "edit a #y>z"), run("edit a #x>y", "edit a #y>z")).divergence
    assert not same.file_state
    other = aligned(run("edit a #x>y", "edit a #y>z"), run("edit a #x>y", "edit a #y>w")).divergence
    assert other.file_state.column == other.edit.column == 1
    assert "edit a, has other lines" in other.edit.detail


def test_a_deletion_and_a_move_change_files():
    for kind in ("delete", "move"):
        found = aligned(run("read a", f"{kind} a"), run("read a")).divergence
        assert found.file_state.column == found.edit.column == 1
        assert found.edit.detail == f"change 1 is {kind} a or nothing"


def test_the_text_that_an_edit_replaces_must_be_there():
    first, second = (run("edit a #>one", f"edit a #zero>{word}", "edit a #>end") for word in ("two", "three"))
    assert aligned(first, second).divergence.file_state.column == 1


def test_changes_at_different_times_part_at_the_earlier_one():
    first = run("edit a #x>y", "read b", "execute pytest", "read c")
    second = run("read b", "execute pytest", "read c", "edit d #x>y")
    found = aligned(first, second)
    assert found.columns == [(0, None), (1, 0), (2, 1), (3, 2), (None, 3)]
    assert found.divergence.edit.column == 0


def test_the_runs_with_most_in_common_are_aligned_first():
    texts = ["read a", "edit a #1", "execute pytest", "read b"]
    runs = [run("search x", "read z"), run(*texts), run(*texts[:2], "read b")]
    assert _order(runs) == [1, 2, 0]
