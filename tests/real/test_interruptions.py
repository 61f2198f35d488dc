"""An answer that breaks off, and stopping at moments when nothing has come yet, with the real harnesses."""

from __future__ import annotations

import os
import signal
from itertools import takewhile

import pytest

from tests.support.kernels import runner_pid
from tests.support.model.serving import script
from tests.support.real_harnesses import ASKING, NAMES, alive, begin_command, below
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]


def tools(turn):
    return [step for step in turn.steps if step.kind == "tool_call"]


@pytest.mark.parametrize(
    ("name", "error"),
    [("claude", "terminated"), ("codex", "stream disconnected"), ("opencode", None), ("pi", None)],
)
def test_an_answer_that_breaks_off_is_an_error_or_comes_whole_in_the_end(name, error, start):
    """OpenCode asks again, six times with growing pauses; Pi says nothing of it."""
    session = start(name)
    answer = f"this is the beginning of an answer of {name} that never gets to its end"
    turn = session.send(script({"text": answer, "cut": 1 if name == "opencode" else 99}))
    assert turn.text.startswith("this is the") or name == "codex", "which keeps it to itself"
    if name == "opencode":
        assert (turn.status, turn.text.endswith(answer)) == ("completed", True)
    elif name == "pi":
        assert (turn.status, turn.stop_reason, answer.startswith(turn.text)) == ("completed", "end_turn", True)
    else:
        assert turn.status == "failed"
        assert error in turn.error
        assert error in next(step.text for step in turn.steps if step.kind == "error")
    turn = session.send(script({"text": "all is well again"}))
    assert (turn.status, turn.error, turn.text) == ("completed", None, "all is well again")


@pytest.mark.parametrize("name", NAMES)
def test_cancelling_before_the_model_has_said_a_word(name, start, model):
    session = start(name)
    asked = len(model.received)
    turn = session.start(script({"sleep": 100_000, "text": "too late"}))
    until(lambda: len(model.received) > asked or turn.ended, seconds=40, what="the question to the model")
    assert session.cancel()
    assert (turn.status, turn.stop_reason, turn.error, turn.text) == ("cancelled", "cancelled", None, "")
    turn = session.send(script({"text": "the next"}))
    assert (turn.status, turn.text) == ("completed", "the next")


@pytest.mark.parametrize("name", ASKING)
def test_cancelling_while_a_question_is_open_answers_it_and_nothing_is_done(name, start):
    session = start(name, permissions="ask")
    turn = session.start(script({"text": "I try", "run": "touch done"}, {"text": "it ran"}))
    until(lambda: session.pending or turn.ended, seconds=40, what="a question")
    assert session.cancel()
    assert (turn.status, session.pending) == ("cancelled", ())
    (tool,) = tools(turn)
    assert tool.status in {"cancelled", "failed"}
    assert (tool.permission.outcome, tool.permission.reason) == ("cancelled", "the turn was cancelled")
    turn = session.send(script({"text": "the next"}))
    assert (turn.status, turn.text) == ("completed", "the next")
    assert not (session.workspace / "done").exists()


def test_a_question_that_comes_before_its_call_can_be_seen_and_answered(start):
    session = start("codex", permissions="ask")
    turn = session.start(script({"text": "I try", "run": "touch done"}, {"text": "it ran"}))
    (request,) = until(lambda: session.pending or turn.ended, seconds=40, what="a question")
    kinds = [
        event.kind for event in session.events() if event.method in {"session/update", "session/request_permission"}
    ]
    assert "tool_call" not in kinds
    (tool,) = tools(turn)
    assert (tool.status, tool.permission.outcome, request.title) == ("pending", None, tool.title)
    assert "touch done" in request.title
    request.allow()
    assert turn.wait(40).text == "I try\n\nit ran"
    (tool,) = tools(turn)
    assert (tool.status, tool.permission.outcome) == ("completed", "selected")
    assert (session.workspace / "done").exists()


@pytest.mark.parametrize("name", ["claude", "pi"])
def test_what_an_adapter_that_was_killed_leaves_running_is_ended(name, start):
    """The program itself is a child of the adapter, and would go on."""
    session = start(name)
    turn = begin_command(session)
    adapter = next(process for process in below(runner_pid(session)) if "acp" in " ".join(process.cmdline()))
    left = adapter.children(recursive=True)
    assert len(left) > 1, "the program itself, and its command"
    os.kill(adapter.pid, signal.SIGKILL)
    assert turn.wait(30).status == "failed"
    assert "ended by signal 9" in turn.error
    until(lambda: not alive(left), what="the end of what it left")
    assert session.send(script({"text": "the next"})).text == "the next"


def test_an_unsaved_interrupted_prompt_is_sent_as_history(start):
    session = start("claude")
    session.send(script({"text": "first"}, note="TOKEN-first"))
    cut = begin_command(session, note="TOKEN-cut")
    os.kill(runner_pid(session), signal.SIGKILL)
    assert cut.wait(30).status == "failed"
    (record,) = (session.workspace / ".harness/claude/projects").rglob("*.jsonl")
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(takewhile(lambda line: "TOKEN-cut" not in line, lines)))
    turn = session.send(script({"recall": True}))
    assert (turn.status, turn.tier) == ("completed", "load"), turn.error
    assert sorted(turn.text.split()) == ["I", "TOKEN-cut", "TOKEN-first", "know"]
    assert [told["ended"] for told in turn.handed_over["turns"]] == ["failed"]
