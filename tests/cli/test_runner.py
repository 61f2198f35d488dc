"""`session-widgets runner`: a person offers a machine to a notebook."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from session_widgets._sandboxes import SandboxSpec, get_provider
from tests.support.waiting import until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def start(tmp_path):
    started = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [str(Path(sys.executable).with_name("session-widgets")), "runner", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


async def test_it_prints_what_the_notebook_needs_and_keeps_its_token(start, tmp_path):
    folder, port = tmp_path / "box", free_port()
    for _ in range(2):
        process = start(str(folder), "--port", str(port))
        lines = [process.stdout.readline() for _ in range(6)]
        assert lines[0] == f"runner  http://127.0.0.1:{port}\n"
        file = re.fullmatch(r"token   (.*)\n", lines[1])[1]
        assert file == str(folder / "token")
        assert f"ssh -N -L {port}:127.0.0.1:{port}" in lines[4]
        token = (folder / "token").read_text().strip()
        assert token not in "".join(lines)
        assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
        until(lambda: (folder / "state" / "ready.json").exists(), what="the runner")
        provider = get_provider(f"runner:http://127.0.0.1:{port}", tmp_path / "home", token)
        machine = await provider.machine("")
        assert machine.root == str(folder / "workspace")

        async def announce(ref):
            pass

        sandbox = await provider.create(SandboxSpec("s1", "", {}), announce)
        assert (await sandbox.exec("pwd")).out == f"{folder / 'workspace'}\n"
        assert "TOKEN" not in (await sandbox.exec("env")).out
        await sandbox.aclose()
        await provider.destroy(sandbox.ref)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "nowhere"], "--host must be an address"),
        (["--port", "0"], "--port must be from 1"),
    ],
)
def test_a_bad_address_is_one_line(start, tmp_path, arguments, words):
    _, told = start(str(tmp_path / "box"), *arguments).communicate(timeout=30)
    assert told.startswith(f"session-widgets: {words}")
    assert not (tmp_path / "box").exists()


def test_a_directory_of_something_else_is_left_alone(start, tmp_path):
    (tmp_path / "photo").write_text("x")
    _, told = start(str(tmp_path)).communicate(timeout=30)
    assert "holds files that are not a runner's" in told
    assert [path.name for path in tmp_path.iterdir()] == ["photo"]


def test_a_taken_port_is_one_line(start, tmp_path):
    port = str(free_port())
    start(str(tmp_path / "one"), "--port", port)
    until(lambda: (tmp_path / "one" / "state" / "ready.json").exists(), what="the first")
    process = start(str(tmp_path / "two"), "--port", port)
    _, told = process.communicate(timeout=30)
    assert told == f"runner: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    assert process.returncode == 2


def test_a_public_address_comes_with_a_warning(start, tmp_path):
    process = start(str(tmp_path / "box"), "--host", "0.0.0.0", "--port", str(free_port()))
    lines = [process.stdout.readline() for _ in range(5)]
    assert "not encrypted" in lines[4]
    assert "ssh" not in "".join(lines)
