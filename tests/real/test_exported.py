"""The real programs load a session that was exported for them: of another program, recorded by a run of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from session_widgets._harnesses.entries import HARNESSES
from session_widgets._harnesses.installing import Installation
from session_widgets._store import store as open_store
from tests.store.importing.contents import RECORDED
from tests.support.paths import ROOT

PROGRAMS = {
    "claude": ("node", "@zed-industries/claude-agent-acp/dist/index.js"),
    "codex": ("", "@zed-industries/codex-acp-linux-x64/bin/codex-acp"),
}


def load(name: str, native: str, home: Path, cwd: Path) -> list[dict]:
    """Start a program, load a session, and return the updates that it replays."""
    runtime, program = PROGRAMS[name]
    harness = next(each for each in HARNESSES if each.id == name)
    modules = Installation(harness, ROOT / ".cache").modules
    assert modules is not None
    requests = [
        ("initialize", {"protocolVersion": 1, "clientCapabilities": {}}),
        ("session/load", {"sessionId": native, "cwd": str(cwd), "mcpServers": []}),
    ]
    process = subprocess.Popen(
        [*filter(None, [runtime]), str(modules / program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=cwd,
        start_new_session=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CLAUDE_CONFIG_DIR": str(home),
            "CODEX_HOME": str(home),
            "ANTHROPIC_API_KEY": "dummy",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "LOOPBACK_KEY": "dummy",
        },
    )
    updates = []
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, (method, params) in enumerate(requests):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            message = json.loads(line)
            if message.get("id") == 1:
                assert "result" in message, message
                break
            if message.get("method") == "session/update":
                updates.append(message["params"]["update"])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return updates


@pytest.mark.needs("harnesses")
@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_program_loads_the_session_of_another_one(name: str, tmp_path: Path) -> None:
    store = open_store(tmp_path / "t.duckdb")
    (session,) = store.import_(RECORDED / ("codex" if name == "claude" else "claude_code")).sessions[:1]
    home, cwd = tmp_path / "home", tmp_path / "work"
    home.mkdir(exist_ok=True)
    cwd.mkdir()
    exported = tmp_path / "exported"
    store.export(session, "claude-code" if name == "claude" else name, exported)
    first = json.loads(exported.read_text().splitlines()[0])
    if name == "claude":
        native = first["sessionId"]
        folder = "".join(each if each.isalnum() else "-" for each in str(cwd))
        place = home / "projects" / folder / f"{native}.jsonl"
    else:
        native = first["payload"]["id"]
        place = home / "sessions" / "2026" / "11" / "28" / f"rollout-2026-11-28T12-00-00-{native}.jsonl"
        settings = 'model_provider = "loopback"\ncheck_for_update_on_startup = false\n[model_providers.loopback]\n'
        settings += (
            'name = "loopback"\nbase_url = "http://127.0.0.1:9/v1"\nwire_api = "responses"\nenv_key = "LOOPBACK_KEY"\n'
        )
        (home / "config.toml").write_text(f"{settings}[analytics]\nenabled = false\n")
    place.parent.mkdir(parents=True)
    exported.rename(place)
    updates = load(name, native, home, cwd)
    kinds = {"user_message_chunk": "user", "agent_message_chunk": "message"}
    said = [
        (kinds[each["sessionUpdate"]], each["content"]["text"]) for each in updates if each["sessionUpdate"] in kinds
    ]
    assert said == [(step.kind, step.text) for step in store.steps(session) if step.kind in kinds.values()]
    calls = [step for step in store.steps(session) if step.kind == "tool_call"]
    assert len(calls) == len([each for each in updates if each["sessionUpdate"] == "tool_call"]) > 0
    store.close()
