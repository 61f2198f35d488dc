"""Start a sandbox-agent 0.4.2 on this machine, with launchers for our installed harnesses."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from session_widgets._sandboxes.local import INHERITED
from session_widgets.errors import MissingDependency, SandboxError
from session_widgets.host.daemon import Daemon, read_json, write_private

VERSION = "0.4.2"
PROGRAM = "SESSION_WIDGETS_SANDBOX_AGENT"
MARK = "SESSION_WIDGETS_SANDBOX_AGENT_MARK"
AGENTS = ("amp", "claude", "codex", "cursor", "mock", "opencode", "pi")
"""The agent names that this release of sandbox-agent accepts."""
OURS = ("HOME", "XDG_DATA_HOME")
"""Variables for the server itself; the launcher sets the agent's own."""
START_SECONDS = 20
STOP_SECONDS = 2
LONGEST_REQUEST_MS = 30 * 24 * 3600 * 1000
"""After its own timeout the server never answers a request; so the timeout is unlimited."""


def find_program() -> str:
    """Return the sandbox-agent of this machine.

    Raises:
        MissingDependency: it is missing, or of another version.
    """
    found = os.environ.get(PROGRAM) or shutil.which("sandbox-agent")
    remedy = f"npm install --global @sandbox-agent/cli@{VERSION}, or set {PROGRAM} to its program"
    if found is None:
        raise MissingDependency(f"sandbox='sandbox-agent' needs the program sandbox-agent {VERSION}: {remedy}.")
    try:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingDependency(f"{found} does not start: {error}. Get another: {remedy}.") from error
    if said.split()[-1:] != [VERSION]:
        raise MissingDependency(f"{found} is {said.strip()!r:.60}, and {VERSION} is needed: {remedy}.")
    return found


def start(place: Path, made: Mapping[str, Any]) -> None:
    """Start the server of `place` and wait until it answers; `server.json` has its address. The caller holds the lock.

    Raises:
        SandboxError: it did not start.
        MissingDependency: sandbox-agent is not installed.
    """
    stop(place)
    program = find_program()
    agents: Mapping[str, Mapping[str, Any]] = made["agents"]
    port, token, mark = str(_free_port()), secrets.token_hex(32), secrets.token_hex(16)
    data = place / "data"
    write_launchers(data, agents)
    environment = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("LC_")}
    for entry in agents.values():
        environment |= {name: value for name, value in entry["env"].items() if name not in OURS}
    environment |= dict(made["env"]) | {
        MARK: mark,
        "XDG_DATA_HOME": str(data),
        "SANDBOX_AGENT_REQUIRE_PREINSTALL": "1",
        "SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS": str(LONGEST_REQUEST_MS),
        "SANDBOX_AGENT_LOG_STDOUT": "1",
    }
    write_private(place / "server.json", {"port": port, "token": token, "mark": mark})
    argv = [program, "server", "--host", "127.0.0.1", "--port", port, "--no-telemetry"]
    daemon = Daemon(place)
    process = daemon.start([*argv, "--token", token], env=environment, cwd=Path(made["workspace"]))
    headers = {"authorization": f"Bearer {token}"}
    deadline = time.monotonic() + START_SECONDS
    while not _answers(f"http://127.0.0.1:{port}/v1/health", headers):
        if process.poll() is not None or time.monotonic() > deadline:
            what = f"ended with code {process.returncode}" if process.returncode is not None else "did not answer"
            stop(place)
            raise SandboxError(f"sandbox-agent {what} within {START_SECONDS} s. Its log ends:\n{daemon.tail()}")
        time.sleep(0.01)


def stop(place: Path) -> None:
    """Stop the server and all its processes: its agents do not exit with it."""
    Daemon(place).stop(STOP_SECONDS)
    if (server := read_json(place / "server.json")) is None:
        return
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == os.getuid() and process.environ().get(MARK) == server["mark"]:
                process.kill()


def write_launchers(data: Path, agents: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a script for each agent where the server looks for installed ones. It contains no keys."""
    programs = data / "sandbox-agent" / "bin"
    folder = programs / "agent_processes"
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    for name, entry in agents.items():
        lines = ["unset XDG_DATA_HOME"]
        lines += [f"export {own}={shlex.quote(entry['env'][own])}" for own in OURS if own in entry["env"]]
        _write_script(folder / f"{name}-acp", *lines, f'exec {shlex.join(entry["command"])} "$@"')
        _write_script(programs / name, f"echo only {name}-acp is run >&2; exit 1")  # must exist


def _write_script(file: Path, *lines: str) -> None:
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o700)


def _answers(url: str, headers: Mapping[str, str]) -> bool:
    try:
        return httpx.get(url, headers=dict(headers), trust_env=False, timeout=2).is_success
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
