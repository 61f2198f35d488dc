"""Options of the real harnesses, with their own ids, and the effect of a choice."""

from __future__ import annotations

import pytest

from tests.support.model.serving import script
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]

OFFERED = {"claude": ["mode", "model"], "codex": ["model"], "opencode": ["mode", "model"], "pi": ["model", "effort"]}


def current(session, name):
    return next((choice.id for choice in session.options[name] if choice.current), None)


@pytest.mark.parametrize("name", sorted(OFFERED))
def test_each_offers_what_it_has(name, start):
    session = start(name)
    assert session.send(script({"text": "hello"})).text == "hello"
    assert list(session.options) == OFFERED[name]
    for choices in session.options.values():
        assert len({choice.id for choice in choices}) == len(choices)


def test_claude_takes_a_mode_in_the_middle_of_a_turn(start):
    session = start("claude", permissions="ask")
    turn = session.start(
        script({"text": "I write", "write": ["a.txt", "x"]}, {"write": ["b.txt", "x"]}, {"text": "done"})
    )
    until(lambda: session.pending, seconds=40, what="a question")
    session.set_mode("acceptEdits")
    assert current(session, "mode") == "acceptEdits"
    session.pending[0].allow()
    assert turn.wait(60).status == "completed", "it asked again"


def test_pi_s_levels_of_thinking_are_its_effort(start):
    session = start("pi")
    session.send(script({"text": "hello"}))
    session.set_effort("high")
    assert session.effort == "high"
    assert current(session, "effort") in {"high", "off"}, "a model that does not think may refuse to"
    session.send(script({"text": "again"}))


@pytest.mark.parametrize("name", ["codex", "opencode", "pi"])
def test_a_model_that_is_not_offered_is_given_by_the_settings_file(name, start, model):
    session = start(name, model="first-model")
    session.send(script({"text": "one"}, note="TOKEN-kept"))
    session.set_model("second-model")
    turn = session.send(script({"recall": True}))
    assert [request["model"].rpartition("/")[2] for request in model.received[-2:]] == [
        "first-model",
        "second-model",
    ]
    assert turn.text.endswith("I know TOKEN-kept"), "Codex warns of a model that it does not know"
