"""What `sandboxes()` says of a sandbox's time and cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from session_widgets._sessions.sandbox_info import SandboxList, SandboxRow, _ran, ran_and_cost

MOMENT = datetime(2026, 11, 28, tzinfo=UTC)


def row(**facts) -> SandboxRow:
    return SandboxRow("e2b:a", "one", "me", True, MOMENT, None, True, **facts)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, ("", "")),
        ({"seconds": 90.0}, ("90 s", "")),
        ({"seconds": 5400.0, "cost": Decimal("1.234"), "currency": "USD"}, ("90 min", "1.23 USD")),
        ({"seconds": 5.0, "cost": Decimal("0.0012"), "currency": "EUR"}, ("5 s", "below 0.01 EUR")),
        ({"seconds": 5.0, "cost": Decimal("0.0012"), "currency": "EUR", "partial": True}, ("at least 5 s", "")),
        ({"seconds": 5.0, "cost": Decimal(0), "currency": "USD"}, ("5 s", "0.00 USD")),
    ],
)  # fmt: skip
def test_time_and_cost_for_people(facts, words):
    assert ran_and_cost(row(**facts)) == words


def test_one_that_parked_itself_does_not_count_until_now():
    facts = [7200.0, 3600.0, Decimal(2), Decimal(1), "USD", False, False, True]
    running = {"seconds": 7200.0, "cost": Decimal(2), "currency": "USD", "partial": False}
    assert _ran(facts, running=True) == running
    assert _ran(facts, running=False) == {"seconds": 3600.0, "cost": Decimal(1), "currency": "USD", "partial": True}
    assert _ran([None, None, None, None, None, True, True, True], running=False)["currency"] is None
    unpriced = [60.0, 60.0, None, None, None, True, False, False]
    assert _ran(unpriced, running=False)["partial"] is False, "its time is known"
    assert _ran([*unpriced[:2], Decimal(1), Decimal(1), "USD", *unpriced[5:]], running=False)["partial"] is True
    assert _ran(None, running=True) == {}


def test_a_table_has_them():
    shown = SandboxList([row(seconds=90.0, cost=Decimal("1.5"), currency="USD")], {})
    assert "90 s" in repr(shown)
    assert "1.50 USD" in shown._repr_html_()
