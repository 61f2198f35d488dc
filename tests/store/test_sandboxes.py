"""`v_sandboxes`: how long a sandbox has run and what that costs, where it is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from session_widgets._store.database import Store
from session_widgets.errors import BadValue
from tests.store.story import Story
from tests.support.drafts import note, opened

GB = 1 << 30
COSTS = "select provider, seconds, cost_estimated, currency, price_date, unpriced from v_sandboxes order by started_at"


@pytest.fixture
def story(store: Store) -> Story:
    return Story(store, harness="demo")


def ran(story: Story, ref: str, **options: Any) -> None:
    """One second of a sandbox, with options of its own."""
    if options:
        story.note("session_sandbox", name=ref.partition(":")[0], **options)
    story.note("sandbox_started", ref=ref)
    story.note("sandbox_stopped", ref=ref, reason="switched")


def test_each_run_of_a_sandbox_is_a_row_and_an_unseen_end_is_unknown(store: Store, story: Story) -> None:
    story.note("sandbox_started", ref="e2b:a")
    story.note("sandbox_stopped", ref="e2b:a", reason="parked")
    story.note("sandbox_started", ref="e2b:a")
    story.note("sandbox_started", ref="e2b:a")  # it parked itself
    story.note("sandbox_started", ref="local:b")
    story.note("sandbox_stopped", ref="e2b:a", reason="switched")
    query = "select sandbox_ref, provider, seconds, reason, unpriced from v_sandboxes order by started_at"
    assert store.sql(query).fetchall() == [
        ("e2b:a", "e2b", 1.0, "parked", None),
        ("e2b:a", "e2b", None, None, "no_end"),
        ("e2b:a", "e2b", 2.0, "switched", None),
        ("local:b", "local", None, None, "no_rate"),
    ]


def test_a_second_costs_what_the_options_ask_for_or_the_vendors_default(store: Store, story: Story) -> None:
    ran(story, "e2b:a")
    ran(story, "e2b:b", image="own-template")
    ran(story, "e2b:k", image="own-template", cpus=4, memory=8 * GB)
    ran(story, "daytona:c")
    ran(story, "daytona:d", image="python:3.12", cpus=4, memory=8 * GB)
    ran(story, "modal:e")
    ran(story, "modal:f", cpus=0.5, memory=GB // 2, gpu="a10g:2")
    ran(story, "modal:g", cpus=1, memory=GB, gpu="ABACUS")
    ran(story, "docker:h", cpus=1, memory=GB)
    ran(story, "modal:i", cpus=1, memory=GB)
    ran(story, "e2b:j")  # the options before were those of another sandbox
    # by hand: 2 * 0.000014 + 1 * 0.0000045; 1 * 0.000014 + 1 * 0.0000045 + 3 * 0.00000003; ...
    assert story.rows(COSTS) == [
        ("e2b", 1.0, Decimal(".0000325"), "USD", date(2026, 8, 6), None),
        ("e2b", 1.0, None, None, None, "no_size"),
        ("e2b", 1.0, Decimal(".000092"), "USD", date(2026, 8, 6), None),
        ("daytona", 1.0, Decimal(".00001859"), "USD", date(2026, 5, 25), None),
        ("daytona", 1.0, Decimal(".00009209"), "USD", date(2026, 5, 25), None),
        ("modal", 1.0, None, None, None, "no_size"),
        ("modal", 1.0, Decimal(".000635045"), "USD", date(2026, 7, 1), None),
        ("modal", 1.0, None, None, None, "no_gpu_rate"),
        ("docker", 1.0, None, None, None, "no_rate"),
        ("modal", 1.0, Decimal(".00004609"), "USD", date(2026, 10, 8), None),
        ("e2b", 1.0, Decimal(".0000325"), "USD", date(2026, 8, 6), None),
    ]


def test_the_users_rates_replace_those_of_the_providers_that_they_name(store: Store, story: Story) -> None:
    ran(story, "e2b:a")
    ran(story, "modal:b")
    ran(story, "ours:c")
    published = len(store.sandbox_rates())
    own = [
        {"provider": "e2b", "resource": "cpu", "per_second": 1, "default_amount": 3, "currency": "EUR"},
        {"provider": "e2b", "resource": "memory", "per_second": "0.1", "default_amount": 2, "currency": "EUR"},
        {"provider": "ours", "resource": "cpu", "per_second": 5, "price_date": "2026-11-28"},
    ]
    rows = store.sandbox_rates(own).select("provider, resource, per_second, currency, source").fetchall()
    assert [row for row in rows if row[-1] == "user"] == [
        ("e2b", "cpu", 1, "EUR", "user"),
        ("e2b", "memory", Decimal(".1"), "EUR", "user"),
        ("ours", "cpu", 5, "USD", "user"),
    ]
    assert not [row for row in rows if row[0] == "e2b" and row[-1] != "user"]
    assert [row[2:4] for row in story.rows(COSTS)] == [(Decimal("3.2"), "EUR"), (None, None), (None, None)]
    assert len(store.sandbox_rates([])) == published


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"resource": "cpu", "per_second": 1}, "no column provider"),
        ({"provider": "e2b", "resource": "cpu", "per_second": None}, "cpu of e2b has no rate"),
        ({"provider": "e2b", "resource": "cpu", "per_second": -1}, "per_second of cpu of e2b must be a number from 0"),
        ({"provider": "e2b", "resource": "cpu", "per_second": 1, "per_hour": 2}, "per_hour: no such column"),
        ({"provider": 7, "resource": "cpu", "per_second": 1}, "must be names"),
        ({"provider": "e2b", "resource": "cpu", "per_second": 1, "price_date": "soon"}, "must be a date"),
    ],
)
def test_a_wrong_table_of_rates_changes_nothing(store: Store, row: dict[str, Any], says: str) -> None:
    with pytest.raises(BadValue, match=says):
        store.sandbox_rates([row])
    two = [{"provider": "e2b", "resource": "cpu", "per_second": 1, "currency": name} for name in ("USD", "EUR")]
    with pytest.raises(BadValue, match="one currency"):
        store.sandbox_rates(two)
    with pytest.raises(BadValue, match="two rates"):
        store.sandbox_rates([two[0], two[0]])
    assert "user" not in {source for (source,) in store.sql("select source from v_sandbox_rates").fetchall()}


def test_a_sandbox_in_use_counts_until_now_and_at_most_for_its_lifetime(store: Store) -> None:
    began = datetime.now(UTC) - timedelta(minutes=30)
    for name, lifetime in (("short", 600), ("long", 3600)):
        drafts = [opened(), note("session_sandbox", 2, name="e2b", lifetime=lifetime)]
        store.append(name, [*drafts, replace(note("sandbox_started", 3, ref=f"e2b:{name}"), ts=began)])
    query = "select session_id, seconds, cost_estimated, ended_at, unpriced from v_sandboxes order by session_id"
    long, short = store.sql(query).fetchall()
    assert short == ("short", None, None, None, "no_end")
    assert long[0] == "long"
    assert 1800 <= long[1] < 3600
    assert abs(long[2] - Decimal(str(long[1])) * Decimal(".0000325")) < Decimal(".000001")
    assert long[3:] == (None, None)


def test_a_fork_has_not_run_the_sandboxes_of_its_original(store: Store, story: Story) -> None:
    story.note("sandbox_started", ref="e2b:a")
    story.begin(1)
    story.end(1)
    forked = note("session_forked", 99, session="s", turn=1, workspace="/w/f", attachment="directory")
    store.fork_session("s", 1, "f", [forked, note("sandbox_started", 100, ref="e2b:b")])
    found = store.sql("select session_id, sandbox_ref from v_sandboxes order by session_id").fetchall()
    assert found == [("f", "e2b:b"), ("s", "e2b:a")]
