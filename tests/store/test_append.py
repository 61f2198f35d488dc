"""The only way in: places without gaps, nothing twice, nothing changed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from session_widgets._store.database import Store
from session_widgets.errors import BadValue
from tests.support.drafts import TS, chunk, note, opened

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("count", [4, 10], ids=["few", "many"])
def test_events_come_back_as_they_went_in(store: Store, count: int) -> None:
    drafts = [opened(), *(replace(chunk(n), ts=TS + timedelta(microseconds=n)) for n in range(1, count))]
    drafts[-1] = replace(drafts[-1], kind="of the agent\0")
    events = store.append("s", drafts)
    assert [event.seq for event in events] == list(range(1, count + 1))
    assert store.events("s") == events
    for event, draft in zip(events, drafts, strict=True):
        assert (event.turn, event.ts, event.direction, event.method, event.kind) == (
            draft.turn,
            draft.ts,
            draft.direction,
            draft.method,
            draft.kind,
        )
        assert event.payload == json.loads(draft.payload)


def test_reading_a_part(store: Store) -> None:
    store.append("s", [opened(), *(chunk(n, turn=1 + n // 5) for n in range(1, 10))])
    assert [e.seq for e in store.events("s", after=7)] == [8, 9, 10]
    assert [e.seq for e in store.events("s", after=2, limit=2)] == [3, 4]
    assert {e.turn for e in store.events("s", turn=2)} == {2}
    assert store.events("nobody") == []


def test_repeats_are_left_out(store: Store) -> None:
    store.append("s", [chunk(1), chunk(2)])
    again = store.append("s", [chunk(2), chunk(3), chunk(3), chunk(1)])
    assert [(event.seq, event.payload) for event in again] == [(3, json.loads(chunk(3).payload))]
    assert store.append("s", [chunk(1)]) == []
    assert len(store.append("s", [chunk(1, source="other")])) == 1
    assert len(store.append("t", [chunk(1)])) == 1, "another session is another world"


def test_numbers_of_a_source_may_come_in_any_order(store: Store) -> None:
    numbers = [n for n in range(1, 200) for _ in range(2)]
    random.Random(1).shuffle(numbers)
    for start in range(0, len(numbers), 7):
        store.append("s", [chunk(n) for n in numbers[start : start + 7]])
    rows = store.sql("select seq, source_seq from v_events order by seq").fetchall()
    assert [seq for seq, _ in rows] == list(range(1, 200))
    assert sorted(source_seq for _, source_seq in rows) == list(range(1, 200))


def test_last_source_seq(store: Store) -> None:
    store.append("s", [chunk(7), chunk(3), chunk(9, source="c2")])
    assert store.last_source_seq("s", "c1") == 7
    assert store.last_source_seq("s", "c2") == 9
    assert store.last_source_seq("s", "never") == 0
    assert store.last_source_seq("t", "c1") == 0


@pytest.mark.parametrize("bad", ["", "nonsense", "[]", '"text"', '{"a": NaN}', "{", '{"a":' * 100_000])
def test_a_payload_that_is_no_object_is_refused_and_nothing_stored(store: Store, bad: str) -> None:
    with pytest.raises(BadValue, match="payload"):
        store.append("s", [chunk(1), replace(chunk(2), payload=bad)])
    assert store.events("s") == []
    assert [event.seq for event in store.append("s", [chunk(1)])] == [1]


@pytest.mark.parametrize("bad", ["", "a/b", "..", "x" * 129, "a\n", "ä", None, 5])
def test_bad_session_ids_are_refused_everywhere(store: Store, bad: str) -> None:
    for call in (
        lambda: store.append(bad, [chunk(1)]),
        lambda: store.events(bad),
        lambda: store.session(bad),
        lambda: store.turns(bad),
        lambda: store.steps(bad),
        lambda: store.delete_session(bad),
        lambda: store.start_turn(bad, [], owner={}, source="k", source_seq=1, ts=TS),
    ):
        with pytest.raises(BadValue, match="session id"):
            call()


@pytest.mark.parametrize(
    "text",
    [
        "nul \0 in the middle",
        "half a pair \ud83d alone",
        "‮ override \x1b[31m ansi \u2028",
        "😀 ünï ç",
        "quote \" back \\ slash '",
        "<script>alert(1)</script>",
        "x" * 5_000_000,
    ],
)
def test_hostile_text_is_stored_whole_and_raw(store: Store, text: str) -> None:
    draft = chunk(1, text)
    store.append("s", [opened(), draft])
    (raw,) = store.sql("select payload from v_events where seq = 2").fetchall()[0]
    assert raw == draft.payload
    store.append("s", [note("turn_ended", 2, turn=1, status="completed")])
    (step,) = store.steps("s", 1)
    assert step.text == text.replace("\ud83d", "?")
    assert store.events("s")[1].payload["params"]["update"]["content"]["text"] == step.text


def test_a_value_that_nests_deeply_does_not_stop_the_commit(store: Store) -> None:
    deep = '{"params": {"update": {"toolCallId": "t", "status": "completed", "rawInput": %s}}}' % (
        "[" * 600 + "]" * 600
    )
    draft = replace(chunk(1), kind="tool_call", payload=deep)
    store.append("s", [draft])
    assert store.sql("select payload from v_events").fetchall() == [(deep,)]
    assert "nested too deeply" in store.sql("select raw_input from v_tool_calls").fetchall()[0][0]
    store.rebuild()


def test_deleting_a_session_removes_every_row_and_lets_it_begin_again(store: Store) -> None:
    store.append("gone", [opened(), chunk(1)])
    store.append("kept", [opened(), chunk(1)])
    store.delete_session("gone")
    assert store.session("gone") is None
    assert {row[0] for row in store.sql("select session_id from v_events").fetchall()} == {"kept"}
    for view in ("v_sessions", "v_turns", "v_steps"):
        assert {row[0] for row in store.sql(f"select session_id from {view}").fetchall()} <= {"kept"}
    assert [event.seq for event in store.append("gone", [opened(title="second"), chunk(1)])] == [1, 2]
    session = store.session("gone")
    assert session is not None
    assert session.title == "second"


def test_another_writer_notices_that_a_session_was_deleted_and_began_again(store: Store) -> None:
    other = Store(store.path)
    try:
        store.append("s", [opened(), *(chunk(n) for n in range(1, 5))])
        other.delete_session("s")
        other.append("s", [opened(source="kernel:b", title="again"), *(chunk(n, "y") for n in range(1, 8))])
        events = store.append("s", [chunk(8, "y")])
        assert [event.seq for event in events] == [9]
        session = store.session("s")
        assert session is not None
        assert session.title == "again"
        assert [step.text for step in store.steps("s")] == ["y" * 8]
    finally:
        other.close()
