"""`analysis.agreement`, judged by the worked example of Krippendorff (2011), C: 12 units, 4 observers, missing data."""

from __future__ import annotations

import sys

import pytest

from session_widgets.analysis import agreement
from session_widgets.errors import BadValue, MissingDependency

JUDGED = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}
ROWS = [
    {"session_id": f"u{place}", "author": author, "value": None if value == "." else int(value)}
    for author, values in JUDGED.items()
    for place, value in enumerate(values.split())
]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example(level: str, alpha: float) -> None:
    found = agreement(ROWS, level=level)
    assert found.alpha == pytest.approx(alpha, abs=5e-4)
    assert (found.units, found.authors) == (11, 4)
    assert str(found).startswith(f"alpha {alpha}")


def test_labels_are_nominal_and_their_names_do_not_matter() -> None:
    rows = [{**row, "value": row["value"] and f"label {9 - row['value']}"} for row in ROWS]
    assert agreement(rows).alpha == pytest.approx(agreement(ROWS).alpha)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (ROWS[:12], {}, "no unit was judged by two authors"),
        ([*ROWS, ROWS[0]], {}, "'A' judged 'u0' twice"),
        ([{**row, "value": 1} for row in ROWS], {}, "all judgements are equal"),
        (ROWS, {"level": "other"}, "level must be one of"),
        (ROWS, {"value": "score"}, "no such column"),
    ],
)
def test_what_has_no_answer_is_refused(rows, options, message: str) -> None:
    with pytest.raises(BadValue, match=message):
        agreement(rows, **options)


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    with pytest.raises(MissingDependency, match=r"session-widgets\[agreement\]"):
        agreement(ROWS)
