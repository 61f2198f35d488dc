"""The real Claude Code, Codex, OpenCode and Pi in sessions on this machine; the model alone is scripted."""

from __future__ import annotations

import json

import pytest

from tests.support.kernels import runner_pid
from tests.support.model.serving import script
from tests.support.real_harnesses import ASKING, NAMES, alive, begin_command, below
from tests.support.waiting import until

COUNTED = {
    "claude": ("placeholder", None),
    "codex": ("none", None),
    "opencode": ("partial", "call"),
    "pi": ("none", None),
}
"""Quality and scope of the tokens of a turn with a tool call."""

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]

each = pytest.mark.parametrize("name", NAMES)


@each
def test_a_turn_tells_what_was_written_asked_and_used(name, start):
    session = start(name)
    turn = session.send(script({"text": "I write", "write": ["a.txt", "hello"]}, {"text": "written"}))
    assert (turn.status, turn.stop_reason, turn.error) == ("completed", "end_turn", None)
    assert (turn.tier, turn.text) == ("fresh", "I write\n\nwritten")
    assert (session.workspace / "a.txt").read_text() == "hello"
    assert [(file.path, file.change) for file in turn.files] == [("a.txt", "created")]
    (tool,) = [step for step in turn.steps if step.kind == "tool_call"]
    assert tool.status == "completed"
    asked = tool.permission and (tool.permission.outcome, tool.permission.decided_by)
    assert asked == (("selected", "function:allow_once") if name in ASKING else None)
    usage = turn.usage
    assert (usage.quality, usage.scope) == COUNTED[name], "the scripted model tells Claude no tokens, which it calls 0"
    assert (usage.input_tokens is None) == (usage.scope is None)
    assert usage.remark
    ((harness, model, waited, ran),) = session.store.sql(
        "select harness, model, waited_s, run_s from v_turns"
    ).fetchall()
    assert (harness, bool(model)) == (name, True)
    assert waited == 0 or name in ASKING
    assert ran > 0


@each
def test_cancelling_closes_what_was_open_and_the_next_prompt_gets_its_own_answer(name, start, home):
    session = start(name)
    turn = begin_command(session)
    running = until(lambda: [p for p in below(runner_pid(session)) if p.name() == "sleep"], what="the command")
    assert session.cancel()
    assert (turn.status, turn.stop_reason) == ("cancelled", "cancelled")
    (tool,) = [step for step in turn.steps if step.kind == "tool_call"]
    assert tool.status in {"cancelled", "failed"}
    until(lambda: not alive(running), what="the end of the command")
    for words in ("the next", "the one after"):
        turn = session.send(script({"text": words}))
        assert (turn.status, turn.text) == ("completed", words)
        assert not [step for step in turn.steps if step.kind == "error"]


@pytest.mark.parametrize("name", ASKING)
def test_what_is_rejected_does_not_happen(name, start):
    """Claude continues with the model, OpenCode ends the turn, Codex cancels it: the turn reports each."""
    session = start(name, permissions="deny")
    turn = session.send(script({"text": "I try", "run": "touch denied"}, {"text": "so be it"}))
    assert not (session.workspace / "denied").exists()
    assert turn.status == ("cancelled" if name == "codex" else "completed")
    (tool,) = [step for step in turn.steps if step.kind == "tool_call"]
    assert tool.status in {"failed", "cancelled"}
    assert tool.permission.decided_by == "policy:deny"
    turn = session.send(script({"text": "and on"}))
    assert (turn.status, turn.text) == ("completed", "and on")


def test_two_sessions_of_one_harness_do_not_mix(start):
    first, second = start("codex", "first"), start("codex", "second")
    turns = [
        session.start(script({"text": f"{session.id} writes", "write": ["mine.txt", session.id]}, {"recall": True},
                             note=f"TOKEN-{session.id}"))
        for session in (first, second)
    ]  # fmt: skip
    for session, turn in zip((first, second), turns, strict=True):
        turn.wait(30)
        assert turn.text == f"{session.id} writes\n\nI know TOKEN-{session.id}"
        assert (session.workspace / "mine.txt").read_text() == session.id


@each
def test_no_secret_of_the_notebook_gets_where_it_does_not_belong(name, start, monkeypatch):
    """Not into a harness that does not need it; and its key not into the workspace, which may be in a bucket."""
    monkeypatch.setenv("SOME_SECRET", "do-not-leak")
    for key in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(key, "sk-this-is-a-secret-key-of-a-user-000000")
    session = start(name)
    turn = session.send(script({"text": "looking", "run": "env | grep -v KEY > seen.txt"}, {"text": "seen"}))
    assert (turn.status, turn.text) == ("completed", "looking\n\nseen")
    assert "PATH=" in (session.workspace / "seen.txt").read_text()
    for process in below(runner_pid(session)):
        assert "do-not-leak" not in process.environ().values()
        assert "secret-key" not in " ".join(process.cmdline())
    assert not any("secret-key" in json.dumps(event.payload) for event in session.events())
    files = [path for path in session.workspace.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if b"secret-key" in path.read_bytes() or b"do-not-leak" in path.read_bytes()] == []
