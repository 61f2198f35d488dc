"""Effects of each event on a turn and its steps, field by field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import (
    Event,
    PermissionOption,
    PermissionState,
    Step,
    TurnRecord,
    Usage,
)
from session_widgets.transcript.state import FoldState
from session_widgets.transcript.steps import Change
from tests.transcript.script import T0, Script, at


def question(s: Script, rpc_id: object = 7, **params: Any) -> None:
    payload = {"id": rpc_id, "method": "elicitation/create", "params": params}
    s.event("in", "elicitation/create", "request", payload, 1)


def test_a_turn_before_anything_was_said_of_it() -> None:
    fold = Fold("s")
    fold.feed(Event("s", 4, 2, T0, "in", "session/update", "plan", {}))
    assert fold.turn(2) == TurnRecord("s", 2, "running", (), T0)
    assert fold.turns == (2,)
    assert (fold.session(), fold.pending, fold.permissions(2), fold.costs(2)) == (None, (), (), {})


def test_a_turn_as_it_starts(s: Script) -> None:
    image = {"type": "image", "mimeType": "image/png", "data": "AAAA"}
    prompt = [{"type": "text", "text": "one"}, image, {"type": "text", "text": "two"}]
    s.note("turn_started", turn=2, prompt=prompt, idempotency_key="k", owner={"pid": 1})
    assert s.changes == [Change(2, 0)]
    turn = s.fold.turn(2)
    assert (turn.session_id, turn.index, turn.status, turn.harness, turn.tier) == ("s", 2, "running", "demo", None)
    assert (turn.prompt, turn.idempotency_key, turn.owner) == (tuple(prompt), "k", {"pid": 1})
    assert (turn.started_at, turn.ended_at, turn.saving, turn.waited_s) == (at(4), None, False, 0.0)
    assert (turn.text, turn.error, turn.failure, turn.files) == ("", None, None, ())
    assert s.fold.step(2, 0) == Step(
        "s", 2, 0, "user", 4, 4, at(4), at(4), "completed", "one\n[image/png, 3 B]\ntwo", content=(image,)
    )
    s.note("turn_started", turn=3, prompt="x", idempotency_key=5, owner=[1])
    turn = s.fold.turn(3)
    assert (turn.prompt, turn.idempotency_key, turn.owner) == ((), None, None)


def test_a_message_grows_and_then_stands(s: Script) -> None:
    s.say("a", "agent_thought_chunk")
    assert s.changes == [Change(1, 1)]
    s.say("b", "agent_thought_chunk")
    assert s.changes == [Change(1, 1, "b")]
    s.say("c")
    assert s.changes == [Change(1, 1), Change(1, 2)], "the thought ended with it"
    assert s.steps == [
        Step("s", 1, 1, "thought", 4, 5, at(4), at(5), "completed", "ab"),
        Step("s", 1, 2, "message", 6, 6, at(6), at(6), "running", "c"),
    ]
    s.say("")
    s.update("agent_message_chunk")
    s.update("agent_message_chunk", content={"type": "text", "text": 5})
    assert s.changes == [], "nothing was said"
    s.end(stop_reason="end_turn")
    assert s.changes == [Change(1, 2)]
    assert (s.steps[1].status, s.steps[1].ended_at) == ("completed", at(6)), "nothing happened to the step itself"
    s.say("late", "agent_thought_chunk")
    assert s.steps[2].status == "completed"


def test_a_block_that_is_no_text_stands_in_the_text_and_in_the_content(s: Script) -> None:
    image = {"type": "image", "mimeType": "image/png", "data": "AAAA"}
    s.say("a")
    s.update("agent_message_chunk", content=image)
    assert s.changes == [Change(1, 1)]
    s.say("b")
    s.update("agent_message_chunk", content=image)
    assert (s.steps[0].text, s.steps[0].content) == ("a[image/png, 3 B]b[image/png, 3 B]", (image, image))
    assert (s.steps[0].last_seq, s.steps[0].ended_at) == (7, at(7))


def test_a_message_id_that_comes_late_is_kept(s: Script) -> None:
    s.say("a")
    s.say("b", messageId="1")
    s.say("c", messageId="1")
    s.say("d")
    s.say("e", messageId="2")
    s.say("f", messageId="2")
    s.say("g", messageId=3)
    assert [step.text for step in s.steps] == ["abcd", "efg"]


def test_a_tool_call_from_its_first_word_to_its_last(s: Script) -> None:
    s.update("tool_call", toolCallId="t", title="Run", kind="execute", rawInput={"command": "x"})
    assert s.changes == [Change(1, 1)]
    s.update("tool_call_update", toolCallId="t", status="in_progress", locations=[{"path": "a"}])
    assert s.changes == [Change(1, 1)]
    (step,) = s.steps
    assert step == Step(
        *("s", 1, 1, "tool_call", 4, 5, at(4), at(5), "in_progress"),
        tool_call_id="t",
        title="Run",
        tool_kind="execute",
        locations=({"path": "a"},),
        raw_input={"command": "x"},
        waited_s=0.0,
    )
    s.update("tool_call_update", toolCallId="t", status="failed", rawOutput={"exit_code": 3})
    assert (s.steps[0].failure, s.steps[0].exit_code, s.steps[0].status) == ("error", 3, "failed")
    s.update("tool_call_update", toolCallId="t", status="completed")
    assert s.steps[0].failure is None
    s.update("tool_call", toolCallId="u")
    assert s.steps[1].status == "pending"
    s.update("tool_call", title="of no call")
    assert s.changes == []
    assert len(s.steps) == 2


def test_a_call_that_fails_after_a_cancel_was_interrupted(s: Script) -> None:
    s.update("tool_call", toolCallId="t")
    s.event("out", "session/cancel", "notification", {}, 1)
    assert s.changes == []
    s.update("tool_call_update", toolCallId="t", status="failed")
    assert s.steps[0].failure == "interrupted"
    other = Script()
    other.update("tool_call", toolCallId="t")
    other.event("out", "session/prompt", "request", {}, 1)
    other.update("tool_call_update", toolCallId="t", status="failed")
    assert other.steps[0].failure == "error"


def test_what_a_command_prints_stands_behind_its_content(s: Script) -> None:
    def printed(text: str, **fields: Any) -> None:
        s.update("tool_call_update", toolCallId="t", _meta={"terminal_output_delta": {"data": text}}, **fields)

    def screen(text: str) -> dict[str, Any]:
        return {"type": "content", "content": {"type": "text", "text": text}}

    one, two = screen("one"), screen("two")
    s.update("tool_call", toolCallId="t", content=[one])
    printed("a")
    printed("b")
    assert s.steps[0].content == (one, screen("ab"))
    assert s.steps[0].last_seq == 6
    printed("c")
    assert s.steps[0].content == (one, screen("abc")), "it grows in its place"
    s.update("tool_call_update", toolCallId="t", content=[two])
    assert s.steps[0].content == (two, screen("abc")), "the agent's own content is replaced before it"
    s.update("tool_call_update", toolCallId="t", title="x")
    assert s.steps[0].content == (two, screen("abc"))
    printed("d", content=[])
    assert s.steps[0].content == (screen("abcd"),)
    printed("e")
    assert s.steps[0].content == (screen("abcde"),)


def test_a_plan_is_replaced(s: Script) -> None:
    s.update("plan", entries=[{"content": "a"}, "x"])
    assert s.changes == [Change(1, 1)]
    s.say("b")
    s.update("plan", entries=[{"content": "c"}])
    assert s.changes == [Change(1, 1)]
    assert s.steps[0] == Step("s", 1, 1, "plan", 4, 6, at(4), at(6), "completed", entries=({"content": "c"},))


def test_a_permission_and_how_long_it_was_waited_for(s: Script) -> None:
    s.ask(0, {"toolCallId": "t"})
    assert s.changes == [Change(1, 1)]
    options = (PermissionOption("yes", "Yes", "allow_once"), PermissionOption("no", "No", "reject_once"))
    assert s.steps[0].permission == PermissionState("c1/0", options)
    assert s.fold.touched_permissions(1) == s.fold.permissions(1)
    s.say("meanwhile")
    assert s.fold.touched_permissions(1) == ()
    s.note("permission_decision", request_id="c1/0", outcome="selected", option_id="no", decided_by="user", reason="r")
    assert s.changes == [Change(1, 1)]
    (record,) = s.fold.touched_permissions(1)
    assert record.state == PermissionState("c1/0", options, "selected", "no", "user", "r")
    assert (record.turn, record.step, record.asked_seq) == (1, 1, 4)
    assert (record.requested_at, record.decided_at) == (at(4), at(6))
    step = s.steps[0]
    assert (step.permission, step.waited_s, step.failure) == (record.state, 2.0, "rejected")
    assert (step.last_seq, step.ended_at) == (6, at(6))
    assert s.fold.turn(1).waited_s == 2.0
    s.update("tool_call_update", toolCallId="t", status="failed")
    assert s.steps[0].failure == "rejected", "that it failed follows from that"
    s.note("permission_decision", request_id="c1/0", outcome="selected", option_id="yes")
    assert s.changes == [], "it was answered before"
    s.note("permission_decision", outcome="selected")
    assert s.changes == []


def test_a_policy_that_decides_is_no_waiting(s: Script) -> None:
    s.ask(0, {"toolCallId": "t"})
    s.note("permission_decision", request_id="c1/0", outcome="selected", option_id="yes", decided_by="policy:allow_all")
    assert (s.steps[0].waited_s, s.fold.turn(1).waited_s) == (0.0, 0.0)
    s.ask(1, {"toolCallId": "u"})
    s.ask(2, {"toolCallId": "v"})
    s.note("permission_decision", request_id="c1/1", outcome="selected", option_id="yes", decided_by="user")
    s.note("permission_decision", request_id="c1/2", outcome="selected", option_id="yes", decided_by="function:rule")
    assert ([step.waited_s for step in s.steps], s.fold.turn(1).waited_s) == ([0.0, 2.0, 0.0], 2.0)


def test_any_other_outcome_of_a_permission_is_a_cancel(s: Script) -> None:
    s.ask(0, {"toolCallId": "t"})
    s.note("permission_decision", request_id="c1/0", outcome="whatever", decided_by=5)
    permission = s.steps[0].permission
    assert permission is not None
    assert (permission.outcome, permission.decided_by, permission.option_id) == ("cancelled", None, None)
    assert s.steps[0].failure is None


def test_a_permission_without_a_call_has_a_step_of_its_own(s: Script) -> None:
    s.event("in", "session/request_permission", "request", {"id": "x", "params": {"options": [{"name": 1}, 2]}}, 1)
    (step,) = s.steps
    assert (step.tool_call_id, step.kind, step.status) == ('permission c1/"x"', "tool_call", "pending")
    assert step.permission is not None
    assert step.permission.options == (PermissionOption("", "", ""),)
    s.event("in", "session/request_permission", "response", {"id": "y", "params": {}}, 1)
    assert s.changes == [], "no request"
    assert len(s.steps) == 1


def test_a_question_and_its_answer(s: Script) -> None:
    question(s, message="Which?", mode="form", requestedSchema={"type": "object"})
    assert s.changes == [Change(1, 1)]
    asked = {"request_id": "c1/7", "mode": "form", "schema": {"type": "object"}}
    assert s.steps[0] == Step(
        "s", 1, 1, "question", 4, 4, at(4), at(4), "pending", "Which?", raw_input=asked, waited_s=0.0
    )
    question(s, 8, mode="url", url="https://x")
    assert s.steps[1].raw_input == {"request_id": "c1/8", "mode": "url", "url": "https://x"}
    assert s.steps[1].text == ""
    s.note("question_answered", request_id="c1/7", action="accept", content={"a": 1}, answered_by="user", reason="r")
    assert s.changes == [Change(1, 1)]
    step = s.steps[0]
    assert (step.status, step.waited_s, step.last_seq) == ("completed", 2.0, 6)
    assert step.raw_output == {"action": "accept", "content": {"a": 1}, "answered_by": "user", "reason": "r"}
    s.note("question_answered", request_id="c1/7", action="cancel")
    assert (s.steps[0].status, s.steps[0].waited_s) == ("cancelled", 2.0), "it waited once"
    s.note("question_answered", request_id="c1/9", action="accept")
    assert s.changes == []
    s.note("question_answered", request_id=9, action="accept")
    assert s.changes == []
    assert s.fold.turn(1).waited_s == 0.0, "the other one is still open"
    s.end()
    assert (s.steps[1].status, s.steps[1].waited_s) == ("cancelled", 5.0)
    assert s.fold.turn(1).waited_s == 6.0
    s.event("in", "elicitation/create", "response", {"id": 9}, 1)
    assert s.changes == []


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("accept", "completed"),
        ("decline", "completed"),
        ("cancel", "cancelled"),
        ("refused", "failed"),
        (1, "completed"),
    ],
)
def test_what_an_answer_makes_of_a_question(s: Script, action: object, status: str) -> None:
    question(s)
    s.note("question_answered", request_id="c1/7", action=action)
    assert s.steps[0].status == status
    s.end("failed")
    assert s.steps[0].status == status


def test_the_model_of_a_turn_is_the_latest_until_it_ends(s: Script) -> None:
    s.note("agent_started", turn=None, connection="c2", model="one")
    s.note("turn_started", turn=2, prompt=[])
    assert s.fold.turn(2).model == "one"
    s.event("out", "session/set_model", "request", {"id": 1, "params": {"modelId": "two"}}, 2)
    s.event("in", "session/set_model", "response", {"id": 1, "result": {}}, 2)
    assert s.fold.turn(2).model == "two"
    s.update("usage_update", turn=2, used=3, _meta={"_claude/model": "three"})
    assert (s.fold.turn(2).model, s.fold.turn(2).usage.context_used) == ("three", 3)
    s.note("agent_started", turn=1, connection="c3", model="four")
    s.end(turn=1)
    s.note("agent_started", turn=1, connection="c3", model="five")
    assert s.fold.turn(1).model == "four"


def test_a_revision_grows_with_everything_but_text(s: Script) -> None:
    def grows(change: Any) -> bool:
        before = s.fold.revision(1)
        change()
        return s.fold.revision(1) > before

    assert grows(lambda: s.say("x")), "there is a message now"
    assert not grows(lambda: s.say("y"))
    assert grows(lambda: s.update("tool_call", toolCallId="t"))
    assert not grows(lambda: s.update("tool_call_update", toolCallId="t", title="x"))
    assert not grows(lambda: s.update("tool_call", toolCallId="u"))
    assert grows(lambda: s.update("usage_update", used=5))
    assert grows(lambda: s.note("memory_restored", tier="warm"))
    assert grows(lambda: s.answer(result={}))
    assert grows(s.end)


def test_what_a_turn_knows_of_its_tools(s: Script) -> None:
    s.note("agent_started", turn=None, connection="c2", agent_info={"name": "OpenCode", "version": "1"})
    s.answer(result={"usage": {"inputTokens": 6}})
    s.say("x")
    assert s.fold.turn(1).usage.remark is None
    s.update("tool_call", toolCallId="t")
    assert s.fold.turn(1).usage == Usage(
        input_tokens=6, scope="call", quality="partial", remark="the tokens are those of the last model call alone"
    )


@pytest.mark.parametrize("kind", ["question", "subagent"])
def test_a_question_and_a_subagent_take_more_than_one_call_of_the_model(s: Script, kind: str) -> None:
    s.note("agent_started", turn=None, connection="c2", agent_session_id="a", agent_info={"name": "OpenCode"})
    s.answer(result={"usage": {"inputTokens": 6}})
    if kind == "question":
        question(s)
    else:
        s.update("subagent_update", sessionId="child", title="T")
    assert s.steps[-1].kind == kind
    assert s.fold.turn(1).usage.quality == "partial"
    assert s.fold.turn(1).usage.remark == "the tokens are those of the last model call alone"


def test_where_the_files_of_a_turn_are_at_home(s: Script) -> None:
    fold = Fold("s")
    fold.feed(Event("s", 4, 2, T0, "in", "session/update", "plan", {}))
    assert fold.home(2) == ("", "directory")
    assert s.fold.home(1) == ("/w", "directory")
    s.note("session_changed", turn=None, workspace="s3://b/p", attachment="sync")
    s.say("x")
    assert s.fold.home(1) == ("/w", "directory"), "until the turn says so"
    s.end()
    assert s.fold.home(1) == ("s3://b/p", "sync")


def test_a_prompt_that_carried_a_history_did_so(s: Script) -> None:
    assert s.fold.handed_over(1) is False
    s.note("memory_restored", tier="resumed", handed_over=True)
    s.note("memory_restored", tier="warm", handed_over=False)
    assert s.fold.handed_over(1) is True


def test_a_fold_keeps_turns_apart_and_forgets_them(s: Script) -> None:
    s.note("turn_started", turn=3, prompt=[])
    s.note("turn_started", turn=2, prompt=[])
    s.ask(0, {"toolCallId": "t"})
    assert s.fold.turns == (1, 2, 3)
    assert [(step.turn, step.index) for step in s.fold.steps] == [(1, 0), (1, 1), (2, 0), (3, 0)]
    assert s.fold.step(1, 1) == s.fold.pending[0]
    assert [(step.turn, step.index) for step in s.fold.steps_of(1)] == [(1, 0), (1, 1)]
    assert s.fold.steps_of(9) == ()
    s.fold.forget(1)
    s.fold.forget(9)
    assert s.fold.turns == (2, 3)
    assert s.fold.pending == ()
    with pytest.raises(KeyError):
        s.fold.turn(1)


def test_an_event_that_is_passed_by_counts_for_the_session_alone(s: Script) -> None:
    fold = s.fold
    for seq, (kind, direction, payload) in enumerate(
        [
            ("session_changed", "note", {"title": None}),
            ("session_info_update", "in", {"params": {"update": {"title": "agent's"}}}),
            ("usage_update", "in", {"params": {"update": {"cost": {"amount": 3, "currency": "EUR"}}}}),
            ("config_option_update", "in", {"params": {"update": {"configOptions": []}}}),
        ],
        50,
    ):
        fold.pass_by(Event("s", seq, 8, at(seq), direction, None, kind, payload))  # type: ignore[arg-type]
    session = fold.session()
    assert session is not None
    assert (session.title, session.title_by_agent, session.updated_at) == ("agent's", True, at(53))
    assert fold.state.totals == {"EUR": Decimal(3)}
    assert fold.state.session == session
    assert fold.state.outside == ()
    assert fold.turns == (1,)


def test_a_fold_begins_with_what_it_is_given(s: Script) -> None:
    again = Fold("s", s.fold.state)
    assert again.state == s.fold.state
    assert again.session() == s.fold.session()
    assert Fold("s").state == FoldState()
    assert again.feed(Event("s", 9, 5, at(9), "note", None, "turn_started", {"prompt": []})) == [Change(5, 0)]
    assert again.turn(5).harness == "demo"
