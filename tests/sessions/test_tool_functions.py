"""Functions as tools: their description, their limits, their errors."""

from __future__ import annotations

import functools
import resource
import threading
import time

import pytest

from session_widgets._sessions import host_tool
from session_widgets._sessions.host_tool import HostTool
from session_widgets._sessions.loop import private_loop
from session_widgets.errors import BadValue
from tests.sessions.calling import add, answers, notes
from tests.support.waiting import until


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
    "many": (lambda: ["x"] * 4_000_000, "at most 20,000 values"),
    "long": (lambda: ["x" * 20_000_000], "at most 1,048,576 bytes"),
    "deep": (lambda: [functools.reduce(lambda inner, _: [inner], range(900), 1)], "nest at most 220 deep"),
    "wrong": (lambda: ["x"] * 19_000, "and 18990 more"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_arguments_cannot_exhaust_the_kernel(what):
    """16 MB of wrong list items cost 4.3 GB and 77 s: each makes an error with a text and a copy."""

    def total(numbers: list[int]) -> int:
        return sum(numbers)

    made, said = TOO_MUCH[what]
    arguments = {"numbers": made()}
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
