"""Limits on a turn, and the end of an agent that no longer listens."""

import asyncio
import time

import psutil
import pytest

import session_widgets as sw
from session_widgets._sessions import turn_runner
from session_widgets._sessions.limits import TurnClock, TurnLimitReached
from session_widgets._sessions.loop import private_loop
from session_widgets.errors import BadValue
from tests.support.waiting import until

ALWAYS = {"first_byte": 60, "silence": 60, "total": 60, "size": 64}


def limits(**given):
    return sw.TurnLimits(**{**ALWAYS, **given})


def agents(session):
    """The pids of the agent's processes, by what runs in this workspace."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or ()
        if "session_widgets.demo" in command and process.info["cwd"] == str(session.workspace):
            found.append(process.pid)
    return found


# The clock alone


class Time:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("seconds", "heard", "limit"),
    [
        ([9], False, None),
        ([11], False, "first_byte"),
        ([9, 19], True, None),
        ([9, 21], True, "silence"),
        ([9, 19, 19, 19, 19], True, "total"),
    ],
)
def test_each_limit_counts_from_its_own_beginning(seconds, heard, limit):
    now = Time()
    clock = TurnClock(sw.TurnLimits(first_byte=10, silence=20, total=80), now=now)
    for wait in seconds[:-1]:
        now.now += wait
        clock.check()
        clock.heard(100)
    assert clock.left > 0
    now.now += seconds[-1]
    if limit is None:
        clock.check()
    else:
        with pytest.raises(TurnLimitReached, match=f"limit '{limit}'"):
            clock.check()
        assert clock.left <= 0


def test_time_that_a_person_takes_does_not_count():
    now = Time()
    clock = TurnClock(sw.TurnLimits(first_byte=10, silence=10, total=15), now=now)
    now.now += 5
    clock.heard(1)
    clock.pause(True)
    now.now += 1000
    clock.pause(True)
    clock.check()
    assert clock.left is None
    clock.pause(False)
    assert clock.left == 10
    now.now += 6
    clock.heard(1)
    now.now += 5
    with pytest.raises(TurnLimitReached, match="total"):
        clock.check()


def test_no_limit_is_no_limit():
    now = Time()
    clock = TurnClock(sw.TurnLimits(None, None, None, None), now=now)
    clock.heard(10**12)
    now.now += 10**9
    clock.check()
    assert clock.left is None


@pytest.mark.parametrize("value", [0, -1, True, "3", float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["first_byte", "silence", "total", "size"])
def test_a_limit_is_a_number_above_zero(name, value):
    with pytest.raises(BadValue, match=f"the limit {name} must be"):
        sw.TurnLimits(**{name: value})


@pytest.mark.parametrize("given", [3, {"total": 3}, "total"])
def test_limits_are_of_their_own_type(open_session, given):
    with pytest.raises(BadValue, match="TurnLimits"):
        open_session(limits=given)


# Turns


@pytest.mark.parametrize(
    ("name", "script", "seconds"),
    [("first_byte", "silent", 0.5), ("silence", "say hi\nsilent", 0.5), ("total", "wait 30", 1.5)],
)
def test_a_turn_that_exceeds_a_limit_is_stopped_and_says_which(open_session, name, script, seconds):
    session = open_session(limits=limits(**{name: seconds}))
    turn = session.send(script, timeout=30)
    assert turn.status == "failed"
    assert turn.outcome == "turn_limit"
    assert f"limit {name!r}" in turn.error
    assert f"limits=TurnLimits({name}={seconds * 2:g})" in turn.error
    asked = [event.method for event in session.events() if event.direction == "out" and event.turn == 1]
    assert "session/cancel" in asked
    session.set_limits(limits())
    turn = session.send("remember")
    assert (turn.status, turn.tier) == ("completed", "warm")
    assert "1 earlier turn" in turn.text


def test_too_much_text_is_stopped(open_session):
    """150 MB of text in one turn cost the kernel 1.4 GB; nothing bounded it."""
    session = open_session(limits=limits(size=1))
    turn = session.send("stream 100000000", timeout=50)
    assert turn.status == "failed"
    assert "more than 1 MB in one turn" in turn.error
    received = sum(len(str(event.payload)) for event in session.events() if event.direction == "in")
    assert received < 8e6
    assert session.send("say on").text == "on"


def test_waiting_for_a_person_does_not_count(open_session):
    session = open_session(permissions="ask", limits=limits())
    turn = session.start("run echo hi\nquestion Why?\nsilent")
    until(lambda: session.pending, what="the permission request")
    clock = session._controller.turns._runner.wait.clock
    assert clock.left is None
    session.pending[0].allow()
    until(lambda: session.questions, what="the question")
    assert clock.left is None
    session.questions[0].accept({"answer": "x"})
    until(lambda: clock.left, what="the clock to go on")
    assert session.cancel()
    assert turn.status == "cancelled"


def test_a_function_of_the_notebook_may_take_its_time(open_session):
    session = open_session(limits=limits())

    @session.tool
    def slow() -> None:
        wait = session._controller.turns._runner.wait
        wait.clock._latest -= 1000  # so long has the agent been silent
        private_loop().loop.call_soon_threadsafe(wait._woken.set)
        private_loop().run(asyncio.sleep(0.1))

    turn = session.send("say hi\ntool slow", timeout=50)
    assert (turn.status, turn.error) == ("completed", None)


# An agent that is deaf


def test_cancelling_a_deaf_agent_takes_three_seconds_and_harms_no_other(open_session):
    assert turn_runner.HUSH_SECONDS + turn_runner.KILL_SECONDS <= 2
    other = open_session("other")
    running = other.start("wait 60")
    session = open_session()
    turn = session.start("say hi\ndeaf")
    until(lambda: turn.text == "hi", what="the first word")
    ((deaf,), (well,)) = agents(session), agents(other)
    started = time.monotonic()
    assert session.cancel()
    took = time.monotonic() - started
    assert turn.status == "cancelled"
    assert took < 3
    until(lambda: not psutil.pid_exists(deaf), what="the end of the deaf process")
    assert agents(other) == [well]
    assert not running.ended
    turn = session.send("remember", timeout=30)
    assert (turn.status, "1 earlier turn" in turn.text) == ("completed", True)
    assert other.cancel()
    assert running.status == "cancelled"


def test_an_agent_that_is_deaf_from_the_start_is_ended_too(open_session):
    session = open_session(limits=limits(first_byte=1))
    turn = session.send("deaf", timeout=30)
    assert "limit 'first_byte'" in turn.error
    until(lambda: agents(session) == [], what="the end of the process")
    assert session.send("say on", timeout=30).text == "on"


def test_an_agent_that_takes_its_time_to_stop_is_not_ended(open_session, monkeypatch):
    """It says something meanwhile, so it has heard."""
    monkeypatch.setattr(turn_runner, "CANCEL_SECONDS", 0.01)
    monkeypatch.setattr(turn_runner, "HUSH_SECONDS", 30)
    session = open_session()
    turn = session.start("wait 60")
    until(lambda: turn.steps[1:], what="the first step")
    session.cancel()
    assert session.send("say on").status == "completed"


@pytest.mark.needs("docker")
@pytest.mark.timeout(180)
def test_a_deaf_agent_in_a_container_is_ended_and_the_container_goes_on(open_session):
    session = open_session(sandbox="docker")
    turn = session.start("say hi\ndeaf")
    until(lambda: turn.text == "hi", seconds=120, what="the first word")
    before = session.store.session("s1").sandbox_ref
    started = time.monotonic()
    assert session.cancel()
    assert time.monotonic() - started < 3
    assert turn.status == "cancelled"
    turn = session.send("remember", timeout=60)
    assert (turn.status, "1 earlier turn" in turn.text) == ("completed", True)
    assert session.store.session("s1").sandbox_ref == before
