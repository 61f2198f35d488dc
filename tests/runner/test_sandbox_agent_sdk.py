"""The TypeScript SDK of sandbox-agent 0.4.2 drives our runner as it does its own server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.runner import TOKEN, RunnerProcess
from tests.support.sandbox_agent import server

DEMO = (sys.executable, "-m", "session_widgets.demo")
SCRIPT = Path(server.__file__).with_name("sdk.mjs")
REPLIES = ["once", "always", "reject"]
SEEN = {
    "stranger": "Timed out waiting for sandbox-agent health after 1000ms (Token Invalid)",
    "agents": [["demo", True]],
    "installed": True,
    "stop": "end_turn",
    "text": "hello",
    "offered": [REPLIES, REPLIES],
    "tools": ["edit", "edit"],
    "modes": ["ask", "accept_edits", "full_access", "plan"],
    "options": [["mode", "mode"], ["model", "model"], ["effort", "thought_level"]],
    "servers": ["demo"],
    "written": 3_000_000,  # more than its own server takes
    "same": True,
    "entries": [["moved.bin", "file", 3_000_000]],
    "stat": "file",
    "missing": [True, 404, "urn:sandbox-agent:error:not_found"],
    "run": [3, "out\n", "err\n", False],
    "stopped": "exited",
    "logs": True,
    "processes": 0,
    "config": True,
    "exit": 5,
    "events": True,
    "left": 0,  # its own server goes on with the agent
}


@pytest.mark.needs("node", "sandbox-agent")
def test_the_sdk_drives_our_runner(tmp_path):
    runner = RunnerProcess(tmp_path, agents={"demo": {"command": DEMO, "env": {}, "version": "1"}})
    try:
        ran = subprocess.run(
            ["node", "--experimental-websocket", "--no-warnings", SCRIPT, runner.url, TOKEN, runner.root],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout) == SEEN
        assert (runner.root / "allowed.txt").read_text() == "yes\n"
        assert not (runner.root / "refused.txt").exists()
    finally:
        runner.stop()


@pytest.mark.needs("node", "sandbox-agent")
def test_the_sdk_keeps_configuration_and_survives_a_crash(tmp_path):
    """Its own server hangs at the crash, and the next prompt is an error that nobody handles."""
    runner = RunnerProcess(tmp_path, agents={"demo": {"command": DEMO, "env": {}, "version": "1"}})
    try:
        ran = subprocess.run(
            ["node", "--no-warnings", SCRIPT.with_name("config.mjs"), runner.url, TOKEN, runner.root, "demo"],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert "ACP write error" not in ran.stderr
        assert json.loads(ran.stdout) == {
            "unhandled": [],
            "mcp": {"type": "remote", "url": "https://example.com/mcp"},
            "mcpGone": [True, 404],
            "skills": {"sources": [{"type": "local", "source": "/skills"}]},
            "skillsGone": [True, 404],
            "options": ["mode", "model", "thought_level"],
            "crash": [True, -32603, "Internal agent error: agent exited with code 3"],
            "next": [True, -32603, "Internal agent error: agent exited with code 3"],
            "third": [True, -32603, "Internal agent error: agent exited with code 3"],
            "left": 0,
        }
    finally:
        runner.stop()
