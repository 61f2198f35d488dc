"""Differences between agents, on traffic of the real programs: folded, and replayed in sessions.

The rest of `docs/harnesses.md`, "Differences between harnesses", is held by `tests/real` and
`tests/transcript/test_fold.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import session_widgets as sw
from session_widgets.transcript.fold import Fold
from tests.support.acp_captures import events as recorded
from tests.support.acp_captures import scenarios
from tests.support.paths import shared

PLAYER = Path(__file__).with_name("replayed_agent.py")


def captured(name: str, scenario: str) -> list[dict[str, Any]]:
    return scenarios(shared(f"contracts/acp-captures/{name}.ndjson"))[scenario]


def folded(name: str, scenario: str) -> Fold:
    fold = Fold("capture")
    for event in recorded(captured(name, scenario)):
        fold.feed(event)
    return fold


def tools(fold: Fold) -> list[Any]:
    return [step for step in fold.steps if step.kind == "tool_call"]


def printed(step: Any) -> str:
    return "".join(block["content"]["text"] for block in step.content if block["type"] == "content")


def test_a_rejected_command_that_is_never_announced_is_shown_with_its_question():
    (tool,) = tools(folded("codex", "reject"))
    assert (tool.title, tool.tool_kind, tool.status) == ("echo no > no.txt", "execute", "cancelled")
    assert (tool.permission.outcome, tool.permission.option_id) == ("selected", "abort")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("claude", "cancelled"),
        ("codex", "cancelled"),
        ("codex-next", "cancelled"),
        ("claude-next", "failed"),
        ("pi", "failed"),
        ("opencode", "failed"),
    ],
)
def test_no_call_of_a_cancelled_turn_stays_open_or_counts_as_completed(name, status):
    assert [tool.status for tool in tools(folded(name, "cancel"))] == [status]


@pytest.mark.parametrize("name", ["claude", "claude-next", "opencode", "codex", "codex-next", "pi"])
def test_a_call_that_a_replay_leaves_open_is_the_failed_one_of_the_turn_that_was_cut_off(name):
    fold = folded(name, "crash")
    cut_off, after = fold.turns[-2:]
    assert [tool.status for tool in tools(fold) if tool.turn == cut_off] == ["failed"]
    assert [tool for tool in tools(fold) if tool.turn == after] == []


@pytest.mark.parametrize("name", ["claude", "codex", "codex-next", "opencode", "pi"])
def test_a_command_that_ends_badly_is_a_failed_call(name):
    assert [tool.status for tool in tools(folded(name, "rich")) if "exit 3" in str(tool.raw_input)] == ["failed"]


def test_an_error_of_the_model_that_comes_as_a_message_is_the_turns_words():
    turn = folded("codex-next", "error").turn(1)
    assert (turn.status, turn.stop_reason) == ("completed", "end_turn")
    assert "scripted bad request" in turn.text


def test_what_a_command_prints_into_a_terminal_is_read_though_no_terminal_was_offered():
    (tool,) = [tool for tool in tools(folded("codex-next", "rich")) if "exit 3" in tool.title]
    assert [block["type"] for block in tool.content] == ["terminal", "content"]
    assert printed(tool) == "one\nthree\noops\n"


def test_pieces_of_output_grow_one_block():
    lines = captured("codex-next", "rich")
    at, last = next((at, line) for at, line in enumerate(lines) if "'data': 'one" in str(line))
    update = last["msg"]["params"]["update"]

    def piece(text: str, **fields: Any) -> dict[str, Any]:
        said = {**update, "status": "in_progress", "_meta": {"terminal_output_delta": {"data": text}}, **fields}
        return {**last, "msg": {**last["msg"], "params": {"update": said}}}

    lines[at:at] = [piece("a\n"), piece("b\n"), piece("", content=[{"type": "terminal"}]), piece("c\n")]
    whole, watched = Fold("capture"), Fold("capture")
    for event in recorded(lines):
        whole.feed(event)
        watched.feed(event)
        assert watched.steps is not None, "looked at after each event"
    assert watched.steps == whole.steps
    (tool,) = [tool for tool in tools(whole) if "exit 3" in tool.title]
    assert printed(tool) == "a\nb\nc\none\nthree\noops\n"
    assert [block["type"] for block in tool.content] == ["terminal", "content"]


def test_updates_without_status_and_arguments_piece_by_piece_make_one_call():
    (claude,) = tools(folded("claude", "basic"))
    assert (claude.status, claude.raw_input["content"]) == ("completed", "banana42")
    pi = next(tool for tool in tools(folded("pi", "basic")) if tool.turn == 1)
    assert (pi.status, pi.raw_input) == ("completed", {"path": "/workspace/marker.txt", "content": "banana42"})


# Whole sessions with recorded agents, also those that are not installed


def allow_once(request):
    return request.of_kind("allow_once").id


@pytest.fixture
def play(home, tmp_path):
    """`play("codex")` opens a session with the recorded program, and returns it and the lines of each process."""
    opened = []

    def play(name):
        file = shared(f"contracts/acp-captures/{name}.ndjson")
        command = [sys.executable, str(PLAYER), str(file), "basic", str(tmp_path / "started")]
        session = sw.open_session("s1", harness=sw.Harness(command=command, id=name), permissions=allow_once)
        opened.append(session)
        processes: dict[str, list[dict[str, Any]]] = {}
        for line in captured(name, "basic"):
            processes.setdefault(line["phase"], []).append(line["msg"])
        return session, list(processes.values())

    yield play
    for session in opened:
        session.delete()
    sw.store().close()


def prompt_of(process):
    return next(message["params"]["prompt"] for message in process if message.get("method") == "session/prompt")


def said_in(messages):
    """What came as words behind the prompt."""
    at = next(at for at, message in enumerate(messages) if message.get("method") == "session/prompt")
    updates = [m["params"]["update"] for m in messages[at:] if m.get("method") == "session/update"]
    return "".join(u["content"]["text"] for u in updates if u["sessionUpdate"] == "agent_message_chunk")


def words(turn):
    return "".join(step.text for step in turn.steps if step.kind == "message")


LOADING = ["claude", "claude-next", "codex", "codex-next", "copilot", "opencode", "pi", "pi-next", "qwen"]


@pytest.mark.parametrize("name", LOADING)
def test_a_recorded_agent_is_understood_asked_and_loaded_again(name, play):
    session, (first, second, *_) = play(name)
    turn = session.send(prompt_of(first))
    assert (turn.status, turn.stop_reason, turn.error) == ("completed", "end_turn", None)
    assert words(turn) == said_in(first)
    assert {step.status for step in turn.steps if step.kind == "tool_call"} == {"completed"}
    session.park()
    turn = session.send(prompt_of(second))
    assert (turn.status, turn.tier, words(turn)) == ("completed", "load", said_in(second)), turn.error
    assert [step.kind for step in turn.steps] == ["user", "message"], "what was replayed is no part of it"


@pytest.mark.parametrize("name", ["codex", "gemini", "claude"])
def test_a_request_is_answered_by_kind_under_its_own_id(name, play):
    """Before the call, without one, or behind it; ids are UUIDs or count from 0."""
    session, (first, *_) = play(name)
    (asked,) = [message for message in first if message.get("method") == "session/request_permission"]
    wanted = next(o["optionId"] for o in asked["params"]["options"] if o["kind"] == "allow_once")
    turn = session.send(prompt_of(first))
    assert (turn.status, turn.error) == ("completed", None)
    (tool,) = [step for step in turn.steps if step.kind == "tool_call"]
    assert (tool.status, tool.permission.outcome, tool.permission.option_id) == ("completed", "selected", wanted)
    (answer,) = [e.payload for e in session.events() if e.direction == "out" and e.kind == "response"]
    assert answer["id"] == asked["id"]
    assert type(answer["id"]) is type(asked["id"])


def test_a_file_that_the_agent_wants_written_by_the_client_is_not_written(play):
    session, (first, *_) = play("opencode")
    (asked,) = [message for message in first if message.get("method") == "fs/write_text_file"]
    assert session.send(prompt_of(first)).status == "completed"
    (answer,) = [e.payload for e in session.events() if e.direction == "out" and e.kind == "error"]
    assert (answer["id"], answer["error"]["code"]) == (asked["id"], -32601)
    assert not Path(asked["params"]["path"]).exists()
    assert not (session.workspace / "marker.txt").exists()
