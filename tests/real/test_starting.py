"""Useless work of the real programs at each start, which took a third of their time or more."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from session_widgets._harnesses import catalog
from tests.support.model.serving import script

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]


def test_opencode_installs_nothing(start, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as registry:
        (tmp_path / ".npmrc").write_text(f"registry=http://127.0.0.1:{registry.getsockname()[1]}/\n")
        session = start("opencode")
        assert session.send(script({"text": "hello"})).text == "hello"
        registry.setblocking(False)
        with pytest.raises(BlockingIOError):
            registry.accept()
    modules = session.workspace / ".harness/opencode/config/opencode/node_modules"
    assert [path.name for path in modules.iterdir()] == [".package-lock.json"]


def test_pi_is_started_once(start, tmp_path):
    """Its adapter would ask a program on PATH for its version first."""
    started = tmp_path / "started"
    note = tmp_path / "note.cjs"
    note.write_text(f"require('fs').appendFileSync({str(started)!r}, process.argv.slice(1).join(' ') + '\\n')")
    pi = catalog.get("pi")
    session = start(replace(pi, env={**pi.env, "NODE_OPTIONS": f"--require {note}"}))
    assert session.send(script({"text": "hello"})).text == "hello"
    adapter, program = started.read_text().splitlines()
    assert adapter.endswith("pi-acp/dist/index.js")
    assert "/.bin/pi --mode rpc" in program
