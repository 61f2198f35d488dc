"""The resume ladder, rung by rung."""

import shutil
from dataclasses import replace

import pytest

from session_widgets.harnesses import catalog
from session_widgets.model import TurnRecord
from session_widgets.sessions.agent import Agent, replayed_prompts
from session_widgets.sessions.resume import _matches


def test_replay_when_the_agents_own_memory_is_gone(open_session):
    session = open_session()
    session.send("say the first words")
    session.send("say the second words")
    session.park()
    shutil.rmtree(session.workspace / ".harness")
    turn = session.send("remember")
    assert turn.tier == "replay"
    assert "2 earlier turns" in turn.text
    assert "say the first words" in turn.text
    assert [step.text for step in turn.steps if step.kind == "user"] == ["remember"]
    assert turn.prompt == ({"type": "text", "text": "remember"},)
    session.park()
    shutil.rmtree(session.workspace / ".harness")
    again = session.send("remember")
    sent = [e for e in session.events() if e.direction == "out" and e.method == "session/prompt"]
    assert str(sent[-1].payload).count("the first words") == 3, "history must not nest: told, answered, quoted"
    assert "3 earlier turns" in again.text


def test_load_is_used_and_verified_when_there_is_no_resume(open_session, monkeypatch):
    monkeypatch.setattr(Agent, "offers", lambda self, name: name in {"load", "list"})
    session = open_session()
    session.send("say first")
    session.park()
    turn = session.send("remember")
    assert turn.tier == "load"
    assert "say first" in turn.text
    assert [step.text for step in session.transcript.steps if step.kind == "user"] == ["say first", "remember"]


def test_a_load_is_verified_by_what_was_said_since_a_handover(open_session, monkeypatch):
    monkeypatch.setattr(Agent, "offers", lambda self, name: name in {"load", "list"})
    session = open_session()
    session.send('say "first"')
    session.switch(harness=replace(catalog.get("demo"), id="mine"))
    assert session.send("say second").tier == "replay"
    session.park()
    turn = session.send("remember")
    assert turn.tier == "load"
    assert '2 earlier turns; the first prompt was: say "first"' in turn.text


def test_load_of_another_conversation_is_not_trusted(open_session, monkeypatch):
    monkeypatch.setattr(Agent, "offers", lambda self, name: name in {"load", "list"})
    session = open_session()
    session.send("say first")
    session.park()
    for file in (session.workspace / ".harness").rglob("*"):
        if file.is_file():
            file.write_text(file.read_text().replace("say first", "say other"))
    assert session.send("remember").tier == "replay"


def turn(number, prompt, answer="", now=None):
    from datetime import UTC, datetime

    blocks = ({"type": "text", "text": prompt},)
    return TurnRecord("s", number, "completed", blocks, datetime.now(UTC), text=answer)


def chunk(kind, text, message_id=None):
    return {"sessionUpdate": kind, "content": {"type": "text", "text": text}, "messageId": message_id}


@pytest.mark.parametrize(
    ("updates", "prompts"),
    [
        ([chunk("user_message_chunk", "a"), chunk("user_message_chunk", "b")], ["ab"]),
        ([chunk("user_message_chunk", "a", 1), chunk("user_message_chunk", "b", 2)], ["a", "b"]),
        ([chunk("user_message_chunk", "a"), chunk("agent_message_chunk", "x"), chunk("user_message_chunk", "b")],
         ["a", "b"]),
        ([], []),
    ],
)  # fmt: skip
def test_prompts_of_a_replay(updates, prompts):
    assert replayed_prompts(updates) == prompts


def test_replay_must_hold_every_prompt_in_order():
    replay = [chunk("user_message_chunk", "one", 1), chunk("user_message_chunk", "<note/>two", 2)]
    assert _matches(replay, [turn(1, "one"), turn(2, "two")])
    assert not _matches(replay, [turn(1, "two"), turn(2, "one")])
    assert not _matches(replay, [turn(1, "one"), turn(2, "two"), turn(3, "three")])
    assert not _matches([], [turn(1, "one")])
