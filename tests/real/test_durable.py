"""Real harnesses in containers and on workspaces in a bucket: the same files and the same memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import session_widgets as sw
from matrix.bucket import in_bucket
from model.serving import script
from real.conftest import MODELS, allow_once
from real.test_harnesses import TIERS

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]


@pytest.mark.needs("docker")
@pytest.mark.parametrize("name", ["claude", "codex", "opencode", "pi"])
def test_a_container_runs_it_and_it_remembers_after_a_park(name, home, bridged_model):
    session = sw.open_session("s1", harness=name, sandbox="docker", permissions=allow_once, model=MODELS.get(name))
    try:
        turn = session.send(
            script({"text": "I write", "write": ["a.txt", "hello"]}, {"text": "written"}, note="TOKEN-first")
        )
        assert (turn.status, turn.tier, turn.text) == ("completed", "fresh", "I write\n\nwritten"), turn.error
        assert [(file.path, file.change) for file in turn.files] == [("a.txt", "created")]
        assert (Path(session.location) / "a.txt").read_text() == "hello"
        session.park()
        turn = session.send(script({"recall": True}))
        assert (turn.tier, turn.text) == (TIERS[name], "I know TOKEN-first"), turn.error
    finally:
        session.delete()
        sw.store().close()


@pytest.mark.parametrize("name", ["claude", "codex", "opencode", "pi"])
def test_each_turn_is_durable_and_its_memory_comes_back_from_the_bucket(name, start, lab):
    """Parked, and with the directory of this machine gone: the bucket alone has it."""
    session = start(name, workspace=lab, attachment="sync")
    turn = session.send(
        script({"text": "I write", "write": ["a.txt", "hello"]}, {"text": "written"}, note="TOKEN-first")
    )
    assert (turn.status, turn.durability_error) == ("completed", None), turn.error
    assert turn.durable_at is not None
    evidence = in_bucket(lab, "s1")
    assert evidence()["a.txt"] == b"hello"
    assert [path for path in evidence() if path.startswith(".harness/")]
    session.park()
    shutil.rmtree(session.workspace)
    turn = session.send(script({"recall": True}))
    assert (session.workspace / "a.txt").read_text() == "hello"
    assert (turn.tier, turn.text, turn.durability_error) == (TIERS[name], "I know TOKEN-first", None), turn.error
