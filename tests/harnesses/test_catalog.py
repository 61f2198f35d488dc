"""What can be started, and how the error helps."""

from __future__ import annotations

import json
import sys

import pytest

from harnesses.driver import Conversation, DemoProcess
from session_widgets.errors import BadValue
from session_widgets.harnesses import catalog


def test_demo_is_what_exists():
    assert catalog.names() == ["demo"]
    assert catalog.get("demo").id == "demo"


def test_command_is_plain_json_for_the_runner():
    entry = catalog.get("demo").command("/workspace/", python="/opt/python")
    assert json.loads(json.dumps(entry)) == {
        "command": ["/opt/python", "-P", "-m", "session_widgets.harnesses.demo"],
        "env": {"DEMO_STATE_DIR": "/workspace/.harness/demo"},
        "version": "0.1.0",
    }
    assert catalog.get("demo").command("/w")["command"][0] == sys.executable


def test_command_starts_the_agent_and_workspace_files_are_no_modules(tmp_path):
    (tmp_path / "asyncio.py").write_text("raise SystemExit('a file of the workspace was imported')")
    entry = catalog.get("demo").command(str(tmp_path))
    agent = DemoProcess(entry["command"], env=entry["env"], cwd=tmp_path)
    session = Conversation(agent, tmp_path)
    assert agent.close() == 0
    assert (tmp_path / ".harness" / "demo" / f"{session.id}.jsonl").is_file()


@pytest.mark.parametrize("name", ["claude", "codex", "opencode", "pi"])
def test_known_but_not_in_this_release(name):
    with pytest.raises(BadValue, match=rf"'{name}' is not in this release.*'demo' \(comes with session-widgets\)"):
        catalog.get(name)


@pytest.mark.parametrize("name", ["nope", "", "DEMO", "../demo", None, 3])
def test_unknown_name_lists_what_exists(name):
    with pytest.raises(BadValue, match=r"there is no harness .*'demo' \(comes with session-widgets\)"):
        catalog.get(name)


def test_an_unknown_name_is_not_repeated_at_length():
    with pytest.raises(BadValue) as caught:
        catalog.get("x" * 10_000)
    assert len(str(caught.value)) < 200
