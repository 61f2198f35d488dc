"""The end of a turn: what it closes, how it is named, and what it cost."""

from __future__ import annotations

from typing import Any

import pytest

from session_widgets.transcript.records import (
    FileChange,
)
from session_widgets.transcript.steps import Change
from session_widgets.transcript.turn import REACHES, SILENT
from tests.transcript.script import T0, Script, at


def test_the_answer_to_the_prompt(s: Script) -> None:
    s.answer(result={"stopReason": "refusal", "usage": {"inputTokens": 5}})
    turn = s.fold.turn(1)
    assert (turn.stop_reason, turn.usage.input_tokens, turn.usage.scope) == ("refusal", 5, "turn")
    s.answer(result={})
    assert s.fold.turn(1).stop_reason == "refusal"
    s.event("in", "session/prompt", "request", {"result": {"stopReason": "x"}}, 1)
    s.event("in", "session/load", "response", {"result": {"stopReason": "x"}}, 1)
    s.event("in", "session/load", "error", {"error": {"message": "x"}}, 1)
    assert (s.fold.turn(1).stop_reason, s.steps) == ("refusal", [])
    s.note("agent_started", turn=None, connection="c2", agent_info={"name": "OpenCode", "version": "1"})
    s.answer(result={"usage": {"inputTokens": 6}})
    assert s.fold.turn(1).usage.scope == "call", "by the agent's name"
    s.answer("error", error={"message": "oh"})
    assert s.fold.turn(1).error == "oh"
    assert [(step.kind, step.text) for step in s.steps] == [("error", "oh")]
    s.end("failed", error="later", stop_reason=None)
    assert (s.fold.turn(1).error, s.fold.turn(1).stop_reason) == ("later", "refusal")
    assert len(s.steps) == 1, "an error was shown"


def test_what_went_wrong_is_said(s: Script) -> None:
    def told(method: str, **params: Any) -> None:
        s.event("in", method, "notification", {"params": params}, 1)

    told("_adapter/agent_exited")
    told("_adapter/agent_exited", signal=9, code=1, stderr=" boom ")
    told("_adapter/agent_exited", code=0)
    told("_adapter/invalid_stdout", raw="x")
    told("_adapter/answered", raw="x")
    s.note("no_such_note", what="x")
    assert [(step.kind, step.text) for step in s.steps] == [
        ("error", "The agent exited."),
        ("error", "The agent exited by signal 9.\nboom"),
        ("error", "The agent exited with code 0."),
        ("notice", "The agent printed something that is no message.\nx"),
    ]
    assert {step.status for step in s.steps} == {"completed"}
    assert s.fold.turn(1).error is None


def test_the_end_of_a_turn(s: Script) -> None:
    s.say("text")
    files = [
        {"path": "a", "change": "created", "size": 3},
        {"path": "b", "change": "deleted", "size": None},
        {"path": 5, "change": "whatever", "size": "x"},
        "no file",
    ]
    s.note("memory_restored", tier="warm")
    s.note("persist_started")
    s.end(
        stop_reason="end_turn",
        files=files,
        durable_at="2026-11-21T09:00:00+00:00",
        durability_error="why",
    )
    turn = s.fold.turn(1)
    assert (turn.status, turn.ended_at, turn.saving, turn.tier) == ("completed", at(7), False, "warm")
    assert (turn.stop_reason, turn.error, turn.failure) == ("end_turn", None, None)
    assert turn.files == (FileChange("a", "created", 3), FileChange("b", "deleted"), FileChange("", "modified"))
    assert (turn.durable_at, turn.durability_error, turn.text) == (T0, "why", "text")
    assert s.fold.turn(1, text=False).text == ""
    s.note("memory_restored", tier=5)
    assert s.fold.turn(1).tier is None


@pytest.mark.parametrize(
    ("said", "status"),
    [("completed", "completed"), ("cancelled", "cancelled"), ("failed", "failed"), ("x", "failed"), (None, "failed")],
)
def test_how_a_turn_can_end(s: Script, said: Any, status: str) -> None:
    s.say("x")
    s.end(said)
    assert s.fold.turn(1).status == status
    assert [step.kind for step in s.steps] == ["message"]


def test_what_is_open_at_the_end_says_why_it_ended(s: Script) -> None:
    s.update("tool_call", toolCallId="rejected")
    s.ask(0, {"toolCallId": "rejected"})
    s.note("permission_decision", request_id="c1/0", outcome="selected", option_id="no")
    s.update("tool_call", toolCallId="open")
    s.ask(1, {"toolCallId": "asked"})
    s.update("tool_call", toolCallId="done", status="completed")
    s.end("failed", error="x")
    rejected, opened, asked, done, error = s.steps
    assert [(step.status, step.failure) for step in (rejected, opened, asked, done)] == [
        ("failed", "rejected"),
        ("failed", "interrupted"),
        ("failed", "interrupted"),
        ("completed", None),
    ]
    assert (error.kind, error.text) == ("error", "x")
    assert s.changes == [Change(1, 3), Change(1, 1), Change(1, 2), Change(1, 5)]
    assert asked.permission is not None
    assert (asked.permission.outcome, asked.permission.reason) == ("cancelled", "the turn ended")
    assert asked.waited_s == 2.0
    assert s.fold.permissions(1)[1].decided_at == at(10)


def test_a_cancelled_turn_interrupts_nothing_by_itself(s: Script) -> None:
    s.update("tool_call", toolCallId="open")
    s.end("cancelled")
    assert (s.steps[0].status, s.steps[0].failure) == ("cancelled", None)


def test_a_call_reported_after_the_end_is_unfinished(s: Script) -> None:
    s.say("x")
    s.end()
    s.update("tool_call", toolCallId="late")
    assert s.steps[1].status == "unfinished"
    s.update("tool_call_update", toolCallId="late", status="in_progress")
    assert s.steps[1].status == "unfinished"
    s.update("tool_call_update", toolCallId="late", status="failed")
    assert (s.steps[1].status, s.steps[1].failure) == ("failed", "error")


@pytest.mark.parametrize("kind", ["agent_message_chunk", "agent_thought_chunk", "plan", "tool_call"])
def test_a_turn_with_any_word_is_not_silent(s: Script, kind: str) -> None:
    s.update(kind, content={"type": "text", "text": "x"}, toolCallId="t", entries=[])
    s.end()
    assert s.fold.turn(1).failure is None
    assert len(s.steps) == 1


def test_what_a_restricted_sandbox_reaches_is_said_and_is_no_answer(s: Script) -> None:
    s.note("sandbox_started", ref="docker:1", launch="a", model_hosts=["api.example.com", "b:8080"])
    s.note("sandbox_started", ref="docker:1", launch="a")
    s.end()
    assert [(step.kind, step.text) for step in s.steps] == [
        ("notice", REACHES + "api.example.com, b:8080"),
        ("notice", SILENT),
    ]
    assert s.fold.turn(1).failure == "no_answer"


def test_a_silent_turn_and_a_failed_model(s: Script) -> None:
    def thread(status: str) -> None:
        s.update("session_info_update", _meta={"codex": {"threadStatus": {"type": status}}})

    s.end()
    assert (s.fold.turn(1).failure, s.steps[0].text, s.steps[0].kind) == ("no_answer", SILENT, "notice")
    s.note("turn_started", turn=2, prompt=[])
    s.update("session_info_update", turn=2, _meta={"codex": {"threadStatus": {"type": "systemError"}}})
    s.end(turn=2)
    assert s.fold.turn(2).failure == "model_error", "and that is why it is silent"
    assert s.fold.step(2, 1).text == SILENT
    s.note("turn_started", turn=3, prompt=[])
    s.update("session_info_update", turn=3, _meta={"codex": {"threadStatus": {"type": "systemError"}}})
    s.end("failed", turn=3)
    assert s.fold.turn(3).failure is None
    s.note("turn_started", turn=4, prompt=[])
    s.update("session_info_update", turn=4, _meta={"codex": {"threadStatus": {"type": "systemError"}}})
    s.update("session_info_update", turn=4, title="says nothing of it")
    s.update("agent_message_chunk", turn=4, content={"type": "text", "text": "x"})
    s.end(turn=4)
    assert s.fold.turn(4).failure == "model_error"
