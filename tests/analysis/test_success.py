"""`analysis.success`: the rate of each side alone."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from session_widgets.analysis import paired, stats, success
from session_widgets.errors import BadValue, MissingDependency
from tests.analysis.judges import GROUP


def runs(tasks=20, times=4):
    """Side a passes a task the more often the higher its number is, side b never passes one."""
    return [
        {"task": f"t{task}", "repo": task % 5, "harness": side, "success": side == "a" and time * 5 < task}
        for task in range(tasks)
        for side in "ab"
        for time in range(times)
    ]


@pytest.mark.xdist_group(GROUP)
def test_the_interval_is_that_of_a_regression_on_the_means_of_tasks(judges):
    frame = pd.DataFrame(runs())
    row = success(frame, cluster="repo").rows[0]
    means = frame[frame.harness == "a"].groupby(["task", "repo"]).success.mean().reset_index()
    mean, se, interval = judges.clustered_mean(means.success.tolist(), means.repo.tolist())
    assert (row.mean, row.se) == pytest.approx((mean, se), rel=1e-6)
    assert (row.low, row.high) == pytest.approx(interval, rel=1e-6)
    assert (row.tasks, row.clusters, row.runs) == (20, 5, 80)
    both = paired(frame, cluster="repo").rows[0]
    assert (both.mean_first, both.mean_second) == (row.mean, 0)


def test_pass_at_k_drops_tasks_with_too_few_runs():
    table = [*runs(tasks=3), {"task": "once", "repo": 0, "harness": "a", "success": True}]
    frame = success(table, k=[1, 3]).df().set_index("side")
    counts = [(4, 0), (4, 1), (4, 1), (1, 1)]
    assert frame.loc["a", "pass@3"] == stats.pass_at_k_over_tasks(counts, 3).value == pytest.approx(0.5)
    assert frame.loc["a", "pass^3"] == 0
    assert frame.loc["a", ["dropped@1", "dropped@3"]].tolist() == [0, 1]
    assert frame.loc["b", ["pass@1", "dropped@3"]].tolist() == [0, 0]


def test_errors_are_left_out_in_one_row_and_failures_in_the_other():
    table = runs()
    table[-1]["error"] = table[-9]["error"] = "time limit"
    table.append({"task": "crashed", "repo": 0, "harness": "a", "error": True})
    found = success(table)
    assert [(row.side, row.errors, row.tasks, row.runs, row.ended_by_error) for row in found.rows] == [
        ("a", "excluded", 20, 80, 1), ("a", "failures", 21, 81, 1),
        ("b", "excluded", 20, 78, 2), ("b", "failures", 20, 80, 2),
    ]  # fmt: skip
    assert found.rows[1].mean == pytest.approx(found.rows[0].mean * 20 / 21)
    assert np.isnan(found.matrix().loc["crashed", "a"])
    assert found.matrix("failures").loc["crashed", "a"] == 0


def test_the_matrix_has_a_row_a_task_and_a_column_a_side():
    table = [*runs(), {"task": "new", "repo": 0, "harness": "c", "success": 1}]
    matrix = success(table).matrix()
    assert matrix.columns.tolist() == ["a", "b", "c"]
    assert matrix.loc["t19"].tolist()[:2] == [1, 0]
    assert matrix.loc["t6", "a"] == 0.5
    assert matrix.isna().sum().tolist() == [1, 1, 20]
    several = success(table, by=["repo", "task"]).matrix()
    assert several.index[0] == (0, "t0")


def test_numbers_that_are_no_rates_have_a_mean_and_no_pass_at_k():
    table = [{"task": n, "harness": "a", "seconds": n * 10.5, "error": "crash" if n == 3 else None} for n in range(9)]
    (row,) = success(table, value="seconds").rows
    assert (row.runs, row.ended_by_error, row.pass_at_k, row.pass_hat_k) == (8, 1, (None,), (None,))
    assert row.mean == pytest.approx(np.mean([n * 10.5 for n in range(9) if n != 3]))
    assert success(table, value="seconds").df().loc[0, "pass@1"] is None


def test_a_side_without_a_value_has_a_row_without_figures():
    table = [{"task": 1, "harness": "a", "success": None}, {"task": 1, "harness": "b", "success": 1}]
    first, second = success(table).rows
    assert (first.mean, first.se, first.unscored, first.tasks) == (None, None, 1, 0)
    assert (second.mean, second.se, second.low) == (1, None, None)
    assert len(repr(success(table)).splitlines()) == 3


def test_hostile_names_are_shown_harmless():
    hostile = "<img src=x onerror=alert(1)>\x1b[31m\n"
    result = success([{"task": n, "harness": hostile, "success": n} for n in range(2)])
    assert "\x1b" not in repr(result) + result._repr_html_()
    assert "<img" not in result._repr_html_()
    assert len(repr(result).splitlines()) == 2


@pytest.mark.parametrize("k", [[], [0], [1.5], [True], ["1"]])
def test_a_bad_k_is_named(k):
    with pytest.raises(BadValue, match="k must be numbers of runs from 1"):
        success(runs(), k=k)


def test_a_bad_treatment_of_the_matrix_is_named():
    with pytest.raises(BadValue, match='"excluded" or "failures"; got \'left out\''):
        success(runs()).matrix("left out")


PLOT = """
import json, sys
from session_widgets.analysis import success
rates = success(json.load(sys.stdin))
rates.plot().save(sys.argv[1])
json.dump([rates.plot().to_dict(), rates.plot("failures").to_dict()], sys.stdout)
"""
"""In a process of its own: drawing takes 100 MB."""


def test_a_plot_has_each_task_and_side_and_is_drawn_without_a_network(forked, tmp_path):
    hostile = "<img src=x>\x1b" + "x" * 200
    data = [
        *({"task": str(n), "harness": side, "success": n % 3 > 0} for n in range(9) for side in ("a", hostile)),
        *({"task": name, "harness": "a", "success": n == 0} for n, name in enumerate((hostile, f"{hostile}y"))),
        {"task": "1", "harness": "a", "error": "429"},
    ]
    rates = success(data)
    plotted = forked.python(PLOT, tmp_path / "plot.svg", input=json.dumps(data))
    assert plotted.returncode == 0, plotted.stderr
    (left, right), (_, failures) = (plot["hconcat"] for plot in json.loads(plotted.stdout))
    assert [point["mean"] for point in left["data"]["values"]] == [
        row.mean for row in rates.rows if row.errors == "excluded"
    ]
    cells = right["data"]["values"]
    assert len({(cell["task"], cell["side"]) for cell in cells}) == len(cells) == 22
    assert sum(cell["mean"] is None for cell in cells) == 2
    failed = [cell for cell in failures["data"]["values"] if (cell["task"], cell["side"]) == ("1", "a")]
    assert [cell["mean"] for cell in failed] == [0.5]
    drawn = (tmp_path / "plot.svg").read_text()
    assert "95% interval" in drawn
    assert "<img" not in drawn
    assert "\x1b" not in drawn


def test_only_rates_are_plotted():
    with pytest.raises(BadValue, match="from 3 to 7"):
        success([{"task": n, "harness": "a", "success": n} for n in (3, 7)]).plot()


def test_without_altair_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingDependency, match=r"pip install 'session-widgets\[plot\]'"):
        success([{"task": 1, "harness": "a", "success": True}]).plot()
