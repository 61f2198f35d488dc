"""Failures between a real harness and its model, or inside it: the turn reports each."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from session_widgets._harnesses import catalog
from session_widgets._harnesses.installing import FOLDER, Installation
from tests.support.kernels import runner_pid
from tests.support.model.serving import script
from tests.support.real_harnesses import NAMES, begin_command, below

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]

BAD = {"error": "this makes no sense", "status": 400, "type": "invalid_request_error"}
REFUSED = {"error": "that key is not known", "status": 401, "type": "authentication_error"}
BUSY = {"error": "slow down", "status": 429, "type": "rate_limit_error"}
BROKEN = {"error": "it fell over", "status": 500}
LONG = {"error": "prompt is too long: 300000 tokens > 200000 maximum", "status": 400, "type": "invalid_request_error"}
LONG["code"] = "context_length_exceeded"

OUTCOMES = {
    "claude": {"401": "auth_failed", "too long": "token_limit", "slow down": "rate_limited"},
    "codex": {"401": "auth_failed", "too long": "token_limit", "429": "rate_limited"},
    "opencode": {},
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "claude",
            [(BAD, "no sense"), (REFUSED, "401"), (LONG, "too long"), (BROKEN, "fell over"), (BUSY, "slow down")],
        ),
        ("codex", [(BAD, "no sense"), (REFUSED, "401"), (LONG, "too long"), (BUSY, "429")]),
        ("opencode", [(BAD, "no sense"), (REFUSED, "not known")]),  # what is too long it makes shorter, and goes on
    ],
    ids=["claude", "codex", "opencode"],
)
def test_an_error_of_the_model_is_the_turns_error(name, said, start, monkeypatch):
    monkeypatch.setenv("CLAUDE_CODE_MAX_RETRIES", "0")
    session = start(name)
    for answer, words in said:
        turn = session.send(script(answer))
        assert turn.status == "failed", turn
        assert words in turn.error
        assert turn.outcome == OUTCOMES[name].get(words, "failed"), turn.error
        assert words in next(step.text for step in turn.steps if step.kind == "error")
    turn = session.send(script({"text": "all is well again"}))
    assert (turn.status, turn.error, turn.text) == ("completed", None, "all is well again")


def test_pi_is_silent_about_errors_and_the_turn_says_so(start):
    session = start("pi")
    for answer in (BAD, REFUSED, BROKEN):
        turn = session.send(script(answer))
        assert (turn.status, turn.stop_reason, turn.text) == ("completed", "end_turn", "")
        assert turn.outcome == "no_answer"
        assert [step.kind for step in turn.steps] == ["user", "notice"]
        assert "fails or refuses" in turn.steps[-1].text
    assert session.send(script({"text": "all is well again"})).text == "all is well again"


@pytest.mark.parametrize(
    ("name", "finish", "stop_reason"),
    [("claude", "refusal", None), ("codex", "content_filter", "end_turn"), ("opencode", "content_filter", "refusal"),
     ("pi", "content_filter", "end_turn")],
)  # fmt: skip
def test_a_refusal_of_the_model_is_an_error_its_stop_reason_or_its_words(name, finish, stop_reason, start):
    session = start(name)
    turn = session.send(script({"text": "I must not", "finish": finish}))
    assert (turn.status, turn.stop_reason) == ("completed" if stop_reason else "failed", stop_reason)
    assert turn.text == "I must not"
    assert turn.outcome == ("completed" if stop_reason == "end_turn" else "refused"), "two tell it in words alone"
    assert name != "claude" or "unable to respond to this request" in turn.error
    assert session.send(script({"text": "but this"})).text == "but this"


def test_a_key_that_is_missing_is_named_and_setting_it_is_enough(start, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    session = start("codex")
    turn = session.send("hello")
    assert turn.status == "failed"
    assert turn.error.splitlines() == [turn.error]
    assert "os.environ['OPENAI_API_KEY']" in turn.error
    monkeypatch.setenv("OPENAI_API_KEY", "sk-dummy")
    assert session.send(script({"text": "hello"})).text == "hello"


def test_a_missing_program_is_reported_with_the_remedy(start, monkeypatch, tmp_path):
    """Its folder was removed; and its program within a folder that is still there."""
    session = start("codex")
    monkeypatch.setenv(FOLDER, str(tmp_path / "none"))
    turn = session.send("hello")
    assert "install_harness('codex')" in turn.error
    found = Installation(catalog.get("codex"), tmp_path)
    (found.path / "node_modules").mkdir(parents=True)
    turn = session.send("hello")
    assert turn.status == "failed"
    assert "codex-acp" in turn.error
    monkeypatch.delenv(FOLDER)


@pytest.mark.parametrize("name", NAMES)
def test_state_that_was_lost_is_replayed_and_said(name, start, model):
    session = start(name)
    session.send(script({"text": "hi"}, note="TOKEN-kept"))
    session.park()
    shutil.rmtree(session.workspace / ".harness")
    turn = session.send(script({"recall": True}))
    assert (turn.tier, turn.text) == ("replay", "I know TOKEN-kept")
    assert [step.text for step in turn.steps if step.kind == "user"] == [script({"recall": True})]
    assert "session-widgets:history" in model.heard


def test_a_harness_that_crashes_in_a_tool_call(start):
    session = start("codex")
    session.send(script({"text": "hi"}, note="TOKEN-before"))
    turn = begin_command(session)
    harness = next(p for p in below(runner_pid(session)) if "codex-acp" in p.name())
    os.kill(harness.pid, signal.SIGKILL)
    assert turn.wait(30).status == "failed"
    assert "ended by signal 9" in turn.error
    assert [step.status for step in turn.steps if step.kind == "tool_call"] == ["failed"]
    turn = session.send(script({"recall": True}))
    assert (turn.tier, turn.text) == ("load", "I know TOKEN-before")


def test_a_home_that_cannot_be_written_does_no_harm(start, monkeypatch, tmp_path):
    nowhere = tmp_path / "file"
    nowhere.write_text("no directory can be made here")
    monkeypatch.setenv("HOME", str(nowhere))
    for name in ("claude", "codex"):
        turn = start(name, id=name).send(script({"text": "I write", "write": ["a.txt", "x"]}, {"text": "done"}))
        assert (turn.status, turn.text) == ("completed", "I write\n\ndone")


def test_a_large_prompt_arrives_whole(start, model):
    turn = start("codex").send(script({"recall": True}, note="TOKEN-start " + "x" * 1_000_000 + " TOKEN-end"))
    assert turn.text == "I know TOKEN-start TOKEN-end"
