"""Harbor's own validator accepts what is exported as ATIF."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from session_widgets._store.database import Store
from tests.store.importing.claude import story, text, tool
from tests.store.importing.contents import RECORDED
from tests.support.drafts import note, opened, update
from tests.support.needs import VALIDATORS

SCRIPT = """
import json, sys
from harbor.utils.trajectory_validator import TrajectoryValidator
for path in sys.argv[1:]:
    judge = TrajectoryValidator()
    print(json.dumps([judge.validate(json.load(open(path))), judge.errors]))
"""


@pytest.mark.needs("validators")
def test_harbor_accepts_every_trajectory(store: Store, tmp_path: Path) -> None:
    log = story().assistant("a7", "msg_7", tool("t7", "Task", prompt="Look around"))
    log.user("s1", "Look around", parent=None, isSidechain=True)
    log.assistant("s2", "msg_s", text("Nothing here."), isSidechain=True).result("r7", "t7", "Nothing.", parent="a7")
    (tmp_path / "a.jsonl").write_text(str(log))
    store.import_(tmp_path / "a.jsonl")
    store.import_(RECORDED)
    chunk = update("agent_message_chunk", 3, turn=1, content={"type": "text", "text": "Done."})
    started = note("turn_started", 2, turn=1, prompt=[{"type": "text", "text": "go"}])
    store.append("live", [opened(), started, chunk, note("turn_ended", 9, turn=1, status="completed")])
    store.append("empty", [opened()])
    files = []
    for session in store.sessions():
        files.append(tmp_path / f"{session.id}.json")
        store.export(session.id, "atif", files[-1])
    whole = [json.loads(file.read_text()) for file in files]
    assert any(each.get("subagent_trajectories") for each in whole)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({**whole[0], "steps": []}))
    command = [sys.executable, "-c", SCRIPT, *map(str, files), str(bad)]
    environment = {**os.environ, "PYTHONPATH": str(VALIDATORS / "harbor")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    judged = [json.loads(line) for line in done.stdout.splitlines()]
    assert [errors for accepted, errors in judged[:-1] if not accepted] == []
    assert judged[-1][0] is False
    assert len(judged) == len(files) + 1 > 20
