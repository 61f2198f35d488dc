"""Functions of the notebook as tools of the agent, by the demo harness."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import psutil
import pytest

import session_widgets as sw
from session_widgets._harnesses.harness import Harness
from session_widgets._sessions.loop import private_loop
from session_widgets.errors import SandboxError
from tests.sessions.calling import SECRET, add, answers, echo_server, notes
from tests.support.model.serving import script
from tests.support.sandbox_agent import server as real
from tests.support.waiting import until

# Calls


def test_an_agent_calls_functions_and_every_call_is_recorded(open_session):
    session = open_session(tools=[add])

    @session.tool
    async def later(words: str) -> str:
        await asyncio.sleep(0)
        return words.upper()

    turn = session.send('tool add {"a": 40}\ntool later {"words": "été"}')
    assert answers(turn) == [("completed", "42"), ("completed", "ÉTÉ")]
    first, second = notes(session)
    assert (first.turn, second.turn) == (1, 1)
    assert first.payload["seconds"] >= 0
    assert {**first.payload, "seconds": 0} == {
        "name": "add",
        "arguments": {"a": 40},
        "ok": True,
        "seconds": 0,
        "error": None,
    }


WRONG = {
    '{"a": "no number"}': "a: Input should be a valid integer",
    "{}": "a: Field required",
    '{"a": 1, "self": 2}': "takes no argument 'self'",
    '{"a": 1, "__class__": "x"}': "takes no argument '__class__'",
    '{"a": {"$ref": "#/"}}': "a: Input should be a valid integer",
    '{"a": ' + "[" * 200 + "]" * 200 + "}": "a: Input should be a valid integer",
}


def test_wrong_arguments_are_refused_in_words(open_session):
    session = open_session(tools=[add])
    turn = session.send("\n".join(f"tool add {arguments}" for arguments in WRONG))
    refused = answers(turn)
    assert [status for status, _ in refused] == ["failed"] * len(WRONG)
    assert [said for said, (_, text) in zip(WRONG.values(), refused, strict=True) if said not in text] == []
    assert [note.payload["ok"] for note in notes(session)] == [False] * len(WRONG)


def test_an_exception_is_the_answer_and_not_the_end(open_session):
    def broken(words: str) -> str:
        raise LookupError(f"no {words}")

    session = open_session(tools=[broken, add])
    turn = session.send('tool broken {"words": "way"}\ntool add {"a": 1}')
    assert answers(turn) == [("failed", "LookupError: no way"), ("completed", "3")]
    assert turn.status == "completed"
    assert notes(session)[0].payload["error"] == "LookupError: no way"


def test_a_call_takes_no_longer_than_its_timeout(open_session):
    session = open_session()
    cancelled = threading.Event()

    @session.tool(timeout=0.3)
    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            cancelled.set()

    assert answers(session.send("tool slow")) == [("failed", "TimeoutError: slow took longer than 0.3 s")]
    assert cancelled.wait(5)


def test_cancelling_the_turn_gives_the_call_up(open_session):
    began, ended = threading.Event(), threading.Event()

    async def slow() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    session = open_session(tools=[slow, add])
    turn = session.start("tool slow")
    assert began.wait(20)
    started = time.monotonic()
    assert session.cancel()
    assert turn.status == "cancelled"
    assert ended.wait(5)
    assert time.monotonic() - started < 8
    (recorded,) = until(lambda: notes(session), what="the note")
    assert recorded.payload["error"] == "the call was given up"
    assert answers(session.send('tool add {"a": 1}')) == [("completed", "3")]


def test_an_agent_that_gives_a_call_up_ends_it_alone(open_session):
    """The harness's process dies in the call: nobody cancels the turn."""
    began, ended = threading.Event(), threading.Event()

    async def slow() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    session = open_session(tools=[slow])
    turn = session.start("tool slow")
    assert began.wait(20)
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command, place = process.info["cmdline"] or (), process.info["cwd"]
        if "session_widgets.demo" in command and place == str(session.workspace):
            process.kill()
    until(lambda: turn.ended, what="the end of the turn")
    assert turn.status == "failed"
    assert ended.wait(10)


# Which agent has which tools


def test_a_tool_that_comes_later_is_there_with_the_next_prompt(open_session):
    session = open_session()
    session.send("say first")
    session.tool(add)
    turn = session.send('tool add {"a": 2}\nremember')
    assert answers(turn) == [("completed", "4")]
    assert turn.tier == "resume"
    assert "say first" in turn.text
    session.tool(lambda a: a, name="add")  # the same cell, run again with another body
    session.tool(add)
    assert session.send('tool add {"a": 2}').tier == "warm"


def test_tools_of_two_sessions_do_not_mix(open_session):
    one = open_session("one", tools=[add])
    two = open_session("two")
    two.tool(lambda a: a * 100, name="add")
    two.tool(lambda: "mine", name="only_two")
    assert answers(one.send('tool add {"a": 1}\ntool only_two')) == [
        ("completed", "3"),
        ("failed", "no MCP server of this session has a tool 'only_two'"),
    ]
    assert answers(two.send('tool add {"a": 1}\ntool only_two')) == [("completed", "100"), ("completed", "mine")]


def test_a_kernel_that_comes_later_registers_its_tools_again(forked, open_session):
    program = (
        "import session_widgets as sw\n"
        "def add(a: int, b: int = 2) -> int:\n    'Add two numbers.'\n    return a + b\n"
        "session = sw.open_session('s1', permissions='allow_all', tools=[add])\n"
        "print(session.send('tool add {\"a\": 1}').status)\n"
    )
    ran = forked.python(program)
    assert ran.stdout.split() == ["completed"], ran.stderr
    session = open_session()
    turn = session.send('tool add {"a": 1}')
    assert turn.tier == "warm"
    ((status, text),) = answers(turn)
    assert (status, "not attached" in text) == ("failed", True)
    session = open_session(tools=[add])
    turn = session.send('tool add {"a": 1}')
    assert answers(turn) == [("completed", "3")]
    assert turn.tier == "warm", "the same tools as the process was started with"


def test_a_turn_whose_kernel_died_calls_the_next_one(forked, open_session):
    program = (
        "import os, time\nimport session_widgets as sw\n"
        "def add(a: int, b: int = 2) -> int:\n    return 0\n"
        "session = sw.open_session('s1', permissions='allow_all', tools=[add])\n"
        "session.start('say begun\\nwait 4\\ntool add {\"a\": 40}')\n"
        "while not any(event.kind == 'agent_message_chunk' for event in session.events()): time.sleep(0.05)\n"
        "os._exit(0)\n"
    )
    assert forked.python(program).returncode == 0
    session = open_session(tools=[add])
    turn = session.turns[-1]
    until(lambda: turn.ended, seconds=40, what="the end of the turn")
    assert [step.status for step in turn.steps if step.title == "Call add"] == ["completed"]
    (recorded,) = notes(session)
    assert (recorded.turn, recorded.payload["ok"]) == (1, True)


def test_a_parked_session_has_its_tools_again(open_session):
    session = open_session(tools=[add])
    assert answers(session.send('tool add {"a": 1}')) == [("completed", "3")]
    session.park()
    assert answers(session.send('tool add {"a": 2}')) == [("completed", "4")]


def test_a_sandbox_that_cannot_bring_calls_is_refused_in_words(open_session, monkeypatch):
    session = open_session()
    session.send("say first")
    runner = session._controller.sandboxes.sandbox.runner

    async def health():
        return {"features": ["async-post"]}

    monkeypatch.setattr(runner, "health", health)
    session.tool(add)
    turn = session.send('tool add {"a": 1}')
    assert turn.status == "failed"
    assert "takes no tools=" in turn.error
    with pytest.raises(SandboxError):
        private_loop().run(session._controller.tools.serve(session._controller.sandboxes.sandbox, sys.executable))


@pytest.mark.needs("docker")
def test_a_container_without_a_network_reaches_the_notebook(open_session):
    session = open_session(sandbox=sw.Sandbox("docker", network="none"), tools=[add])
    assert answers(session.send('tool add {"a": 40}')) == [("completed", "42")]


@pytest.mark.needs("sandbox-agent")
def test_a_sandbox_agent_server_takes_the_users_servers_and_no_functions(open_session, monkeypatch):
    real.binary().chmod(0o755)
    monkeypatch.setenv("SESSION_WIDGETS_SANDBOX_AGENT", str(real.binary()))
    demo = Harness(id="pi", command=("{python}", "-P", "-m", "session_widgets.demo"))
    where = {"harness": demo, "sandbox": "sandbox-agent"}
    turn = open_session("one", tools=[add], **where).send("say hello")
    assert turn.status == "failed"
    assert "takes no tools=" in turn.error
    turn = open_session("two", mcp_servers=[echo_server(SECRET)], **where).send("tool show")
    assert answers(turn) == [("completed", "it is set to 30 characters")]


@pytest.mark.needs("harnesses", "model")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("harness", "name", "model_name", "asks"),
    [
        ("claude", "mcp__notebook__add", None, True),
        ("codex", "mcp__notebook__add", None, True),
        ("opencode", "notebook_add", "mock-model", False),
    ],
)
def test_real_harnesses_call_a_function_of_the_notebook(open_session, model, harness, name, model_name, asks):
    session = open_session(harness=harness, tools=[add], model=model_name)
    turn = session.send(script({"call": [name, {"a": 40}]}, {"text": "done"}))
    assert (turn.status, turn.error) == ("completed", None)
    assert [note.payload["arguments"] for note in notes(session)] == [{"a": 40}]
    assert any(event.kind == "permission_decision" for event in session.events()) is asks
    assert "42" in model.heard
    assert turn.text.endswith("done")
