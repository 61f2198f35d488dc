"""The data directory was moved, and with it each session's workspace: its path is another one now."""

from __future__ import annotations

import shutil

import pytest

import session_widgets as sw
from tests.support.model.serving import script
from tests.support.real_harnesses import MODELS, allow_once

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]


@pytest.mark.parametrize(
    ("name", "tier"),
    [("claude", "replay"), ("codex", "load"), ("opencode", "replay"), ("pi", "replay")],
)
def test_files_and_memory_are_there_and_the_tier_is_the_true_one(name, tier, home, model, monkeypatch, tmp_path):
    """All but Codex know their own sessions by the path of the workspace."""
    options = {"harness": name, "permissions": allow_once, "model": MODELS.get(name)}
    session = sw.open_session("s1", **options)
    turn = session.send(script({"text": "I write", "write": ["a.txt", "x"]}, {"text": "written"}, note="TOKEN-kept"))
    assert turn.status == "completed"
    before = session.workspace
    session.park()
    sw.store().close()
    moved = tmp_path / "elsewhere" / "data"
    moved.parent.mkdir()
    shutil.move(home, moved)
    monkeypatch.setenv("SESSION_WIDGETS_HOME", str(moved))
    session = sw.open_session("s1", **options)
    try:
        assert session.workspace == moved / "workspaces" / "s1"
        assert session.files.read_text("a.txt") == "x"
        turn = session.send(script({"recall": True, "run": "cp a.txt b.txt"}, {"text": "copied"}))
        assert (turn.status, turn.tier, turn.text) == ("completed", tier, "I know TOKEN-kept\n\ncopied"), turn.error
        assert ("session-widgets:history" in model.heard) is (tier == "replay")
        assert (session.workspace / "b.txt").read_text() == "x"
        assert not before.exists()
    finally:
        session.delete()
        sw.store().close()
    assert not session.workspace.exists()
