"""Rows that a derivation writes and removes after each batch of events, without a store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from session_widgets._store.derive import KEYS, Derivation
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Draft, Event
from tests.support.drafts import TS, chunk, note, opened, update


class Session:
    """The events of a session, as they come."""

    def __init__(self, first_turn: int = 1) -> None:
        self.derivation = Derivation(Fold("s"), first_turn)
        self.seq = 0

    def feed(self, *drafts: Draft) -> None:
        for draft in drafts:
            self.seq += 1
            payload = orjson.loads(draft.payload)
            at = TS + timedelta(seconds=self.seq)
            self.derivation.feed(
                Event("s", self.seq, draft.turn, at, draft.direction, draft.method, draft.kind, payload)
            )

    def written(self, table: str) -> tuple[list[Any], list[Any], list[Any]]:
        """What is written to one table: rows, rows taken back, and rows that change."""
        found = self.derivation.written()
        assert found.keys() == KEYS.keys()
        return found[table].rows, found[table].stale, found[table].changed


@pytest.fixture
def session() -> Session:
    made = Session()
    made.feed(opened(), note("agent_started", 2, connection="c1"), start(1))
    made.derivation.written()
    return made


def start(turn: int) -> Draft:
    return note("turn_started", 3, turn=turn, prompt=[{"type": "text", "text": "go"}])


def end(turn: int = 1, **fields: Any) -> Draft:
    return note("turn_ended", 4, turn=turn, **{"status": "completed", **fields})


def tool(status: str, call: str = "t", turn: int = 1) -> Draft:
    return update("tool_call_update", 5, turn=turn, toolCallId=call, status=status)


def ask(call: str = "t", turn: int = 1) -> Draft:
    params = {"toolCall": {"toolCallId": call}, "options": [{"optionId": "y", "kind": "allow_once"}]}
    payload = orjson.dumps({"id": 0, "params": params}).decode()
    return Draft("in", "request", payload, "c1", 1, turn, TS, "session/request_permission")


def decide(turn: int = 1) -> Draft:
    return note("permission_decision", 6, turn=turn, request_id="c1/0", outcome="selected", option_id="y")


def cost(amount: float, currency: str = "USD", turn: int | None = 1) -> Draft:
    return update("usage_update", 7, turn=turn, cost={"amount": amount, "currency": currency})


def statuses(rows: list[Any]) -> list[tuple[int, str]]:
    return [(row["step"], row["status"]) for row in rows]


def test_nothing_is_written_twice(session: Session) -> None:
    for written in session.derivation.written().values():
        assert (written.rows, written.stale, written.changed) == ([], [], [])


def test_a_turn_is_put_in_once_and_changed_from_then_on() -> None:
    session = Session()
    session.feed(opened(), start(1))
    (row,), stale, changed = session.written("turns")
    assert (row["turn"], row["first_seq"], row["status"], stale, changed) == (1, 2, "running", [], [])
    session.feed(chunk(1), chunk(2))
    rows, _, ((before, after),) = session.written("turns")
    assert (rows, before) == ([], row)
    assert after == row, "that there is a message is no column"
    session.feed(chunk(3))
    assert session.written("turns") == ([], [], []), "a text that grows is none of its columns"
    session.feed(end())
    rows, _, ((before, after),) = session.written("turns")
    assert (rows, before, after["status"], after["text"]) == ([], row, "completed", "xxx")
    session.feed(chunk(4, "late"))
    _, _, ((before, after),) = session.written("turns")
    assert (before["text"], after["text"]) == ("xxx", "xxxlate"), "of a turn that is over every word is written"


def test_turns_are_written_in_their_order() -> None:
    session = Session()
    session.feed(opened(), start(3), start(1), start(2))
    assert [row["turn"] for row in session.written("turns")[0]] == [1, 2, 3]


def test_the_context_of_a_turn_is_that_before_its_first_event() -> None:
    session = Session()
    session.feed(opened())
    before = session.derivation.fold.state
    session.feed(note("session_changed", 9, turn=1, title="new"))
    (row,) = session.written("turns")[0]
    assert orjson.loads(row["context"])["session"]["title"] is None
    assert before.session is not None
    assert row["first_seq"] == 2


def test_a_text_is_written_when_it_has_ended(session: Session) -> None:
    session.feed(chunk(1), chunk(2))
    assert session.written("steps") == ([], [], [])
    session.feed(tool("pending"))
    rows, stale, _ = session.written("steps")
    assert (statuses(rows), stale) == ([(1, "completed"), (2, "pending")], [])
    assert rows[0]["text"] == "xx"
    session.feed(chunk(3), end())
    rows, stale, _ = session.written("steps")
    assert sorted(statuses(rows)) == [(2, "unfinished"), (3, "completed")]
    assert stale == [{"session_id": "s", "turn": 1, "step": 2}]
    session.feed(chunk(4), chunk(5))
    rows, stale, _ = session.written("steps")
    assert (rows[0]["text"], stale) == ("xxx", [{"session_id": "s", "turn": 1, "step": 3}]), "late text goes behind it"


def test_a_call_is_written_with_each_status_and_permission(session: Session) -> None:
    session.feed(tool("pending"))
    assert statuses(session.written("steps")[0]) == [(1, "pending")]
    session.feed(update("tool_call_update", 8, toolCallId="t", title="more"))
    assert session.written("steps") == ([], [], []), "its status is the same"
    session.feed(ask())
    rows, stale, _ = session.written("steps")
    assert (statuses(rows), rows[0]["title"], len(stale)) == ([(1, "pending")], "more", 1)
    session.feed(decide())
    rows, _, _ = session.written("steps")
    assert rows[0]["permission_outcome"] == "allowed"
    session.feed(tool("completed"), update("tool_call_update", 8, toolCallId="t", title="late"))
    rows, _, _ = session.written("steps")
    assert [(row["status"], row["title"]) for row in rows] == [("completed", "late")]
    session.feed(update("tool_call_update", 8, toolCallId="t", title="later"))
    assert session.written("steps")[0][0]["title"] == "later", "what has ended is written with every change"


def test_a_permission_is_written_as_it_is_asked_and_as_it_is_answered(session: Session) -> None:
    session.feed(ask())
    (row,), stale, _ = session.written("permissions")
    assert (row["asked_seq"], row["turn"], row["step"], row["outcome"], stale) == (4, 1, 1, None, [])
    session.feed(decide())
    (row,), (old,), _ = session.written("permissions")
    assert (row["outcome"], old["asked_seq"]) == ("allowed", 4)
    session.feed(ask(), decide())
    assert (row["session_id"], old["session_id"]) == ("s", "s")
    (row,), stale, _ = session.written("permissions")
    assert (row["asked_seq"], row["outcome"], stale) == (6, "allowed", []), "the id again is another request"


def test_a_permission_may_be_answered_after_others_were_asked(session: Session) -> None:
    for call in ("t", "u"):
        session.feed(ask(call))
        session.derivation.written()
    session.feed(end())
    rows, stale, _ = session.written("permissions")
    assert [row["asked_seq"] for row in rows] == [row["asked_seq"] for row in stale] == [4, 5]


def test_files_are_written_with_the_end_and_replaced_by_another_one(session: Session) -> None:
    session.feed(end(files=[{"path": "a", "change": "created", "size": 1}, {"path": "b", "change": "deleted"}]))
    rows, stale, _ = session.written("file_changes")
    assert ([row["path"] for row in rows], stale) == (["a", "b"], [])
    assert rows[0] == {"session_id": "s", "turn": 1, "path": "a", "change": "created", "size": 1}
    session.feed(chunk(1))
    assert session.written("file_changes") == ([], [], [])
    session.feed(end(files=[{"path": "c"}]))
    rows, stale, _ = session.written("file_changes")
    assert ([row["path"] for row in rows], stale) == (["c"], [{"session_id": "s", "turn": 1}])
    session.feed(start(3), start(2), end(3, files=[{"path": "3"}]), end(2, files=[{"path": "2"}]))
    assert [row["turn"] for row in session.written("file_changes")[0]] == [2, 3]


def test_what_was_counted_is_written_when_the_turn_is_over(session: Session) -> None:
    session.feed(cost(1))
    assert session.written("llm_calls") == ([], [], [])
    session.feed(end())
    (row,), stale, _ = session.written("llm_calls")
    assert (row["llm_call_id"], row["cost"], stale) == ("s/1", "1.0", [])
    session.feed(chunk(1))
    assert session.written("llm_calls") == ([], [], []), "that counts nothing"
    session.feed(cost(3))
    (new,), old, _ = session.written("llm_calls")
    assert (new["cost"], old) == ("3.0", [row])
    session.feed(cost(1, "EUR"))
    rows, old, _ = session.written("llm_calls")
    assert ([row["currency"] for row in rows], old) == (["EUR", "USD"], [new])


def test_what_was_spent_in_no_turn_is_written_at_once(session: Session) -> None:
    session.feed(cost(1, turn=None))
    (row,), stale, _ = session.written("llm_calls")
    assert (row["llm_call_id"], row["cost"], stale) == ("s/outside/demo/USD", "1.0", [])
    session.feed(cost(1, turn=None))
    assert session.written("llm_calls") == ([], [], [])
    session.feed(cost(3, turn=None), cost(4), end())
    rows, stale, _ = session.written("llm_calls")
    assert ([(each["llm_call_id"], each["cost"]) for each in rows], stale) == (
        [("s/outside/demo/USD", "3.0"), ("s/1", "1.0")],
        [row],
    )


def test_an_event_of_no_turn_makes_no_step(session: Session) -> None:
    session.feed(chunk(1, turn=None), tool("pending", turn=None), ask(turn=None), end(turn=None))
    for written in session.derivation.written().values():
        assert (written.rows, written.stale, written.changed) == ([], [], [])


def test_what_is_before_the_first_turn_counts_for_the_session_alone() -> None:
    session = Session(first_turn=2)
    knows = session.derivation.knows
    assert (knows(1), knows(2), knows(3)) == (False, True, True)
    session.feed(opened(), chunk(1, turn=1), note("session_changed", 9, turn=1, title="new"), start(2))
    assert [row["turn"] for row in session.written("turns")[0]] == [2]
    row = session.derivation.session("o", 4, 2)
    assert (row["session_id"], row["title"], row["origin"], row["last_seq"], row["turns"]) == ("s", "new", "o", 4, 2)


def test_a_derivation_begins_with_what_the_session_had(session: Session) -> None:
    assert Derivation(Fold("s")).knows(1)
    session.feed(cost(1, turn=None))
    again = Derivation(Fold("s", session.derivation.fold.state), 2)
    assert again.written()["llm_calls"].rows == [], "that is in the table"


def test_what_is_kept_of_a_turn_stays_when_others_are_forgotten() -> None:
    session = Session()
    session.feed(opened(), start(1), start(2), tool("pending", turn=2), chunk(1, turn=2))
    session.derivation.written()
    session.derivation.forget_before(2)
    session.feed(update("tool_call_update", 8, turn=2, toolCallId="t", title="more"), chunk(2, turn=2))
    assert session.written("steps") == ([], [], []), "nothing of it has ended, no status is another"


def test_what_is_forgotten_is_known_no_more_and_the_rest_is() -> None:
    session = Session()
    session.feed(opened(), note("agent_started", 2, connection="c1"))
    for turn in (1, 2, 3):
        session.feed(start(turn), tool("pending", turn=turn), ask(turn=turn))
    session.derivation.written()
    session.derivation.forget_before(2)
    derivation = session.derivation
    assert (derivation.knows(1), derivation.knows(2)) == (False, True)
    assert derivation.fold.turns == (2, 3)
    derivation.forget_before(1)
    derivation.forget_before(2)
    assert derivation.fold.turns == (2, 3)
    session.feed(tool("completed", turn=1), tool("completed", turn=2), decide(2), end(3))
    found = derivation.written()
    assert {(row["turn"], row["step"]) for row in found["steps"].rows} == {(2, 1), (3, 1)}
    assert found["steps"].stale == [
        {"session_id": "s", "turn": 2, "step": 1},
        {"session_id": "s", "turn": 3, "step": 1},
    ]
    assert [row["turn"] for row in found["permissions"].stale] == [2, 3]
    assert [after["turn"] for _, after in found["turns"].changed] == [2, 3]
    assert {turn for turn, _ in derivation._state} == {2, 3}
    assert {turn for turn, _ in derivation._steps_in_table} == {2, 3}
    assert set(derivation._permissions_in_table.values()) == {2, 3}
