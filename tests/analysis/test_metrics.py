"""`v_runs`, and `analysis.metrics` over it."""

from __future__ import annotations

import pytest

import session_widgets as sw
from session_widgets.analysis.run_metrics import METRICS, figure
from session_widgets.errors import BadValue
from tests.analysis.stored import store_run

BY_NAME = {metric.name: metric for metric in METRICS}


def test_the_figures_of_a_run_are_sums_over_its_parts(home):
    store_run("one", ["completed", "failed"], turns=2)
    store_run("two", ["completed"])
    found = sw.analysis.metrics(["one", "two", "gone"])
    assert found.values(BY_NAME["turns"]) == [2, 1, None]
    assert found.values(BY_NAME["tool_calls"]) == [4, 1, None]
    assert found.values(BY_NAME["failed_calls"]) == [2, 0, None]
    assert found.values(BY_NAME["output_tokens"]) == [None, None, None]
    assert [found.difference(BY_NAME["tool_calls"], run) for run in (1, 2)] == [-3, None]
    assert found.df().session_id.tolist() == ["one", "two"]
    assert "1 (-3)" in repr(found)
    assert "1 (-3)" in found._repr_html_()


@pytest.mark.parametrize(("column", "name"), [("usage_scope", "output_tokens"), ("currency", "cost")])
def test_what_is_not_alike_is_not_subtracted(column, name):
    def run(kind, value):
        return {"usage_scope": "turn", "currency": "USD", "output_tokens": value, "cost": value} | {column: kind}

    alike = sw.analysis.Metrics(("a", "b"), (run("x", 1), run("x", 3)))
    assert alike.difference(BY_NAME[name], 1) == 2
    for kinds in [("x", "y"), ("mixed", "mixed")]:
        other = sw.analysis.Metrics(("a", "b"), tuple(run(kind, 1) for kind in kinds))
        assert other.difference(BY_NAME[name], 1) is None


@pytest.mark.parametrize(
    ("name", "value", "signed", "text"),
    [
        ("turns", 1234, False, "1,234"),
        ("turns", -2, True, "-2"),
        ("cost", 0.01251, True, "+0.0125"),
        ("run_s", 5.04, False, "5.0 s"),
        ("run_s", 185, False, "3 min 05 s"),
        ("run_s", 119.6, False, "2 min 00 s"),
        ("run_s", -7265, True, "-2 h 01 min"),
        ("cost", None, False, ""),
    ],
)
def test_figures_are_read_by_people(name, value, signed, text):
    assert figure(BY_NAME[name], value, signed=signed) == text


def test_ids_must_be_a_list(home):
    with pytest.raises(BadValue, match=r'such as \["a", "b"\]'):
        sw.analysis.metrics("one")
