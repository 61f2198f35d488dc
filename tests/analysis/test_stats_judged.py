"""SciPy and statsmodels compute the same to 1e-6."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_widgets.analysis import stats
from session_widgets.analysis.stats.distributions import normal_quantile, t_quantile, t_tail
from tests.analysis.judges import GROUP

pytestmark = [pytest.mark.xdist_group(GROUP), pytest.mark.slow]
close = pytest.approx
EXACT = {"rel": 1e-6, "abs": 1e-9}


def single_runs(*sides):
    return [{task: [value] for task, value in enumerate(side.tolist())} for side in sides]


@given(st.floats(-1e4, 1e4), st.floats(0.5, 1e6))
def test_the_tail_of_student_s_t(judges, t, df):
    assert t_tail(t, df) == close(judges.t_tail(t, df), rel=1e-6, abs=1e-290)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1, 1e6))
def test_the_quantile_of_student_s_t(judges, share, df):
    assert t_quantile(share, df) == close(judges.t_quantile(share, df), **EXACT)


def test_the_quantile_of_the_normal_distribution(judges):
    for share in (1e-9, 0.025, 0.5, 0.975):
        assert normal_quantile(share) == close(judges.normal_quantile(share), **EXACT)


@given(st.integers(1, 500), st.data(), st.floats(0.5, 0.999))
def test_wilson(judges, runs, data, confidence):
    passed = data.draw(st.integers(0, runs))
    assert stats.wilson(passed, runs, confidence) == close(judges.wilson(passed, runs, confidence), **EXACT)


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 6)), min_size=8, max_size=60))
def test_the_clustered_standard_error(judges, runs):
    values, clusters = [value for value, _ in runs], [cluster for _, cluster in runs]
    if len(set(clusters)) < 2 or len(set(values)) < 2:
        return
    value, se, interval = judges.clustered_mean(values, clusters)
    mean = stats.clustered_mean(values, clusters)
    assert mean.value == close(value, rel=1e-6, abs=1e-9)
    assert mean.se == close(se, rel=1e-6, abs=1e-9)
    assert (mean.low, mean.high) == close(interval, rel=1e-6, abs=1e-8)


def test_each_run_its_own_cluster_is_the_usual_standard_error(judges):
    values = [0.1, 0.4, 0.35, 0.9, 0.2]
    assert stats.clustered_mean(values, range(5)).se == close(judges.sem(values), **EXACT)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar(judges, only_first, only_second):
    if only_first + only_second:
        judged = judges.mcnemar([[3, only_first], [only_second, 4]])
        assert stats.mcnemar(only_first, only_second) == close(judged, **EXACT)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_holm(judges, p_values):
    assert stats.holm(p_values) == close(judges.holm(p_values), **EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_all_sign_flips(judges, seed):
    sums = np.random.default_rng(seed).normal(0.4, 1, 9).tolist()
    assert stats.sign_flip(sums) == close(judges.sign_flip(sums), **EXACT)


def test_random_sign_flips_come_near_to_all_of_them(judges):
    sums = np.random.default_rng(2).normal(0.2, 1, 18).tolist()
    judged = judges.sign_flip(sums, 20_000)
    assert stats.sign_flip(sums) == close(judged, abs=4 * math.sqrt(judged / 10_000))


@given(st.floats(0.001, 2), st.integers(2, 400), st.floats(0.001, 0.2))
def test_power(judges, effect, tasks, alpha):
    judged = judges.normal_power(effect, tasks, alpha)
    assert stats.power(effect, 1 / math.sqrt(tasks), alpha) == close(judged, **EXACT)


@given(st.floats(0.05, 1.5), st.floats(0.01, 0.1), st.floats(0.7, 0.95))
def test_sizes(judges, effect, alpha, wanted):
    """The power of statsmodels includes the far tail, here below 1e-4."""
    tasks = stats.tasks_needed(1, effect, alpha, wanted)
    if tasks > 2:
        assert judges.normal_power(effect, tasks, alpha) >= wanted - 1e-9
        assert judges.normal_power(effect, tasks - 1, alpha) < wanted + 1e-4
    assert stats.detectable(1 / math.sqrt(tasks), alpha, wanted) <= effect or tasks == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=5, max_size=40), st.floats(0.01, 0.5))
def test_two_one_sided_tests(judges, pairs, margin):
    first, second = np.array(pairs).T
    if np.std(first - second) < 1e-6:
        return
    found = stats.paired_difference(*single_runs(first, second))
    judged = judges.two_one_sided_tests(first, second, margin)
    assert stats.p_equivalent(found.value, found.se, found.clusters, margin) == close(judged, **EXACT)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=40))
def test_the_interval_of_independent_pairs_is_that_of_the_paired_t_test(judges, pairs):
    first, second = np.array(pairs).T
    if np.std(first - second) < 1e-6:
        return
    found = stats.paired_difference(*single_runs(first, second), confidence=0.9)
    assert (found.low, found.high) == close(judges.paired_interval(first, second, 0.9), **EXACT)


def test_the_cluster_bootstrap_comes_near_to_scipy_s_over_the_means_of_equal_clusters(judges):
    chance = np.random.default_rng(3)
    means = chance.normal(0, 1, 25)
    values, clusters = np.repeat(means, 2), np.repeat(np.arange(25), 2)
    judged = judges.bootstrap(means, 20_000)
    found = stats.cluster_bootstrap(values.tolist(), clusters.tolist(), draws=20_000)
    assert found == close(judged, abs=0.02)
