"""A new session with the events of another one, complete or not at all."""

from __future__ import annotations

import json
import time

import pytest

from session_widgets._store.database import Store
from session_widgets.errors import SessionConflict, SessionGone, StoreError
from session_widgets.transcript.records import Draft
from tests.store.story import Story
from tests.support.drafts import TS, chunk, derived, note


def said(kind: str, number: int = 0, **payload: object) -> Draft:
    """Return a note outside turns, whose payload names one."""
    return Draft("note", kind, json.dumps(payload), "fork", number, None, TS)


def forked(turn: int = 1) -> list[Draft]:
    return [said("session_forked", 1, session="s", turn=turn, workspace="/f", attachment="directory")]


def kept(turn: int | None, name: str, process: str = "k") -> Draft:
    return said("files_kept", turn=turn, snapshot=name, process=process)


@pytest.fixture
def story(store: Store) -> Story:
    """Two turns with costs in and outside of them, kept files, one after the next turn's start, and a running turn."""
    story = Story(store)
    story.note("sandbox_started", ref="local:1")
    story.agent("c1")
    story.begin(1)
    story.cost(1, 1.0)
    story.end(1)
    story.cost(None, 1.5)
    story.begin(2)
    story.add(kept(1, "a-1"))
    story.cost(2, 2.0)
    story.end(2)
    story.add(kept(2, "b-1"))
    story.note("session_changed", title="Later")
    story.begin(3)
    return story


def test_a_fork_has_the_events_up_to_the_end_of_its_turn(story: Story) -> None:
    store = story.store
    store.fork_session("s", 1, "f", forked())
    kinds = [event.kind for event in store.events("f")]
    assert kinds == [
        *("session_opened", "sandbox_started", "agent_started", "turn_started", "usage_update", "turn_ended"),
        *("files_kept", "session_forked"),
    ]
    assert [event.seq for event in store.events("f")] == list(range(1, 9))
    record = store.session("f")
    assert record is not None
    assert (record.id, record.title, record.turns, record.status) == ("f", None, 1, "parked")
    assert (record.sandbox_ref, record.connection, record.workspace) == (None, None, "/f")
    assert not record.sandbox_running
    assert (record.forked_from, record.forked_at_turn, record.created_at) == ("s", 1, TS)
    assert [one.turn for one in store.kept_files("f")] == [1]


def test_costs_of_copied_turns_count_once(story: Story) -> None:
    store = story.store
    store.fork_session("s", 2, "f", forked(2))
    query = "select session_id, turn, cost::double from v_usage order by all"
    assert store.sql(query).fetchall() == [("s", 1, 1.0), ("s", 2, 0.5), ("s", None, 0.5)]
    assert [turn.usage.cost for turn in store.turns("f")] == [1.0, 0.5]
    before = derived(store)
    store.rebuild()
    assert derived(store) == before


def test_a_turn_begun_by_another_process_spoils_the_files_that_are_noted_later(story: Story) -> None:
    story.add(kept(2, "b-2", process="another"))
    assert [one.snapshot for one in story.store.kept_files("s")] == ["a-1", "b-1"]
    story.note("files_dropped", snapshots=["a-1"])
    assert [one.snapshot for one in story.store.kept_files("s")] == ["b-1"]


def test_what_a_fork_adds_is_stored_without_secrets(story: Story) -> None:
    story.store.fork_session("s", 1, "f", [*forked(), said("session_changed", 2, title="AKIAIOSFODNN7EXAMPLE")])
    assert story.store.events("f")[-1].payload == {"title": "[redacted]"}
    ((payload,),) = story.store.sql("select payload from v_events where session_id = 'f' and seq = 9").fetchall()
    assert payload == '{"title": "[redacted]"}'


def test_what_cannot_be_forked(story: Story) -> None:
    store = story.store
    for turn in (3, 4):
        with pytest.raises(SessionGone, match=rf"^session 's' has no ended turn {turn} in this store\.$"):
            store.fork_session("s", turn, "f", forked())
    with pytest.raises(SessionConflict, match=r"^session 's' exists\. Use another id\.$"):
        store.fork_session("s", 1, "s", forked())
    assert store.session("f") is None
    assert store.events("f") == []


def test_a_fork_that_fails_in_the_middle_leaves_nothing(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("no")

    monkeypatch.setattr("session_widgets._store.rebuilding.rebuild", fail)
    with pytest.raises(StoreError):
        story.store.fork_session("s", 1, "f", forked())
    assert story.store.events("f") == []
    monkeypatch.undo()
    story.store.fork_session("s", 1, "f", forked())
    story.store.append("f", [note("turn_started", 1, turn=2, source="k2", prompt=[])])
    assert story.store.turns("f")[1].status == "running"


@pytest.mark.slow
def test_a_session_of_many_events_is_forked_in_a_moment(story: Story) -> None:
    store = story.store
    store.append("s", [chunk(number, turn=3, source="many") for number in range(20_000)])
    story.end(3)
    begun = time.process_time()
    store.fork_session("s", 3, "f", forked(3))
    assert time.process_time() - begun < 30
    assert len(store.turns("f")[2].text) == 20_000
