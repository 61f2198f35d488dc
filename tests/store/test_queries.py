"""Queries whose result must not depend on how much they read or write at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_widgets._store import queries
from session_widgets._store import store as open_store
from session_widgets._store.database import Store
from tests.support.drafts import chunk, derived, note, opened, update

MORE_THAN_A_FEW = 2 * max(queries.FEW, queries.FEW_EVENTS)


def test_many_rows_are_written_as_a_few_are(store: Store) -> None:
    calls = [
        update("tool_call", number, toolCallId=f"call-{number}", title=f'{number}, "ü" \0', status="pending")
        for number in range(MORE_THAN_A_FEW)
    ]
    store.append("at_once", [opened(), *calls])
    store.append("one_by_one", [opened()])
    for call in calls:
        store.append("one_by_one", [call])
    steps = "select * exclude (session_id, step_uid) from v_steps where session_id = '{}' order by step"
    written = store.sql(steps.format("at_once")).fetchall()
    assert written == store.sql(steps.format("one_by_one")).fetchall()
    assert len(written) == MORE_THAN_A_FEW


def test_a_session_is_loaded_in_pieces(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [update("tool_call", number, toolCallId=f"call-{number}", status="pending") for number in range(1, 7)]
    store.append("s", [opened(), note("turn_started", 2, turn=1, prompt=[]), *calls])
    store.close()
    monkeypatch.setattr(queries, "AT_ONCE", 2)
    again = open_store(path)
    again.append("s", [update("tool_call_update", 7, toolCallId="call-5", status="completed")])
    written = derived(again)
    again.rebuild("s")
    assert derived(again) == written
    again.close()


def test_all_events_are_read_without_a_limit(store: Store) -> None:
    store.append("s", [chunk(number) for number in range(130)])
    assert [event.seq for event in store.events("s")] == list(range(1, 131))


def test_events_about_settings_are_those_of_the_session(store: Store) -> None:
    mode = update("current_mode_update", 1, turn=3, currentModeId="plan")
    store.append("s", [opened(), note("agent_started", 2, connection="c1"), chunk(2), mode])
    (opening, started, _, changed) = store.events("s")
    assert opening not in store.setting_events("s")
    assert store.setting_events("s") == [started, changed]


def test_every_session_with_events_is_named_once(store: Store) -> None:
    for name in ("b", "a", "b"):
        store.append(name, [chunk(store.last_seq(name) + 1)])
    with store._file.looking() as connection:
        assert queries.all_session_ids(connection) == ["a", "b"]
