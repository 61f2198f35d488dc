"""A cancel is honoured wherever it finds the turn."""

from __future__ import annotations

import pytest

from tests.harnesses.driver import Conversation, alive, wait_dead
from tests.support.waiting import until


def in_progress(reply):
    return reply.updates and reply.updates[-1].get("status") == "in_progress"


@pytest.mark.parametrize(
    ("prompt", "ready"),
    [
        ("stream 999999999", lambda reply: len(reply.updates) > 100),
        ("say " + "word " * 200_000, lambda reply: len(reply.updates) > 100),
        ("wait 300", in_progress),
        ("run sleep 300", lambda reply: reply.permissions and in_progress(reply)),
        ("write a.txt <<E\nx\nE", lambda reply: reply.permissions),
        ("look around please", lambda reply: reply.permissions),
    ],
    ids=["stream", "say", "wait", "run", "permission", "free text"],
)
def test_cancel(talk, workspace, prompt, ready):
    talk.answer = "allow_once" if prompt.startswith("run") else "nothing"
    id_ = talk.start(f"{prompt}\nsay never" if "look" not in prompt else prompt)
    reply = talk.finish(id_, until=ready)
    talk.cancel()
    talk.cancel()  # an impatient user
    reply = talk.finish(id_, reply)
    assert reply.stop_reason == "cancelled"
    assert reply.result["usage"]["inputTokens"] > 0
    assert all(tool["status"] in ("completed", "failed") for tool in reply.tools())
    assert "never" not in reply.text
    assert not (workspace / "a.txt").exists()
    for request in reply.permissions:  # ACP: the client answers what was open; nobody waits for it
        talk.agent.answer(request, {"outcome": {"outcome": "cancelled"}})
    talk.answer = "allow_once"
    assert talk.prompt("say well").text == "well"


def test_cancel_at_once(talk):
    id_ = talk.start("stream 999999999")
    talk.cancel()
    assert talk.finish(id_).stop_reason == "cancelled"


def test_cancel_kills_the_whole_process_group(talk, workspace):
    id_ = talk.start("run trap '' TERM INT; sleep 300 & echo $! > child; echo $$ > pid; touch up; wait; sleep 300")
    reply = talk.finish(id_, until=lambda reply: reply.permissions and in_progress(reply))
    until(lambda: (workspace / "up").exists(), what="the command")
    pid, child = (int((workspace / name).read_text()) for name in ("pid", "child"))
    assert alive(pid)
    assert alive(child)
    talk.cancel()
    reply = talk.finish(id_, reply)
    assert reply.stop_reason == "cancelled"
    assert reply.tools()[0]["statuses"] == ["pending", "in_progress", "failed"]
    wait_dead(pid)
    wait_dead(child)


def test_cancel_without_a_turn_does_nothing(talk, shared_agent):
    talk.cancel()
    shared_agent.notify("session/cancel", sessionId="unknown")
    assert talk.prompt("say x").stop_reason == "end_turn"


def test_a_cancel_does_not_reach_another_session(talk, shared_agent, tmp_path):
    other = Conversation(shared_agent, tmp_path)
    id_ = talk.start("wait 300")
    talk.finish(id_, until=in_progress)
    other.cancel()
    assert other.prompt("say x").text == "x"
    talk.cancel()
    assert talk.finish(id_).stop_reason == "cancelled"
