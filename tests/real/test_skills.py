"""Skills in the real programs: a skill's description reaches the model."""

from __future__ import annotations

import json

import pytest

from tests.support.model.serving import script

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]


@pytest.fixture
def skill(tmp_path):
    folder = tmp_path / "greeting"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: greeting\ndescription: How to greet a marmot.\n---\nWhistle.\n")
    return folder


def asked(model, session, text):
    before = len(model.received)
    session.send(script({"text": text}))
    return json.dumps(model.received[before:])


@pytest.mark.parametrize("name", ["claude", "codex", "opencode", "pi"])
def test_the_model_receives_a_skill(name, start, model, skill):
    assert "greet a marmot" in asked(model, start(name, skills=[skill]), "hello")


def test_a_skill_goes_with_the_session_to_another_harness(start, model, skill):
    session = start("claude", skills=[skill])
    assert "greet a marmot" in asked(model, session, "hello")
    session.switch(harness="codex")
    assert "greet a marmot" in asked(model, session, "hello again")
    assert (session.workspace / ".agents/skills/greeting/SKILL.md").is_file()
    assert not (session.workspace / ".claude/skills/greeting").exists()
