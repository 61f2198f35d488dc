"""The ledger's cached state of sessions between two commits, and its error for a running turn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from session_widgets._store import append
from session_widgets._store.database import Store
from session_widgets._store.redaction import REDACTED
from session_widgets.errors import SessionBusy, SessionConflict
from session_widgets.transcript.records import Draft
from tests.store.importing.claude import story
from tests.store.story import Story
from tests.support.drafts import OWNER, TS, chunk, derived, note, opened


def test_so_many_sessions_are_kept_in_memory_and_those_used_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append, "SESSIONS_IN_MEMORY", 2)
    live = store._ledger._live
    for name in ("a", "b"):
        store.append(name, [opened()])
    assert list(live) == ["a", "b"]
    store.append("a", [chunk(1)])
    store.append("c", [opened()])
    assert list(live) == ["a", "c"]
    store.append("b", [chunk(1)])
    assert [event.seq for event in store.append("b", [chunk(2)])] == [3], "a dropped session is read again"
    store._ledger.forget()
    assert live == {}


def test_nothing_to_append_is_nothing(store: Store) -> None:
    assert store.append("s", []) == []
    assert derived(store)["sessions"] == []
    assert store._ledger._live == {}


def test_a_session_is_named_by_its_first_event(store: Store) -> None:
    store.append("s", [opened(7), chunk(1)])
    store.append("s", [chunk(2)])
    store.append("t", [chunk(1, source="c9")])
    assert store.sql("select session_id, origin, last_seq from sessions order by all").fetchall() == [
        ("s", "kernel:a/7", 3),
        ("t", "c9/1", 1),
    ]
    store.append("s", [chunk(9, turn=3), chunk(10, turn=2), chunk(11, turn=None)])
    assert store.sql("select turns from sessions order by all").fetchall() == [(1,), (3,)]


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (OWNER, "process kernel (pid 4711) on here"),
        ({}, "process unknown (pid None) on None"),
        ({"host": "h"}, "process unknown (pid None) on h"),
    ],
)
def test_the_owner_of_a_turn(store: Store, owner: dict[str, Any], words: str) -> None:
    store.append("s", [opened()])

    def start(number: int) -> object:
        return store.start_turn("s", [], idempotency_key=None, owner=owner, source="k", source_seq=number, ts=TS)

    start(1)
    with pytest.raises(SessionBusy) as caught:
        start(2)
    assert str(caught.value) == (
        f"turn 1 of session s is running, owned by {words}, since 2026-11-21 09:00:00 UTC. Wait for it, cancel() it, "
        "or steer() it."
    )


def test_a_turn_without_an_owner_is_nobodys(store: Store) -> None:
    store.append("s", [opened(), note("turn_started", 2, turn=1, prompt=[])])
    with pytest.raises(SessionBusy, match=r"process unknown \(pid None\) on None"):
        store.start_turn("s", [], idempotency_key=None, owner=OWNER, source="k", source_seq=1, ts=TS)


def test_a_writer_goes_on_from_what_another_one_has_written(store: Store) -> None:
    """It reads the news alone, and knows the sources, the turns and the calls in them as if it had written them."""
    other = Store(store.path)
    try:
        store.append("s", [opened(), note("turn_started", 2, turn=1, prompt=[]), chunk(1)])
        other.append("s", [chunk(2), chunk(5, source="c2"), note("turn_ended", 3, turn=1, status="completed")])
        other.append("s", [note("turn_started", 4, turn=2, prompt=[]), chunk(3, turn=2)])
        events = store.append("s", [chunk(2), chunk(5, source="c2"), chunk(4, turn=2)])
        assert [event.seq for event in events] == [9]
        other.append("s", [note("turn_ended", 5, turn=2, status="completed")])
        turn, _ = store.start_turn("s", [], idempotency_key=None, owner=OWNER, source="k", source_seq=1, ts=TS)
        assert turn.index == 3
        before = derived(store)
        store.rebuild()
        assert derived(store) == before
    finally:
        other.close()


@pytest.mark.parametrize("late", [1, 2, 3])
def test_an_event_of_an_old_turn_changes_that_turn_and_what_comes_from_it(store: Store, late: int) -> None:
    number = iter(range(2, 100))
    store.append("s", [opened()])
    for turn in (1, 2, 3, 4):
        store.append("s", [note("turn_started", next(number), turn=turn, prompt=[]), chunk(turn, turn=turn)])
        store.append("s", [note("turn_ended", next(number), turn=turn, status="completed")])
    store.append("s", [chunk(9, "late", turn=late), chunk(10, "later", turn=late + 1)])
    assert [turn.text for turn in store.turns("s")] == [
        "xlate" if turn == late else "xlater" if turn == late + 1 else "x" for turn in (1, 2, 3, 4)
    ]
    before = derived(store)
    store.rebuild()
    assert derived(store) == before


def test_a_secret_is_stored_nowhere_and_the_other_drafts_as_they_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_API_KEY", "correct-horse-battery")
    drafts = [
        chunk(1, "it is correct-horse-battery"),
        replace(chunk(2, "plain"), payload=chunk(2, "plain").payload + " "),
    ]
    wanted = [chunk(1, f"it is {REDACTED}").payload, drafts[1].payload]
    events = store.append("s", drafts)
    assert [text for (text,) in store.sql("select payload from v_events order by seq").fetchall()] == wanted
    assert [event.payload for event in events] == [json.loads(text) for text in wanted]


def test_a_session_that_was_dropped_from_memory_in_a_turn_goes_on(store: Store) -> None:
    story = Story(store)
    story.agent("c1")
    story.cost(None, 1.5)
    story.begin(1)
    story.cost(1, 2.0)
    store._ledger.forget()
    story.cost(1, 2.5)
    story.end(1)
    story.cost(None, 4.0)
    store._ledger.forget()
    story.cost(None, 8.0)
    story.begin(2)
    story.cost(2, 9.0)
    story.end(2)
    query = "select turn, cost::double from v_usage order by turn nulls last"
    assert story.rows(query) == [(1, 1.0), (2, 1.0), (None, 7.0)]


def test_repeats_are_left_out_of_a_session_that_was_dropped_from_memory(store: Store) -> None:
    store.append("s", [chunk(1), chunk(2)])
    store._ledger.forget()
    assert [event.seq for event in store.append("s", [chunk(2), chunk(3), chunk(1)])] == [3]


def test_a_repeat_is_left_out_after_a_lower_number_of_its_source(store: Store) -> None:
    store.append("s", [chunk(5)])
    assert len(store.append("s", [chunk(2)])) == 1
    assert store.append("s", [chunk(5)]) == []


def test_a_repeat_is_left_out_after_another_writer_wrote_from_other_sources(store: Store) -> None:
    store.append("s", [opened(), chunk(1)])
    other = Store(store.path)
    other.append("s", [chunk(1, source="c2")])
    other.close()
    assert store.append("s", [opened(), chunk(1)]) == []


def ended(number: int, turn: int) -> list[Draft]:
    return [
        *(note("turn_started", number, turn=turn, prompt=[]), chunk(number, f"turn {turn}", turn=turn)),
        note("turn_ended", number + 1, turn=turn, status="completed"),
    ]


def test_earlier_turns_are_whole_while_one_runs(store: Store) -> None:
    store.append("s", [opened(), *ended(2, 1), chunk(9, " late", turn=1)])
    store.append("s", [note("turn_started", 4, turn=2, prompt=[]), chunk(5, "now", turn=2)])
    assert [(turn.status, turn.text) for turn in store.turns("s")] == [("completed", "turn 1 late"), ("running", "now")]


def test_a_late_event_of_a_turn_that_never_began_changes_no_other(store: Store) -> None:
    store.append("s", [opened(title="t"), *ended(2, 1), *ended(4, 5)])
    store._ledger.forget()
    store.append("s", [chunk(9, "late", turn=3)])
    live = derived(store)
    store.rebuild()
    assert derived(store) == live
    assert [(turn.index, turn.text) for turn in store.turns("s")] == [(1, "turn 1"), (3, "late"), (5, "turn 5")]


def test_an_imported_session_is_not_continued(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(str(story()))
    (imported,) = store.import_(tmp_path / "a.jsonl").sessions
    before = derived(store)
    with pytest.raises(SessionConflict) as caught:
        store.append(imported, [chunk(1)])
    assert str(caught.value) == (
        f"session {imported!r} was imported from {tmp_path / 'a.jsonl'}: it can be read, and not be continued here. "
        "Open a session with another id."
    )
    assert derived(store) == before
