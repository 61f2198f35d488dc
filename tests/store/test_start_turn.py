"""One turn at a time, each once."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from session_widgets._store.database import Store
from session_widgets.errors import SessionBusy, SessionGone
from session_widgets.transcript.records import Draft, Event, TurnRecord
from tests.support.drafts import OWNER, TS, chunk, derived, note, opened

PROMPT = [{"type": "text", "text": "go"}]


def start(store: Store, number: int, key: str | None = None, **fields: Any) -> tuple[TurnRecord, list[Event]]:
    known = {"owner": OWNER, "source": "kernel:t", "source_seq": number, "ts": TS}
    return store.start_turn("s", PROMPT, idempotency_key=key, **{**known, **fields})


def end(store: Store, number: int, turn: int) -> None:
    store.append("s", [note("turn_ended", number, turn=turn, status="completed")])


def test_a_turn_is_an_event_and_a_row(store: Store) -> None:
    store.append("s", [opened()])
    turn, new = start(store, 1, "k")
    assert new == store.events("s")[-1:]
    assert (turn.index, turn.status, turn.started_at, turn.idempotency_key) == (1, "running", TS, "k")
    assert (turn.prompt, turn.owner) == (tuple(PROMPT), OWNER)
    assert store.turns("s") == [turn]
    event = store.events("s")[-1]
    assert (event.kind, event.turn, event.direction) == ("turn_started", 1, "note")
    assert event.payload == {"prompt": PROMPT, "idempotency_key": "k", "owner": OWNER}
    assert [step.text for step in store.steps("s")] == ["go"]


def test_what_else_belongs_to_a_turn_is_stored_with_it_or_nothing_is(store: Store) -> None:
    store.append("s", [opened(), chunk(1, turn=None)])
    asked: list[tuple[int, int]] = []

    def fail(turn: int, last: int) -> list[Draft]:
        asked.append((turn, last))
        raise RuntimeError("no prompt")

    with pytest.raises(RuntimeError, match="no prompt"):
        start(store, 1, more=fail)
    assert (asked, store.turns("s"), store.last_seq("s")) == ([(1, 2)], [], 2)
    turn, new = start(store, 1, more=lambda turn, last: [chunk(2, f"{turn} after {last}", turn=turn)])
    assert [(event.seq, event.turn, event.kind) for event in new] == [
        (3, 1, "turn_started"),
        (4, 1, "agent_message_chunk"),
    ]
    assert turn.text == "1 after 2"


def test_a_running_turn_keeps_others_out_and_says_whose_it_is(store: Store) -> None:
    store.append("s", [opened()])
    start(store, 1)
    with pytest.raises(SessionBusy, match=r"turn 1 of session s .*kernel \(pid 4711\) on here, since 2026-11-21 09:00"):
        start(store, 2)
    assert len(store.events("s")) == 2
    end(store, 2, 1)
    assert start(store, 3)[0].index == 2


def test_the_same_key_gives_the_same_turn(store: Store) -> None:
    store.append("s", [opened()])
    start(store, 1, "k")
    store.append("s", [chunk(1, "said")])
    running, new = start(store, 2, "k")
    assert (running.index, running.text, new) == (1, "said", [])
    store.append("s", [note("turn_ended", 3, turn=1, status="completed", files=[{"path": "a", "change": "created"}])])
    ended, new = start(store, 4, "k")
    assert (ended.status, ended.text, ended.files[0].path, new) == ("completed", "said", "a", [])
    assert start(store, 5, "other")[1]
    assert len(store.turns("s")) == 2


def test_a_session_that_was_deleted_is_not_brought_back(store: Store) -> None:
    store.append("s", [opened()])
    store.delete_session("s")
    with pytest.raises(SessionGone, match="'s' was deleted"):
        start(store, 1)
    assert store.events("s") == []


def test_of_many_at_once_one_wins(store: Store) -> None:
    store.append("s", [opened()])
    other = Store(store.path)
    outcomes: list[object] = []

    def attempt(each: Store, number: int) -> None:
        try:
            outcomes.append(start(each, number)[0].index)
        except SessionBusy:
            outcomes.append("busy")

    threads = [threading.Thread(target=attempt, args=((store, other)[n % 2], n)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted(map(str, outcomes)) == ["1", *["busy"] * 7]
    before = derived(store)
    store.rebuild()
    assert derived(store) == before
