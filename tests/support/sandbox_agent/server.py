"""Start the sandbox-agent binary for tests, with agents of our own behind its fixed agent names."""

import os
import secrets
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from session_widgets.model import Endpoint

HERE = Path(__file__).parent


def binary() -> Path:
    """Path of the server program that npm installed for this platform."""
    found = next(HERE.glob("node_modules/@sandbox-agent/cli-*/bin/sandbox-agent"), None)
    if found is None:
        raise FileNotFoundError(
            "no sandbox-agent for this platform: npm ci --ignore-scripts --prefix tests/support/sandbox_agent"
        )
    return found


@contextmanager
def sandbox_agent(
    home: Path, agents: Mapping[str, Sequence[str]], env: Mapping[str, str] | None = None, before: Sequence[str] = ()
) -> Iterator[Endpoint]:
    """Run the server on a free port until the block ends; then kill its whole process group.

    Args:
        home: an empty directory for everything it writes.
        agents: command for each agent; only names that it knows by heart work (claude, codex, pi, mock, ...).
        env: added to the server's environment, which its agents get.
        before: words in front of its command.
    """
    launchers = home / "data" / "sandbox-agent" / "bin" / "agent_processes"
    launchers.mkdir(parents=True)
    for name, command in agents.items():
        launcher = launchers / f"{name}-acp"
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        launcher.chmod(0o755)
        program = launchers.parent / name  # asked for, never run
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    program = binary()
    program.chmod(0o755)  # npm leaves that to an install script
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "SANDBOX_AGENT_REQUIRE_PREINSTALL": "1",
        **(env or {}),
    }
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(  # the token in argv is how this server takes it; it guards one test's loopback port
            [
                *before,
                program,
                "server",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--token",
                token,
                "--no-telemetry",
            ],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    endpoint = Endpoint(f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {token}"})
    try:
        wait_healthy(endpoint, server)
        yield endpoint
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_healthy(endpoint: Endpoint, server: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """Return when the server answers, raise if it ends or does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"{endpoint.url}/v1/health", headers=endpoint.headers, trust_env=False).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"no healthy server after {seconds} s, exit code {server.poll()}")
