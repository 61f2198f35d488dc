"""The resume ladder, rung by rung."""

import os
import shutil
import signal
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from session_widgets._harnesses import catalog
from session_widgets._sessions.agent import Agent, replayed_prompts
from session_widgets._sessions.resume import _not_in
from session_widgets.transcript.records import TurnRecord
from tests.support.kernels import runner_pid
from tests.support.waiting import until

NOW = datetime.now(UTC)


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


@pytest.mark.parametrize("written", [True, False])
def test_a_prompt_that_was_cut_off_is_known_whether_or_not_the_agent_wrote_it_down(open_session, written):
    session = open_session()
    session.send("say first")
    cut = session.start("run touch begun && sleep 60")
    until((session.workspace / "begun").exists, what="the command")
    os.kill(runner_pid(session), signal.SIGKILL)
    assert cut.wait(30).status == "failed"
    if not written:
        (record,) = (session.workspace / ".harness").rglob("*.jsonl")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(lines[: next(n for n, line in enumerate(lines) if "touch begun" in line)]))
    turn = session.send("remember")
    assert (turn.status, turn.tier) == ("completed", "load"), turn.error
    assert "2 earlier turns; the first prompt was: say first" in turn.text
    told = [told["prompt"] for told in turn.handed_over["turns"]] if turn.handed_over else []
    assert told == ([] if written else ["run touch begun && sleep 60"])
    assert session.send("remember").tier == "warm"


def turn(number, prompt, status="completed"):
    return TurnRecord("s", number, status, ({"type": "text", "text": prompt},), NOW)


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


def test_a_replay_must_hold_every_prompt_in_order():
    replay = [chunk("user_message_chunk", "one", 1), chunk("user_message_chunk", "<note/>two", 2)]
    assert _not_in(replay, [turn(1, "one"), turn(2, "two")]) == []
    assert _not_in(replay, [turn(1, "two"), turn(2, "one")]) == [turn(2, "one")]
    assert _not_in(replay, [turn(1, "one"), turn(2, "two"), turn(3, "three")]) == [turn(3, "three")]
    assert _not_in([], [turn(1, "one")]) == [turn(1, "one")]


def test_only_the_latest_interrupted_turns_are_sent_as_history():
    lost, again = turn(2, "two", status="failed"), turn(4, "four", status="cancelled")
    first, third = turn(1, "one"), turn(3, "three")
    shown = [chunk("user_message_chunk", words, words) for words in ("one", "three")]
    assert _not_in(shown, [first, lost]) == [lost]
    assert _not_in(shown, [first, lost, third]) == []
    assert _not_in(shown, [first, lost, third, again]) == [again]
    with_history = [shown[0], chunk("user_message_chunk", "of two\nthree", 2)]
    assert _not_in(with_history, [first, lost, third]) == []
