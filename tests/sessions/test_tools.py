"""Functions of the notebook as tools of the agent, by the demo harness."""

from __future__ import annotations

import asyncio
import functools
import resource
import sys
import threading
import time

import psutil
import pytest

import session_widgets as sw
from session_widgets.errors import BadValue, SandboxError
from session_widgets.harnesses.harness import Harness
from session_widgets.sessions import host_tool
from session_widgets.sessions.host_tool import HostTool
from session_widgets.sessions.loop import private_loop
from session_widgets.store.payload import encode
from tests.support.model.serving import script
from tests.support.sandbox_agent import server as real
from tests.support.waiting import until

SECRET = "value-of-the-secret-1234567890"


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


def answers(turn):
    """What the calls of a turn were answered, as the agent shows them."""
    return [(step.status, step.content[0]["content"]["text"]) for step in turn.steps if step.kind == "tool_call"]


def notes(session):
    return [event for event in session.events() if event.kind == "notebook_tool_called"]


def stored(session):
    return encode([dict(event.payload) for event in session.events()])


def call(tool, **arguments):
    return private_loop().run(tool.call(arguments, set()))


# What a function is to an agent


def test_signature_and_docstring_describe_a_tool():
    def look_up(names: list[str], limit: int = 5, exact: bool = False) -> dict[str, int]:
        """Look names up.

        Args:
            names: which.
        """
        return dict.fromkeys(names, limit)

    described = HostTool(look_up, timeout=3).described
    assert described["name"] == "look_up"
    assert described["description"].startswith("Look names up.\n\nArgs:\n    names: which.")
    assert described["timeoutSeconds"] == 3
    schema = described["inputSchema"]
    assert schema["required"] == ["names"]
    assert schema["properties"]["names"]["items"] == {"type": "string"}
    assert schema["properties"]["limit"]["default"] == 5
    assert schema["properties"]["exact"]["type"] == "boolean"
    assert call(HostTool(look_up), names=["x"])["content"][0]["text"] == '{\n  "x": 5\n}'


@pytest.mark.parametrize(
    "function", [print, lambda: 1, lambda *a: a, int, 3, "text", None, lambda **k: k], ids=lambda value: str(value)[:12]
)
def test_what_cannot_be_a_tool(function):
    with pytest.raises(BadValue):
        HostTool(function)


@pytest.mark.parametrize("timeout", [0, -1, True, "3", float("nan"), float("inf"), None])
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(BadValue, match="timeout must be"):
        HostTool(add, timeout=timeout)


def test_a_name_can_be_given():
    assert HostTool(lambda x: x, name="same").described["name"] == "same"
    with pytest.raises(BadValue, match="a tool needs a name"):
        HostTool(add, name="no spaces")


def test_a_big_result_is_cut_and_says_so():
    text = call(HostTool(lambda: "x" * 1_000_000, name="big"))["content"][0]["text"]
    assert len(text) < 101_000
    assert text.endswith("[cut: 900000 more characters]")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(), GeneratorExit()])
def test_what_a_function_raises_ends_nothing_else(error):
    def stop():
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        call(HostTool(stop))
    assert call(HostTool(add), a=1)["content"][0]["text"] == "3"


def test_functions_that_never_end_are_bounded_for_their_session_alone(monkeypatch):
    monkeypatch.setattr(host_tool, "MAX_RUNNING", 2)
    go_on = threading.Event()
    hang = HostTool(lambda: go_on.wait(30) and None, name="hang", timeout=0.05)
    ours, others = set(), set()
    for _ in range(2):
        with pytest.raises(TimeoutError, match="longer than"):
            private_loop().run(hang.call({}, ours))
    with pytest.raises(RuntimeError, match="2 calls of this session are under way"):
        private_loop().run(hang.call({}, ours))
    assert private_loop().run(HostTool(add).call({"a": 1}, others))["content"][0]["text"] == "3"
    go_on.set()
    until(lambda: not ours, what="the end of the functions")


def test_sessions_have_calls_of_their_own(open_session, monkeypatch):
    """One session's functions that never end keep no other session from calling its own."""
    monkeypatch.setattr(host_tool, "MAX_RUNNING", 1)
    go_on = threading.Event()
    one, two = open_session("one"), open_session("two", tools=[add])
    one.tool(lambda: go_on.wait(60) and None, name="hang", timeout=0.1)
    try:
        assert [status for status, _ in answers(one.send("tool hang\ntool hang"))] == ["failed", "failed"]
        assert answers(two.send('tool add {"a": 1}')) == [("completed", "3")]
    finally:
        go_on.set()


TOO_MUCH = {
    "many": ({"numbers": ["x"] * 4_000_000}, "at most 20,000 values"),
    "long": ({"numbers": ["x" * 20_000_000]}, "at most 1,048,576 bytes"),
    "deep": ({"numbers": [functools.reduce(lambda inner, _: [inner], range(900), 1)]}, "nest at most 220 deep"),
    "wrong": ({"numbers": ["x"] * 19_000}, "and 18990 more"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_arguments_cannot_exhaust_the_kernel(what):
    """16 MB of wrong list items cost 4.3 GB and 77 s: each makes an error with a text and a copy."""

    def total(numbers: list[int]) -> int:
        return sum(numbers)

    arguments, said = TOO_MUCH[what]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(BadValue, match=said):
        call(HostTool(total), **arguments)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    assert time.process_time() - started < 5


def test_a_call_with_too_much_is_answered_and_recorded(open_session):
    session = open_session(tools=[add])
    deep = "[" * 230 + "]" * 230
    assert answers(session.send(f'tool add {{"a": {deep}}}')) == [
        ("failed", "the arguments of a call nest at most 220 deep.")
    ]
    assert notes(session)[0].payload["ok"] is False


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
        if "session_widgets.harnesses.demo" in command and place == str(session.workspace):
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
def test_a_container_reaches_the_notebook(open_session):
    session = open_session(sandbox="docker", tools=[add])
    assert answers(session.send('tool add {"a": 40}')) == [("completed", "42")]


@pytest.mark.needs("sandbox-agent")
def test_a_sandbox_agent_server_takes_the_users_servers_and_no_functions(open_session, monkeypatch):
    real.binary().chmod(0o755)
    monkeypatch.setenv("SESSION_WIDGETS_SANDBOX_AGENT", str(real.binary()))
    demo = Harness(id="pi", command=("{python}", "-P", "-m", "session_widgets.harnesses.demo"))
    where = {"harness": demo, "sandbox": "sandbox-agent"}
    turn = open_session("one", tools=[add], **where).send("say hello")
    assert turn.status == "failed"
    assert "takes no tools=" in turn.error
    turn = open_session("two", mcp_servers=[echo_server(SECRET)], **where).send("tool show")
    assert answers(turn) == [("completed", "it is set to 30 characters")]


# Secrets, and servers of the user's own


def test_no_secret_of_a_server_is_stored(open_session):
    session = open_session(tools=[add], mcp_servers=[echo_server(SECRET)])
    turn = session.send('tool add {"a": 1}\ntool show {"name": "x"}')
    assert answers(turn) == [("completed", "3"), ("completed", "it is set to 30 characters")]
    text = stored(session)
    assert SECRET not in text
    (asked,) = [event for event in session.events() if event.method == "session/new" and event.direction == "out"]
    notebook, own = asked.payload["params"]["mcpServers"]
    assert {pair["value"] for pair in (*notebook["env"], *own["env"])} == {"[redacted]"}
    assert session._controller.tools._server["env"][1]["value"] not in text


def test_arguments_are_redacted_and_capped(open_session, monkeypatch):
    monkeypatch.setenv("LAB_TOKEN", SECRET)
    session = open_session()
    session.tool(lambda words: len(words), name="count")
    session.send(f'tool count {{"words": "{SECRET}"}}\ntool count {{"words": "{"y" * 9_000}"}}')
    first, second = (note.payload["arguments"] for note in notes(session))
    assert first == {"words": "[redacted]"}
    assert len(second) < 4_100
    assert second.endswith("[cut]")


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        ("text", "must be a list"),
        ([{"command": "x"}], "an object with a name"),
        ([{"name": "notebook", "command": "x"}], "the notebook's own tools"),
        ([{"name": "x"}], "needs 'command'"),
        ([{"name": "x", "command": "y", "args": "z"}], "must be a list of text"),
        ([{"name": "x", "command": "y", "env": {"A": "b"}}], "'env' of 'x' must be"),
        ([{"name": "x", "command": "y", "url": "z"}], "has 'url'"),
        ([{"name": "x", "type": "tcp", "url": "z"}], "type of 'x'"),
        ([{"name": "x", "command": "y"}] * 2, "two of mcp_servers"),
    ],
)
def test_wrong_servers_are_refused_and_nothing_is_made(home, servers, said):
    with pytest.raises(BadValue, match=said):
        sw.open_session("s1", mcp_servers=servers)
    assert sw.store().session("s1") is None
    sw.store().close()


def test_a_type_that_the_agent_does_not_take(open_session):
    session = open_session(mcp_servers=[{"name": "far", "type": "http", "url": "http://127.0.0.1:9/mcp"}])
    turn = session.send("say hello")
    assert turn.status == "failed"
    assert "takes none of type 'http'" in turn.error


def test_a_server_that_does_not_start_fails_its_call_alone(open_session):
    broken = [{"name": "gone", "command": "/no/such/program"}]
    turn = open_session(mcp_servers=broken).send("tool show\nsay after it")
    ((status, text),) = answers(turn)
    assert (status, "gone does not start" in text) == ("failed", True)
    assert turn.text == "after it"


def echo_server(secret):
    program = (
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    if 'id' not in asked: continue\n"
        "    text = f\"it is set to {len(os.environ['OWN_SETTING'])} characters\"\n"
        "    result = {'initialize': {'protocolVersion': '2025-06-18', 'capabilities': {'tools': {}},"
        " 'serverInfo': {'name': 'own', 'version': '1'}},\n"
        "        'tools/list': {'tools': [{'name': 'show', 'inputSchema': {'type': 'object'}}]},\n"
        "        'tools/call': {'content': [{'type': 'text', 'text': text}]}}[asked['method']]\n"
        "    print(json.dumps({'jsonrpc': '2.0', 'id': asked['id'], 'result': result}), flush=True)\n"
    )
    env = [{"name": "OWN_SETTING", "value": secret}]
    return {"name": "own", "command": sys.executable, "args": ["-c", program], "env": env}


def test_a_harness_that_takes_no_servers_is_refused_in_words(home, open_session):
    for offered in ({"tools": [add]}, {"mcp_servers": [echo_server(SECRET)]}):
        with pytest.raises(BadValue, match="uses no MCP servers"):
            sw.open_session("pi", harness="pi", **offered)
    assert sw.store().session("pi") is None
    with pytest.raises(BadValue, match="uses no MCP servers"):
        open_session("pi", harness="pi").tool(add)


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
