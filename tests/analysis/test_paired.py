"""`analysis.paired`: from a table of runs to verdicts."""

from __future__ import annotations

import random

import duckdb
import numpy as np
import pandas as pd
import pytest

import session_widgets as sw
from session_widgets.analysis import paired, stats
from session_widgets.errors import BadValue
from tests.analysis.judges import GROUP


def runs(tasks=40, times=2, sides=("a", "b"), lead=0.0, seed=1):
    """Runs whose success depends on the task, and by `lead` on the first side."""
    chance = random.Random(seed)
    return [
        {"task": f"t{task}", "repo": f"r{task // 4}", "harness": side, "success": chance.random() < ease + more}
        for task in range(tasks)
        for ease in [chance.choice([0.1, 0.5, 0.8])]
        for side, more in zip(sides, [lead, *[0.0] * (len(sides) - 1)], strict=True)
        for _ in range(times)
    ]


def only(result):
    (row,) = result.rows
    return row


def test_a_list_a_frame_and_results_of_duckdb_are_one_table(home):
    table = [*runs(), {"task": "t1", "harness": "a", "repo": "r0", "success": None, "error": "sandbox"}]
    frame = pd.DataFrame(table)
    expected = paired(table, cluster="repo")
    assert expected.rows[0].errors_first == 1
    assert paired(frame, cluster="repo") == expected
    assert paired(frame.astype({"success": "boolean"}), cluster="repo") == expected
    connection = duckdb.connect()
    assert paired(connection.sql("select * from frame"), cluster="repo") == expected
    assert paired(connection.execute("select * from frame"), cluster="repo") == expected
    connection.close()
    values = ", ".join(f"('{r['task']}', '{r['harness']}', {r['success']})" for r in runs())
    result = sw.store().sql(f"select * from (values {values}) as runs(task, harness, success)")
    assert paired(result) == paired(runs()) == sw.analysis.paired(runs())


@pytest.mark.xdist_group(GROUP)
def test_figures_are_those_of_a_regression_on_the_differences_of_tasks(judges):
    frame = pd.DataFrame(runs(lead=0.2))
    row = only(paired(frame, by="task", cluster="repo", seed=0))
    means = frame.groupby(["task", "repo", "harness"]).success.mean().unstack("harness").reset_index()
    difference, se, interval = judges.clustered_mean((means.a - means.b).tolist(), means.repo.tolist())
    assert row.difference == pytest.approx(difference, rel=1e-6)
    assert row.se == pytest.approx(se, rel=1e-6)
    assert (row.low, row.high) == pytest.approx(interval, rel=1e-6)
    assert (row.mean_first, row.mean_second) == pytest.approx((means.a.mean(), means.b.mean()))
    assert (row.tasks, row.clusters, row.runs_first, row.runs_second) == (40, 10, 80, 80)
    assert row.low < row.bootstrap_low < row.difference < row.bootstrap_high < row.high
    assert row.detectable == pytest.approx(2.801585 * row.se, rel=1e-6)
    assert row.tasks_needed == np.ceil(2.801585**2 * row.se**2 * 40 / 0.01)


def test_a_lead_is_better_from_one_side_and_worse_from_the_other():
    table = runs(tasks=120, lead=0.35)
    assert only(paired(table)).verdict == "better"
    assert only(paired(table, baseline="a")).verdict == "worse"


def test_sides_alike_on_many_tasks_are_tied_on_few_they_are_not():
    alike = [{"task": n, "harness": side, "success": n % 2} for n in range(40) for side in "ab"]
    assert only(paired(alike)).verdict == "tied"
    assert only(paired(alike[: 2 * 28])).verdict == "not enough data"
    assert only(paired(alike, margin=0.01)).verdict == "not enough data"


def test_the_example_of_terminal_bench_is_a_tie():
    """80 tasks, a difference of 0.003 and a standard error of 0.041, as measured between two of its agents."""
    p_tied = stats.p_equivalent(0.003, 0.041, 80, 0.1)
    assert stats.verdict(0.003, 0.94, p_tied, 80) == "tied"


def test_noise_on_a_few_tasks_is_not_enough_data():
    assert only(paired(runs(tasks=12, times=1))).verdict == "not enough data"


def test_five_tasks_cannot_show_that_a_side_is_better():
    table = [{"task": n, "harness": side, "success": side == "a"} for n in range(6) for side in "ab"]
    assert [only(paired(table[: 2 * tasks])).verdict for tasks in (1, 2, 5, 6)] == [*["not enough data"] * 3, "better"]
    assert only(paired(table)).p_mcnemar == only(paired(table)).p == 0.03125


def test_errors_are_left_out_in_one_row_and_failures_in_the_other():
    table = [{"task": n, "harness": side, "success": True, "error": None} for n in range(60) for side in "ab"]
    for row in table[: 2 * 20 : 2]:  # of side a, on the first 20 tasks
        row |= {"success": None, "error": "rate limit"}
    excluded, failures = paired(table).rows
    assert (excluded.errors, excluded.tasks, excluded.unpaired, excluded.verdict) == ("excluded", 40, 20, "tied")
    assert (failures.errors, failures.tasks, failures.difference) == ("failures", 60, pytest.approx(-1 / 3))
    assert failures.verdict == "worse"
    assert {(row.errors_first, row.errors_second) for row in (excluded, failures)} == {(20, 0)}
    assert (excluded.runs_first, failures.runs_first) == (40, 60)
    assert "20 + 0 excluded" in repr(paired(table))


def test_an_error_outranks_a_value_and_an_empty_text_is_none():
    table = [{"task": n, "harness": side, "success": 1, "error": ""} for n in range(4) for side in "ab"]
    assert only(paired(table)).errors_first == 0
    table[0]["error"] = "crash"
    assert [row.runs_first for row in paired(table).rows] == [3, 4]
    assert paired(table).rows[1].mean_first == 0.75


def test_a_run_without_value_and_error_is_counted_and_left_out():
    table = [*runs(), {"task": "t0", "harness": "b", "repo": "r0", "success": float("nan")}]
    row = only(paired(table))
    assert (row.unscored_first, row.unscored_second, row.runs_second) == (0, 1, 80)


def test_all_pairs_are_compared_and_their_p_values_adjusted_together():
    table = runs(sides=("a", "b", "c"), lead=0.3, tasks=60)
    rows = paired(table).rows
    assert [(row.first, row.second) for row in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [row.p_holm for row in rows] == stats.holm([row.p for row in rows])
    assert max(row.p_holm for row in rows[:2]) <= 0.05
    against = paired(table, baseline="b").rows
    assert [(row.first, row.second) for row in against] == [("a", "b"), ("c", "b")]


def test_sides_and_tasks_may_be_several_columns():
    table = [
        {"suite": suite, "n": n, "harness": harness, "model": model, "success": model == "x"}
        for suite in "st" for n in range(10) for harness in "ab" for model in "xy"
    ]  # fmt: skip
    rows = paired(table, compare=["harness", "model"], by=["suite", "n"], baseline="a + y").rows
    assert [(row.first, row.tasks, row.verdict) for row in rows] == [
        ("a + x", 20, "better"), ("b + x", 20, "better"), ("b + y", 20, "not enough data"),
    ]  # fmt: skip


def test_sides_without_a_common_task_have_a_row_without_figures():
    table = [{"task": f"{side}{n}", "harness": side, "success": 1} for n in range(3) for side in "ab"]
    row = only(paired(table))
    assert (row.tasks, row.unpaired, row.difference, row.p, row.verdict) == (0, 6, None, None, "not enough data")
    assert "not enough data" in repr(paired(table))
    assert paired(table).df().difference.isna().all()


def test_values_of_another_scale_need_a_margin():
    table = [{"task": n, "harness": side, "cost": -5.0 - (side == "b")} for n in range(40) for side in "ab"]
    with pytest.raises(BadValue, match=r"reach from -6 to -5.*pass margin="):
        paired(table, value="cost")
    row = only(paired(table, value="cost", margin=2))
    assert (row.difference, row.verdict) == (1, "better")


def test_the_margin_of_another_scale_is_a_share_of_its_range():
    alike = [{"task": n, "harness": side, "points": n % 2 * 100} for n in range(40) for side in "ab"]
    assert only(paired(alike, value="points", margin=10)).verdict == "tied"
    assert only(paired(alike[: 2 * 28], value="points", margin=10)).verdict == "not enough data"
    flat = [{"task": n, "harness": side, "points": 7} for n in range(40) for side in "ab"]
    assert only(paired(flat, value="points", margin=10)).verdict == "tied"


def test_the_same_seed_gives_the_same_figures():
    assert paired(runs(), seed=3) == paired(runs(), seed=3)
    assert paired(runs(), seed=3).rows[0].bootstrap_low != paired(runs(), seed=4).rows[0].bootstrap_low


def test_the_frame_has_a_row_a_pair_and_typed_columns():
    frame = paired(runs(sides=("a", "b", "c"))).df()
    assert len(frame) == 3
    assert frame.dtypes["difference"] == "float64"
    assert frame.dtypes["tasks_needed"] == frame.dtypes["tasks"] == "Int64"
    assert frame.verdict.isin(["better", "worse", "tied", "not enough data"]).all()


def test_hostile_names_are_shown_harmless():
    hostile = "<img src=x onerror=alert(1)>\x1b[31m\n"
    result = paired([{"task": n, "harness": side, "success": n} for n in range(2) for side in (hostile, "b")])
    text, html = repr(result), result._repr_html_()
    assert "\x1b" not in text + html
    assert "<img" not in html
    assert "&lt;img" in html
    assert "p &lt;= 0.05" in html
    assert len(text.splitlines()) == 2 + len(result.legend.splitlines())


TABLE = [{"task": 1, "harness": "a", "success": 1}, {"task": 1, "harness": "b", "success": 0}]


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (7, {}, "expected a pandas DataFrame, a list of dictionaries.*; got builtins.int"),
        ([1, 2], {}, "got builtins.list"),
        ([], {}, "expected a table with one row a run; the list has no rows"),
        (pd.DataFrame(columns=["task"]), {}, "the DataFrame has no rows"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "columns with different names.*'a' more than once"),
        (
            TABLE,
            {"value": "score"},
            "value='score': there is no such column. The data have 'task', 'harness', 'success'",
        ),
        (TABLE, {"error": "failure"}, "error='failure': there is no such column"),
        (TABLE, {"by": []}, r"by must be the name of a column, or several names; got \[\]"),
        (TABLE, {"by": 3}, "by must be the name of a column"),
        (TABLE, {"compare": "task"}, "compare='task' has only '1'; expected at least two different values"),
        (TABLE, {"baseline": "c"}, "baseline='c' is not among the compared values 'a', 'b'"),
        (TABLE, {"cluster": "success"}, "task 1 is in the clusters 1 and 0; expected one a task"),
        (TABLE, {"confidence": 95}, "confidence must be a number between 0 and 1"),
        (TABLE, {"margin": 0}, "margin must be above 0; got 0"),
        ([*TABLE, {"task": None, "harness": "a", "success": 1}], {}, "by='task': row 2 is empty; expected a text"),
        ([*TABLE, {"task": [1], "harness": "a"}], {}, "by='task': row 2 holds list; expected a text"),
        ([*TABLE, {"task": 2, "harness": "a", "success": "passed"}], {}, "row 2 holds 'passed'; expected True, False"),
        ([*TABLE, {"task": 2, "harness": "a", "success": float("inf")}], {}, "row 2 holds inf; expected True, False"),
    ],
)
def test_bad_input_is_an_error_with_a_remedy(data, options, words):
    with pytest.raises(BadValue, match=words):
        paired(data, **options)
