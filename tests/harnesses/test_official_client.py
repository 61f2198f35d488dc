"""The official client library understands every message of the agent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("official_client.py")


def test_a_session_and_its_replay(workspace):
    done = subprocess.run(
        [sys.executable, "-P", PROGRAM, workspace], capture_output=True, text=True, timeout=40, check=False
    )
    assert done.stderr == ""  # the library logs here what it cannot read
    seen = json.loads(done.stdout)
    assert seen["live"] == {
        "text": "done",
        "thought": "first",
        "user": "",
        "plan": ["completed", "completed"],
        "tools": [["edit", "completed"], ["execute", "completed"], ["read", "completed"], ["other", "completed"]],
    }
    assert seen["replayed"] == {**seen["live"], "user": seen["replayed"]["user"]}
    assert seen["replayed"]["user"].startswith("think first\nplan write; run\n")
    assert seen["asked"] == 1
    assert seen["stop_reason"] == "end_turn"
    assert seen["usage"]["output_tokens"] == 1
    assert seen["modes"] == ["ask", "accept_edits", "full_access", "plan"]
    assert seen["options"] == ["mode", "model", "effort"]
    assert seen["listed"] == [True]
    assert seen["mode_after"] == "accept_edits"
    assert (workspace / "hello.py").read_text() == 'print("hi")\n'
