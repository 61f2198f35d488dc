"""A machine elsewhere: a container with a runner. It shares no file with this one; its port is published."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import socket
import tarfile
from pathlib import Path
from typing import Any

import httpx

from session_widgets._sandboxes import SandboxProvider, get_provider
from session_widgets._sandboxes.docker_engine import engine
from session_widgets._sandboxes.images import build_context, tag_of
from tests.support.waiting import until

PORT = 2468
START = """
set -e
if [ ! -d /box ]; then
  mkdir -m 700 -p /box/state
  chown 1000:1000 /workspace /box/state
  chgrp 1001 /box
  chmod 710 /box
fi
cp /config.json /box/config.json
exec /opt/session-widgets/bin/python -I -m session_widgets.runner --config /box/config.json
"""


class Box:
    """Started on entry, removed on exit. Agents run as another user than the runner, as in a docker sandbox."""

    has_two_users = True

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Box:
        self._engine = engine()
        self._docker = self._engine.__enter__()
        self._container = self._docker.containers.create(
            tag_of(build_context()),
            entrypoint=["/usr/bin/tini", "--", "/bin/sh", "-c", START],
            user="0:1001",
            ports={f"{PORT}/tcp": ("127.0.0.1", self.port)},
            cap_drop=["ALL"],
            cap_add=["SETUID", "SETGID", "KILL", "DAC_OVERRIDE", "CHOWN"],
        )
        self._container.put_archive("/", _packed("config.json", json.dumps(self._config()).encode()))
        try:
            self.start()
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        log = self._container.logs().decode(errors="replace")
        self._container.remove(force=True, v=True)
        self._engine.__exit__(None, None, None)
        assert kind is not None or "Traceback" not in log, log

    def start(self) -> None:
        """Start it, also again after `kill`."""
        self._container.start()
        until(self._answers, seconds=30, what="the runner in the box")

    def kill(self) -> None:
        """SIGKILL everything in it."""
        self._container.kill()

    @property
    def mounts(self) -> list[Any]:
        """What it shares with this machine."""
        return list(self._container.attrs["Mounts"])

    @property
    def hostname(self) -> str:
        return str(self._container.attrs["Config"]["Hostname"])

    def provider(self, home: Path) -> SandboxProvider:
        """A provider for it."""
        return get_provider(f"runner:{self.url}", home, self.token)

    @property
    def name(self) -> str:
        """As `open_session` accepts it."""
        return f"runner:{self.url}"

    def copy(self, folder: Path) -> Path:
        """Copy the workspace below `folder`, past the runner; return where it is."""
        shutil.rmtree(folder / "workspace", ignore_errors=True)
        pieces, _ = self._container.get_archive("/workspace")
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            tar.extractall(folder, filter="fully_trusted")
        return folder / "workspace"

    def has(self, name: str) -> bool:
        """Whether a file is in the workspace."""
        return self.run(f"test -e /workspace/{name} && echo yes") == "yes\n"

    def run(self, command: str) -> str:
        """Run a shell command in it, as root, past the runner."""
        return str(self._container.exec_run(["sh", "-c", command], user="0:0").output.decode())

    def _config(self) -> dict[str, Any]:
        return {
            "root": "/workspace",
            "state": "/box/state",
            "host": "0.0.0.0",
            "port": PORT,
            "token": self.token,
            "nonce": secrets.token_hex(8),
            "claims": True,
            "harnesses": "/harnesses",
            "idle_seconds": 0,
            "user": [1000, 1000],
            "limits": {"maxRunTimeoutMs": 0},
        }

    def _answers(self) -> bool:
        self._container.reload()
        assert self._container.status == "running", self._container.logs().decode()
        headers = {"authorization": f"Bearer {self.token}"}
        try:
            return httpx.get(f"{self.url}/v1/health", headers=headers, trust_env=False, timeout=2).is_success
        except httpx.TransportError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _packed(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        tar.addfile(member, io.BytesIO(content))
    return target.getvalue()
