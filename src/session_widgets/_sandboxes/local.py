"""The `local` provider: a runner in its own process group on this machine. It isolates nothing, unless it confines."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from session_widgets._sandboxes.confinement import confinement, environment, ways_out
from session_widgets._sandboxes.contract import RUNNER_LIMITS, Announce, SandboxInfo, SandboxSpec
from session_widgets._sandboxes.network import OPEN
from session_widgets._sandboxes.records import CONFIG, RECORD, TOKEN, alone, info, made_of, recorded
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets.errors import SandboxError, SandboxGone, TransportError
from session_widgets.host.daemon import Daemon, is_running, read_json, write_private
from session_widgets.host.machine import this_platform
from session_widgets.model import Capability, Endpoint, Machine, SandboxRef

START_SECONDS = 20
STOP_SECONDS = 5
MARK = "SESSION_WIDGETS_RUNNER"
INHERITED = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
    "VIRTUAL_ENV", "CONDA_PREFIX", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
}  # fmt: skip


class LocalSandbox:
    """A runner on this machine."""

    deadline: float | None = None

    def __init__(self, ref: SandboxRef, workspace: str, endpoint: Endpoint, *, closed: bool = False) -> None:
        self.ref = ref
        self.workspace = workspace
        self._closed = closed
        self.runner = RunnerClient(endpoint, workspace)
        self.exec = self.runner.exec
        self.read = self.runner.read
        self.write = self.runner.write

    async def endpoint(self, port: int | None = None) -> Endpoint:
        """Return the runner's endpoint, or a port of this machine."""
        if port is not None and self._closed:
            raise SandboxError(f"port {port} is not reachable: with network= the sandbox has a network of its own.")
        return self.runner.endpoint if port is None else Endpoint(f"http://127.0.0.1:{port}")

    def tree(self) -> RunnerTree:
        """Return the workspace as a file tree."""
        return RunnerTree(self.runner.endpoint, self.workspace, int(self.ref.id, 16))

    async def extend(self, seconds: float) -> None:
        """Any request extends the idle deadline; there is no other deadline."""

    async def aclose(self) -> None:
        """Close the connections; the runner keeps running."""
        await self.runner.aclose()


class LocalProvider:
    """Runs each session's runner as a process of this machine. Its records are in `home/sandboxes`."""

    name = "local"
    capabilities = Capability.EXTEND | Capability.SHARES_FILES
    options = frozenset({"env", "idle", "confine", "mounts", "network"})

    def __init__(self, home: Path) -> None:
        self._root = home / "sandboxes"
        self._home = home

    def check(self, harness: str, location: str) -> None:
        """Accepts any harness and any workspace."""

    async def machine(self, workspace: str) -> Machine:
        """Return this machine; the user's own cache is not ours."""
        return this_machine(workspace, cache=self._home / "cache")

    async def create(self, spec: SandboxSpec, announce: Announce) -> LocalSandbox:
        """Start a runner on `spec.workspace`."""
        if spec.network != OPEN and not spec.confine:
            raise SandboxError(f"'local' without confine cannot limit the network; asked for {spec.network!r:.80}.")
        ways = ways_out(spec.network, spec.model_hosts)
        ref = SandboxRef(self.name, uuid4().hex[:12])
        await announce(ref)
        place = self._place(ref)
        place.mkdir(parents=True, mode=0o700)
        made = {
            "session": spec.session_id,
            "owner": spec.owner,
            "created": datetime.now(UTC).isoformat(),
            "confine": {"mounts": dict(spec.mounts), "ways": ways} if spec.confine else None,
            "config": {
                "root": spec.workspace,
                "state": str(place / "state"),
                "host": "127.0.0.1",
                "port": 0,
                "idle_seconds": spec.idle_seconds,
                "env": {**(environment(ways) if spec.confine else {}), **spec.env},
                "agents": spec.agents,
            },
        }
        write_private(place / RECORD, made)
        try:
            return await self.attach(ref)
        except BaseException:
            await asyncio.shield(self.destroy(ref))
            raise

    async def attach(self, ref: SandboxRef) -> LocalSandbox:
        """Reconnect to the runner, or restart it on the same workspace."""
        sandbox = await asyncio.to_thread(self._start_if_stopped, ref)
        try:
            await sandbox.runner.health()
        except TransportError:
            await sandbox.aclose()
            sandbox = await asyncio.to_thread(self._start_if_stopped, ref)
            await sandbox.runner.health()
        return sandbox

    async def park(self, ref: SandboxRef) -> SandboxRef:
        """Stop the runner and all its processes."""
        await asyncio.to_thread(self._stop, ref, remove=False)
        return ref

    end_processes = park

    async def destroy(self, ref: SandboxRef) -> bool:
        """Stop the runner and remove its records; the workspace stays."""
        place = self._place(ref)
        if not place.exists():
            return False
        await asyncio.to_thread(self._stop, ref, remove=True)
        return True

    async def list(self, session_id: str | None = None) -> AsyncIterator[SandboxInfo]:
        """Yield the sandboxes recorded under this home."""
        for place, made in recorded(self._root):
            if session_id in {None, made["session"]}:
                yield info(self.name, place.name, made, running=Daemon(place).process() is not None)

    async def aclose(self) -> None:
        """Does nothing: the provider holds no connections."""

    def _place(self, ref: SandboxRef) -> Path:
        if ref.provider != self.name or not ref.id.isalnum():
            raise SandboxGone(f"{ref} is not a sandbox of the provider 'local'.")
        return self._root / ref.id

    def _start_if_stopped(self, ref: SandboxRef) -> LocalSandbox:
        place = self._place(ref)
        with alone(place, self.name):
            made = made_of(place, self.name)
            ready = self._found(place) or self._launch(place, made)
            known = read_json(place / TOKEN)
            assert known is not None, "it is written before a runner is started"
            endpoint = Endpoint(f"http://127.0.0.1:{ready['port']}", {"authorization": f"Bearer {known['token']}"})
            closed = bool(made.get("confine")) and made["confine"]["ways"]["closed"]
            return LocalSandbox(ref, made["config"]["root"], endpoint, closed=closed)

    def _found(self, place: Path) -> dict[str, Any] | None:
        """Return the recorded runner's address, once it listens; its starter may have died before it listened."""
        daemon = Daemon(place)
        runner = daemon.process()
        if runner is None:
            return None
        ready = _ready(place, lambda: is_running(runner)) if (place / TOKEN).exists() else None
        if ready is None:
            daemon.stop(STOP_SECONDS)
        return ready

    def _launch(self, place: Path, made: dict[str, Any]) -> dict[str, Any]:
        self._kill_leftovers(place)
        env = inherited_environment()
        known = {"token": secrets.token_urlsafe(32), "nonce": secrets.token_hex(16)}
        root, state = Path(made["config"]["root"]), place / "state"
        root.mkdir(parents=True, exist_ok=True)
        state.mkdir(mode=0o700, exist_ok=True)  # an earlier runner's journals stay: some events may not be stored yet
        (state / "ready.json").unlink(missing_ok=True)
        setting = made["config"] | known | {"limits": RUNNER_LIMITS}
        if confine := made.get("confine"):
            setting["confinement"] = confinement(root, place, self._home, made["config"]["agents"], **confine)
        write_private(place / TOKEN, known)
        write_private(place / CONFIG, setting)
        argv = [sys.executable, "-P", "-m", "session_widgets.runner", "--config", str(place / CONFIG)]
        daemon = Daemon(place)
        process = daemon.start(argv, env=env, cwd=root)
        ready = _ready(place, lambda: process.poll() is None)
        if ready is None:
            what = f"ended with code {process.returncode}" if process.returncode is not None else "did not answer"
            process.kill()
            raise SandboxError(f"the local runner {what} within {START_SECONDS} s. Its log ends:\n{daemon.tail()}")
        return ready

    def _stop(self, ref: SandboxRef, *, remove: bool) -> None:
        place = self._place(ref)
        if not place.exists():
            return
        with alone(place, self.name):
            daemon = Daemon(place)
            runner = daemon.process()
            below = runner.children(recursive=True) if runner else []  # a hanging runner does not kill them itself
            daemon.stop(STOP_SECONDS)
            self._kill_leftovers(place)
            for process in below:
                with suppress(psutil.Error):
                    process.kill()
            if remove:  # under the lock, otherwise another process could start it half removed
                shutil.rmtree(place, ignore_errors=True)

    def _kill_leftovers(self, place: Path) -> None:
        """Kill all processes of an earlier runner, in any session: every process with its mark."""
        known = read_json(place / TOKEN)
        if known is None:
            return
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.uids().real == os.getuid() and process.environ().get(MARK) == known["nonce"]:
                    process.kill()


def inherited_environment() -> dict[str, str]:
    """Return the variables of this process for a runner: no key is among them."""
    env = {k: v for k, v in os.environ.items() if k in INHERITED or k.startswith("LC_")}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    return env


def this_machine(root: str, cache: Path) -> Machine:
    """Return this host as the machine of a sandbox."""
    return Machine(
        root=root,
        python=sys.executable,
        node=shutil.which("node"),
        path=os.environ.get("PATH", os.defpath),
        platform=this_platform(),
        harnesses="host",
        cache=str(cache),
    )


def _ready(place: Path, lives: Callable[[], bool]) -> dict[str, Any] | None:
    """Return the runner's `ready.json` once it listens; None if it exits, or is silent for START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    while (ready := read_json(place / "state" / "ready.json")) is None:
        if not lives() or time.monotonic() > deadline:
            return None
        time.sleep(0.005)
    return ready
