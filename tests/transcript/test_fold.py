"""Events to steps, on recorded traffic and on faulty agents' messages."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from session_widgets.transcript.envelopes import block_text, permission_request_id, rpc_error_text
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Event, Step
from session_widgets.transcript.steps import FINAL_STATUSES, Change
from tests.support.acp_captures import events as recorded
from tests.support.acp_captures import scenarios
from tests.support.paths import CAPTURES
from tests.transcript.script import T0, Script


def test_changes_name_every_step_that_differs(s: Script) -> None:
    def shadowed(events: list[Event]) -> None:
        fold, shadow = Fold("capture"), dict[tuple[int, int], Step]()
        for event in events:
            for change in fold.feed(event):
                key, now = (change.turn, change.index), fold.step(change.turn, change.index)
                if change.append is not None:
                    before = shadow[key]
                    grown = (before.text or "") + change.append
                    assert now == replace(before, text=grown, last_seq=event.seq, ended_at=event.ts)
                shadow[key] = now
            assert tuple(shadow[key] for key in sorted(shadow)) == fold.steps

    for file in CAPTURES.glob("*.ndjson"):
        for entries in scenarios(file).values():
            shadowed(recorded(entries))


def test_text_grows_by_pieces_and_says_so(s: Script) -> None:
    s.say("Hel")
    assert s.changes == [Change(1, 1)]
    s.say("lo")
    assert s.changes == [Change(1, 1, "lo")]
    assert (s.steps[0].text, s.steps[0].status) == ("Hello", "running")


def test_empty_chunks_make_no_step(s: Script) -> None:
    s.say("")
    s.say("", "agent_thought_chunk")
    assert s.steps == []


@pytest.mark.parametrize(
    "between",
    [
        lambda s: s.say("hm", "agent_thought_chunk"),
        lambda s: s.update("tool_call", toolCallId="t", title="x"),
        lambda s: s.update("plan", entries=[]),
        lambda s: s.event("in", "_adapter/invalid_stdout", "notification", {"params": {"raw": "{"}}, 1),
    ],
)
def test_another_step_in_between_begins_a_new_message(s: Script, between: Any) -> None:
    s.say("one")
    between(s)
    assert s.steps[0].status == "completed", "what came before has ended"
    s.say("two")
    assert [step.text for step in s.steps if step.kind == "message"] == ["one", "two"]
    assert s.fold.turn(1).text == "one\n\ntwo"


def test_another_message_id_begins_a_new_message(s: Script) -> None:
    s.say("a", messageId="1")
    s.say("b", messageId="1")
    s.say("c")
    s.say("d", messageId="2")
    s.say("e", messageId="3")
    assert [step.text for step in s.steps] == ["abc", "d", "e"]


def test_an_update_of_an_older_tool_call_does_not_cut_the_message(s: Script) -> None:
    s.update("tool_call", toolCallId="t", title="x", status="in_progress")
    s.say("one ")
    s.update("tool_call_update", toolCallId="t", status="completed")
    s.say("two")
    assert [step.text for step in s.steps] == [None, "one two"]


def test_a_call_asked_about_before_its_text_parts_that_text_from_the_next(s: Script) -> None:
    """Claude Code asks on another channel than it speaks on, and so its question may come first."""
    s.ask(0, {"toolCallId": "t"})
    s.say("I write")
    s.update("tool_call", toolCallId="t", status="pending")
    s.update("tool_call_update", toolCallId="t", status="completed")
    s.say("I know ")
    s.say("it")
    assert [(step.kind, step.text) for step in s.steps] == [
        ("tool_call", None),
        ("message", "I write"),
        ("message", "I know it"),
    ]


def test_tool_call_fields_merge(s: Script) -> None:
    text = {"type": "content", "content": {"type": "text", "text": "out"}}
    s.update("tool_call_update", toolCallId="t", title="first", kind="edit", rawInput={"a": 1}, content=[text])
    s.update("tool_call_update", toolCallId="t", status="in_progress", title=None, content=None)
    (tool,) = s.steps
    assert (tool.title, tool.tool_kind, tool.status, tool.raw_input) == ("first", "edit", "in_progress", {"a": 1})
    assert tool.content == (text,)
    s.update("tool_call_update", toolCallId="t", content=[])
    assert s.steps[0].content == ()


def test_the_plan_is_one_step(s: Script) -> None:
    s.update("plan", entries=[{"content": "a", "status": "pending"}])
    s.say("x")
    s.update("plan", entries=[{"content": "a", "status": "completed"}])
    assert [(step.kind, step.entries) for step in s.steps] == [
        ("plan", ({"content": "a", "status": "completed"},)),
        ("message", ()),
    ]


def test_permission_opens_and_closes_the_same_step(s: Script) -> None:
    s.ask(0, {"toolCallId": "t", "title": "Write"})
    (step,) = s.fold.pending
    assert step.permission is not None
    assert step.permission.request_id == permission_request_id("c1", 0) == "c1/0"
    assert [option.kind for option in step.permission.options] == ["allow_once", "reject_once"]
    s.note(
        "permission_decision", request_id="c1/0", outcome="selected", option_id="yes", decided_by="user", reason="why"
    )
    assert s.changes == [Change(1, 1)]
    assert s.fold.pending == ()
    decided = s.steps[0].permission
    assert decided is not None
    assert (decided.outcome, decided.option_id, decided.decided_by, decided.reason) == (
        "selected",
        "yes",
        "user",
        "why",
    )


def test_two_questions_about_one_call_are_both_answerable(s: Script) -> None:
    for rpc_id in ("u-1", "u-2"):
        s.ask(rpc_id, {"toolCallId": "t"})
    for rpc_id in ("u-1", "u-2"):
        (step,) = s.fold.pending
        assert step.permission is not None
        assert step.permission.request_id == f'c1/"{rpc_id}"'
        s.note("permission_decision", request_id=f'c1/"{rpc_id}"', outcome="cancelled")
    assert s.fold.pending == ()
    assert [record.state.outcome for record in s.fold.permissions(1)] == ["cancelled", "cancelled"]


def test_colliding_ids_of_two_agent_processes_stay_apart(s: Script) -> None:
    s.ask(0, {"toolCallId": "t1"})
    s.note("agent_started", connection="c2", agent_session_id="a1")
    s.ask(0, {"toolCallId": "t2"})
    s.note("permission_decision", request_id="c2/0", outcome="selected", option_id="yes")
    assert [step.tool_call_id for step in s.fold.pending] == ["t1"]


@pytest.mark.parametrize(
    ("status", "left"), [("failed", "failed"), ("cancelled", "cancelled"), ("completed", "unfinished")]
)
def test_the_end_of_a_turn_closes_what_is_open_and_invents_nothing(s: Script, status: str, left: str) -> None:
    s.say("text")
    s.update("tool_call", toolCallId="done", status="completed")
    s.update("tool_call", toolCallId="open", status="in_progress")
    s.ask(1, {"toolCallId": "asked"})
    s.end(status, files=[{"path": "a", "change": "deleted", "size": None}], stop_reason="end_turn")
    assert [step.status for step in s.steps] == ["completed", "completed", left, left]
    assert s.fold.pending == ()
    assert s.fold.permissions(1)[0].state.outcome == "cancelled"
    assert s.fold.permissions(1)[0].state.decided_by is None
    turn = s.fold.turn(1)
    assert (turn.status, turn.stop_reason, turn.files[0].change) == (status, "end_turn", "deleted")
    assert turn.ended_at is not None


def test_what_comes_after_the_end_is_taken_but_reopens_nothing(s: Script) -> None:
    s.update("tool_call", toolCallId="t", status="in_progress")
    s.end("cancelled")
    s.update("tool_call_update", toolCallId="t", status="in_progress", title="late")
    assert (s.steps[0].status, s.steps[0].title) == ("cancelled", "late")
    s.update("tool_call_update", toolCallId="t", status="completed")
    assert s.steps[0].status == "completed"
    s.say("late text")
    assert (s.steps[1].text, s.steps[1].status) == ("late text", "completed")


def test_usage_of_the_prompt(s: Script) -> None:
    s.update("usage_update", used=10, size=100, cost={"amount": 0.1, "currency": "USD"})
    s.update("usage_update", used=None, size=100, cost={"amount": 0.3, "currency": "USD"})
    s.answer(result={"stopReason": "max_tokens", "usage": {"inputTokens": 5, "outputTokens": None, "totalTokens": 9}})
    s.end()
    turn = s.fold.turn(1)
    assert turn.stop_reason == "max_tokens"
    usage = turn.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (5, None, 9)
    assert (usage.context_used, usage.context_size, usage.cost, usage.currency) == (10, 100, 0.3, "USD")


def test_a_turn_costs_what_the_running_total_grew(s: Script) -> None:
    s.update("usage_update", cost={"amount": 0.5, "currency": "USD"})
    s.end()
    s.note("turn_started", turn=2, prompt=[])
    s.update("usage_update", turn=2, cost={"amount": 0.7, "currency": "USD"})
    assert s.fold.turn(2).usage.cost == 0.2
    s.note("agent_started", turn=2, connection="c2", agent_session_id="a2")
    s.update("usage_update", turn=2, cost={"amount": 1, "currency": "USD"})
    assert s.fold.turn(2).usage.cost == 1.2, "another agent session counts from zero"
    assert s.fold.turn(1).usage.cost == 0.5


def test_the_end_of_an_earlier_agent_is_not_the_end_of_the_present_one(s: Script) -> None:
    s.note("agent_started", turn=None, connection="c2", agent_session_id="a1")
    s.note("agent_stopped", turn=None, connection="c1", reason="lost")
    assert s.fold.session().connection == "c2"
    s.note("agent_stopped", turn=None, connection="c2", reason="ended")
    assert s.fold.session().connection is None


def test_errors_and_notices_can_be_read(s: Script) -> None:
    s.event("in", "_adapter/invalid_stdout", "notification", {"params": {"error": "x", "raw": "warning: hi"}}, 1)
    s.answer("error", error={"code": -32603, "message": "Internal error", "data": {"details": "no credit"}})
    s.event("in", "_adapter/agent_exited", "notification", {"params": {"code": 3, "stderr": "Traceback\nboom"}}, 1)
    s.end("failed", error="the agent exited")
    assert [(step.kind, step.text) for step in s.steps] == [
        ("notice", "The agent printed something that is no message.\nwarning: hi"),
        ("error", "Internal error: no credit"),
        ("error", "The agent exited with code 3.\nTraceback\nboom"),
    ]
    assert (s.fold.turn(1).status, s.fold.turn(1).error) == ("failed", "the agent exited")


def test_a_failed_turn_without_another_word_shows_its_error(s: Script) -> None:
    s.end("failed", error="the runner was killed")
    assert [(step.kind, step.text) for step in s.steps] == [("error", "the runner was killed")]


def test_content_other_than_text(s: Script) -> None:
    image = {"type": "image", "mimeType": "image/png", "data": "A" * 16_000}
    s.update("agent_message_chunk", content=image)
    s.say(" there")
    s.update("agent_message_chunk", content={"type": "resource_link", "name": "a.pdf", "uri": "file:///a.pdf"})
    (step,) = s.steps
    assert step.text == "[image/png, 12 kB] there[a.pdf]"
    assert step.content == (image, {"type": "resource_link", "name": "a.pdf", "uri": "file:///a.pdf"})


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "resource", "resource": {"uri": "u", "mimeType": "text/x", "text": "12345"}}, "[u, text/x, 5 B]"),
        ({"type": "audio"}, "[audio]"),
        ({"type": "resource_link", "name": "big", "size": 3_000_000}, "[big, 3 MB]"),
        ({"type": "text", "text": 5}, ""),
        ({}, "[content]"),
    ],
)
def test_block_text(block: dict[str, Any], text: str) -> None:
    assert block_text(block) == text


def test_replays_are_never_folded(s: Script) -> None:
    s.update("agent_message_chunk", turn=None, content={"type": "text", "text": "an old answer"})
    s.update("tool_call", turn=None, toolCallId="old", status="pending")
    assert s.steps == []


def test_the_session_follows_its_notes(s: Script) -> None:
    s.note("sandbox_started", turn=None, ref="local:1")
    s.note("session_changed", turn=None, title="new", model="m2")
    session = s.fold.session()
    assert session is not None
    assert (session.title, session.model, session.status, session.turns) == ("new", "m2", "running", 1)
    assert (session.sandbox_ref, session.connection, session.agent_session_id) == ("local:1", "c1", "a1")
    s.end()
    s.note("sandbox_stopped", turn=None, ref="local:1", reason="gone")
    s.note("session_opened", turn=None, harness="other", sandbox="x", workspace="y")
    session = s.fold.session()
    assert session is not None
    assert (session.harness, session.sandbox_ref, session.connection) == ("demo", None, None)
    assert (session.created_at, session.updated_at) == (T0 + timedelta(seconds=1), T0 + timedelta(seconds=s.seq))


def test_the_session_follows_where_its_files_live(s: Script) -> None:
    def place() -> tuple[str, ...]:
        session = s.fold.session()
        assert session is not None
        return session.harness, session.sandbox, session.workspace, session.attachment

    assert place() == ("demo", "local", "/w", "directory")
    s.note("session_changed", turn=None, sandbox="docker", workspace="s3://b/p", attachment="fuse:s3fs")
    assert place() == ("demo", "docker", "s3://b/p", "fuse:s3fs")
    s.note("session_changed", turn=None, harness=None, workspace="", attachment=7)
    assert place() == ("demo", "docker", "s3://b/p", "fuse:s3fs")
    fold = Fold("s")
    fold.feed(Event("s", 1, None, T0, "note", None, "session_opened", {"workspace": "s3://b/p", "attachment": "sync"}))
    assert (session := fold.session()) is not None
    assert session.attachment == "sync"


def test_a_turn_saves_until_it_has_ended(s: Script) -> None:
    assert not s.fold.turn(1).saving
    s.note("persist_started", attachment="sync")
    assert s.fold.turn(1).saving
    s.end(durable_at=T0.isoformat())
    assert (s.fold.turn(1).saving, s.fold.turn(1).durable_at) == (False, T0)
    s.note("persist_started", attachment="sync")
    assert not s.fold.turn(1).saving


HOSTILE: list[Any] = [None, 0, -1, True, 2**70, 1.5, "x", "\ud800", [], [None], [[]], {}, {"a": {}}, float("nan")]


def test_values_of_any_type_anywhere_do_no_harm() -> None:
    chance = random.Random(7)
    names = (
        *("content", "toolCallId", "title", "kind", "status", "locations", "rawInput", "rawOutput", "entries"),
        *("used", "size", "cost", "messageId"),
    )
    kinds = ("agent_message_chunk", "tool_call", "tool_call_update", "plan", "usage_update", "no_such_update")
    for _ in range(300):
        s = Script()
        for _ in range(10):
            fields = {name: chance.choice(HOSTILE) for name in names if chance.random() < 0.5}
            s.update(chance.choice(kinds), **fields)
            s.event("in", chance.choice(["session/update", "session/prompt"]), "response", {"result": fields}, 1)
            s.ask(chance.choice(HOSTILE), chance.choice([fields, *HOSTILE]))
            s.note("permission_decision", **fields)
            s.event("in", "session/prompt", "error", {"error": chance.choice(HOSTILE)}, 1)
        s.end(chance.choice(HOSTILE), files=chance.choice(HOSTILE), usage=chance.choice(HOSTILE), durable_at="no time")
        assert all(step.status in FINAL_STATUSES for step in s.fold.steps)
        s.fold.turn(1)


def test_rpc_error_text_of_nothing() -> None:
    assert rpc_error_text(None) == "The agent answered with an error"


@pytest.mark.slow
def test_feeding_costs_the_same_however_long_the_text_is(s: Script) -> None:
    import time

    def seconds(chunks: int) -> float:
        begin = time.perf_counter()
        for _ in range(chunks):
            s.say("x" * 100)
            s.events.clear()  # they take 100 MB
        return time.perf_counter() - begin

    early = min(seconds(2000) for _ in range(3))
    seconds(100_000)
    late = min(seconds(2000) for _ in range(3))
    assert late < early * 5
    assert len(s.steps[0].text or "") == 112_000 * 100


@pytest.mark.slow
def test_a_permission_costs_the_same_however_many_came_before(s: Script) -> None:
    import time

    def seconds(requests: int) -> float:
        begin = time.perf_counter()
        for _ in range(requests):
            s.ask(0, {"toolCallId": "t"})
            s.note("permission_decision", request_id="c1/0", outcome="selected", option_id="yes")
            s.events.clear()
        return time.perf_counter() - begin

    early = min(seconds(300) for _ in range(3))
    seconds(20_000)
    late = min(seconds(300) for _ in range(3))
    assert late < early * 5
    assert len(s.fold.permissions(1)) == 21_800


def test_a_turn_without_a_word_is_said_to_be_one(s: Script):
    s.answer(result={"stopReason": "end_turn"})
    s.end()
    (notice,) = s.steps
    assert notice.kind == "notice"
    assert "without saying or doing anything" in (notice.text or "")


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_an_end_with_a_reason_of_its_own_needs_no_such_remark(s: Script, status: str):
    s.end(status)
    assert s.steps == []
