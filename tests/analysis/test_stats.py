"""Statistics without a judge: definitions counted out, edge cases, what the numbers must never do."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_widgets.analysis import stats
from session_widgets.errors import BadValue

COUNTS = st.integers(1, 7).flatmap(lambda runs: st.tuples(st.just(runs), st.integers(0, runs)))


@given(COUNTS, st.integers(1, 7))
def test_pass_at_k_and_pass_hat_k_count_the_draws(counts, k):
    runs, passed = counts
    draws = list(combinations([True] * passed + [False] * (runs - passed), k))
    if k > runs:
        assert stats.pass_at_k(runs, passed, k) is stats.pass_hat_k(runs, passed, k) is None
    else:
        assert stats.pass_at_k(runs, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws))
        assert stats.pass_hat_k(runs, passed, k) == pytest.approx(sum(map(all, draws)) / len(draws))


@given(st.lists(COUNTS, max_size=9), st.integers(1, 4))
def test_a_task_with_fewer_than_k_runs_is_dropped_and_counted(counts, k):
    enough = [pair for pair in counts if pair[0] >= k]
    for single, over in (
        (stats.pass_at_k, stats.pass_at_k_over_tasks),
        (stats.pass_hat_k, stats.pass_hat_k_over_tasks),
    ):
        found = over(counts, k)
        assert (found.tasks, found.dropped) == (len(enough), len(counts) - len(enough))
        if enough:
            assert found.value == pytest.approx(sum(single(*pair, k) for pair in enough) / len(enough))
        else:
            assert found.value is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stats.pass_at_k(3, 4, 1), "passed must be between 0 and the number of runs; got 4 of 3"),
        (lambda: stats.pass_hat_k(3, 1, 0), "k must be at least 1; got 0"),
        (lambda: stats.wilson(0, 0), "at least one run"),
        (lambda: stats.wilson(1, 2, 95), "confidence must be a number between 0 and 1, such as 0.95; got 95"),
        (lambda: stats.clustered_mean([], []), "one cluster for each of one or more values; got 0 and 0"),
        (lambda: stats.clustered_mean([1], ["a", "b"]), "got 1 and 2"),
        (lambda: stats.mcnemar(-1, 0), "cannot be negative"),
        (lambda: stats.holm([0.1, 1.2]), "between 0 and 1"),
        (lambda: stats.power(0.1, 0), "se must be above 0; got 0"),
        (lambda: stats.detectable(-1), "se must be 0 or more"),
        (lambda: stats.tasks_needed(1, 0), "difference must be above 0"),
        (lambda: stats.p_equivalent(0, 0.1, 9, 0), "margin must be above 0"),
        (lambda: stats.paired_difference({"a": [1]}, {"a": [1]}, {}), "task 'a' has no cluster"),
    ],
)
def test_a_bad_value_is_named(call, words):
    with pytest.raises(BadValue, match=words):
        call()


def test_one_cluster_has_a_mean_and_no_interval():
    mean = stats.clustered_mean([0, 1, 1], ["a"] * 3)
    assert (mean.value, mean.se, mean.low, mean.clusters) == (pytest.approx(2 / 3), None, None, 1)
    assert stats.cluster_bootstrap([0, 1, 1], ["a"] * 3) is None


def test_runs_of_one_task_that_end_alike_count_as_one():
    once = stats.clustered_mean([0, 1, 1, 0], ["a", "b", "c", "d"])
    five = stats.clustered_mean([0, 1, 1, 0] * 5, ["a", "b", "c", "d"] * 5)
    assert five.se == pytest.approx(once.se)


def test_the_bootstrap_depends_on_its_seed_alone():
    values = [number**0.5 for number in range(40)]
    clusters = [number // 2 for number in range(40)]
    first = stats.cluster_bootstrap(values, clusters, seed=4)
    assert stats.cluster_bootstrap(values, clusters, seed=4) == first
    assert stats.cluster_bootstrap(values, clusters, seed=5) != first
    assert first.low < sum(values) / 40 < first.high


def test_a_bootstrap_of_many_clusters_is_drawn_in_parts():
    values, clusters = [0, 1] * 9_000, [number // 2 for number in range(18_000)]
    assert stats.cluster_bootstrap(values, clusters, draws=250) == (0.5, 0.5)


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1])), min_size=1, max_size=60))
def test_the_sign_flip_test_of_single_runs_is_mcnemar_s(pairs):
    first, second = ({n: [pair[side]] for n, pair in enumerate(pairs)} for side in (0, 1))
    found = stats.paired_difference(first, second)
    assert found.p == pytest.approx(found.p_mcnemar)
    assert found.p_mcnemar == stats.mcnemar(pairs.count((1, 0)), pairs.count((0, 1)))


SIDES = st.dictionaries(st.integers(0, 12), st.lists(st.sampled_from([0, 0.5, 1]), max_size=4), max_size=12)


@given(SIDES, SIDES)
def test_exchanging_the_sides_exchanges_the_signs(first, second):
    one, other = stats.paired_difference(first, second), stats.paired_difference(second, first)
    if one is None:
        assert other is None
        return
    assert other.value == pytest.approx(-one.value)
    assert (other.tasks, other.unpaired, other.p_mcnemar) == (one.tasks, one.unpaired, one.p_mcnemar)
    assert (other.se, other.within) == (pytest.approx(one.se), pytest.approx(one.within))
    if one.tasks <= 14:
        assert other.p == pytest.approx(one.p)
    if one.se is not None:
        assert (other.low, other.high) == (pytest.approx(-one.high), pytest.approx(-one.low))


@given(SIDES, SIDES)
def test_only_tasks_of_both_sides_count(first, second):
    shared = {task for task in first if first[task] and second.get(task)}
    found = stats.paired_difference(first, second)
    assert (found.tasks if found else 0) == len(shared)
    if found:
        only = [{task: side[task] for task in first if task in shared} for side in (first, second)]
        assert stats.paired_difference(*only).value == found.value


def test_rounding_is_no_difference():
    found = stats.paired_difference({n: [0.1 + 0.2] for n in range(9)}, {n: [0.3] for n in range(9)})
    assert (found.value, found.p) == (0, 1)


def test_clusters_widen_the_interval():
    first, second = {n: [n // 4 % 2] for n in range(24)}, {n: [0] for n in range(24)}
    alone = stats.paired_difference(first, second)
    grouped = stats.paired_difference(first, second, {n: n // 4 for n in range(24)})
    assert grouped.se > alone.se
    assert grouped.clusters == 6
    assert grouped.p > alone.p


def test_variance_within_and_between_tasks():
    """Every task is the same coin on both sides: all variance is within."""
    first, second = {n: [0, 1] for n in range(10)}, {n: [1, 0] for n in range(10)}
    found = stats.paired_difference(first, second)
    assert (found.within, found.between) == (pytest.approx(1.0), 0)
    some = stats.paired_difference({n: [n % 2, n % 2, 0, 0] for n in range(10)}, {n: [0, 0] for n in range(10)})
    assert some.within == pytest.approx(1 / 6)  # half of the tasks have a variance of 1/3, the others none
    assert some.between == pytest.approx(10 * some.se**2 - some.within / 4)
    apart = stats.paired_difference({n: [n % 2] * 3 for n in range(10)}, {n: [0] * 3 for n in range(10)})
    assert (apart.within, apart.between) == (0, pytest.approx(10 / 36))
    assert stats.paired_difference({1: [1], 2: [0]}, {1: [1], 2: [0]}).within is None


def test_runs_needed_bring_the_power():
    runs = stats.runs_needed(0.02, 0.4, tasks=80, difference=0.1)
    reached = [stats.power(0.1, ((0.02 + 0.4 / k) / 80) ** 0.5) for k in (runs - 1, runs)]
    assert reached[0] < 0.8 <= reached[1]


@pytest.mark.parametrize(
    ("difference", "p", "p_tied", "clusters", "expected"),
    [
        (0.2, 0.05, 1, 6, "better"),
        (-0.2, 0.05, 1, 6, "worse"),
        (0.2, 0.051, 1, 60, "not enough data"),
        (0.02, 0.5, 0.05, 29, "tied"),
        (0.02, 0.5, 0.05, 28, "not enough data"),
        (0.02, 0.5, 0.051, 400, "not enough data"),
        (0.02, 0.01, 0.01, 400, "better"),
        (0, 1, 0, 400, "tied"),
    ],
)
def test_the_verdict_follows_its_rule(difference, p, p_tied, clusters, expected):
    assert stats.verdict(difference, p, p_tied, clusters) == expected


def test_few_tasks_that_end_alike_are_no_tie():
    assert [stats.clusters_for_a_tie(margin) for margin in (0.01, 0.05, 0.1, 0.5, 1)] == [299, 59, 29, 5, 2]
    for margin in (0.05, 0.1, 0.5):
        needed = stats.clusters_for_a_tie(margin)
        assert (1 - margin) ** needed <= 0.05 < (1 - margin) ** (needed - 1)


def test_without_a_standard_error_nothing_is_shown_to_be_equal():
    assert stats.p_equivalent(0, None, 1, 0.1) == 1
    assert stats.p_equivalent(0, 0, 5, 0.1) == 0
    assert stats.p_equivalent(0.2, 0, 5, 0.1) == 1
