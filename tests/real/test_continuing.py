"""A session that goes on from an import of its own harness: the program loads the import's file."""

from __future__ import annotations

import pytest

import session_widgets as sw
from tests.support.model.serving import script

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_program_loads_the_import_that_its_session_goes_on_from(name, start, model, tmp_path):
    """Its own export, as a user has the file: of a session that was deleted here."""
    first = start(name, id="first")
    turn = first.send(script({"text": "I write", "write": ["a.txt", "x"]}, {"text": "written"}, note="TOKEN-kept"))
    assert turn.status == "completed"
    format = {"claude": "claude-code", "codex": "codex"}[name]
    first.park()
    sw.store().export("first", format, tmp_path / "own.jsonl", redact=False)
    first.delete()
    (imported,) = sw.store().import_(tmp_path / "own.jsonl").sessions
    session = start(name, id="second", continues=imported)
    turn = session.send(script({"recall": True}))
    assert (turn.status, turn.tier, turn.text) == ("completed", "load", "I know TOKEN-kept"), turn.error
    assert "session-widgets:history" not in model.heard
    assert turn.index == 2
    session.park()
    assert session.send(script({"recall": True})).text == "I know TOKEN-kept"
