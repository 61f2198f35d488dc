"""The `local` provider: a runner of its own process group on this machine. It isolates nothing."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import psutil

from session_widgets.errors import SandboxError, SandboxGone, TransportError
from session_widgets.model import Capability, Endpoint, SandboxRef
from session_widgets.sandboxes.contract import Announce, SandboxInfo, SandboxSpec
from session_widgets.sandboxes.runner_client import RunnerClient

START_SECONDS = 20
STOP_SECONDS = 5
MARK = "SESSION_WIDGETS_RUNNER"
INHERITED = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
    "VIRTUAL_ENV", "CONDA_PREFIX", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
}  # fmt: skip


class LocalSandbox:
    """A runner on this machine."""

    def __init__(self, ref: SandboxRef, workspace: str, endpoint: Endpoint) -> None:
        self.ref = ref
        self.workspace = workspace
        self.runner = RunnerClient(endpoint, workspace)
        self.exec = self.runner.exec
        self.read = self.runner.read
        self.write = self.runner.write

    async def endpoint(self, port: int | None = None) -> Endpoint:
        """Return the runner's endpoint, or a port of this machine."""
        return self.runner.endpoint if port is None else Endpoint(f"http://127.0.0.1:{port}")

    async def extend(self, seconds: float) -> None:
        """Any request moves the idle deadline; there is no other."""

    async def aclose(self) -> None:
        """Close the connections; the runner goes on."""
        await self.runner.aclose()


class LocalProvider:
    """Runs each session's runner as a process of this machine. Its records live in `home/sandboxes`."""

    name = "local"
    capabilities = Capability.EXTEND

    def __init__(self, home: Path) -> None:
        self._root = home / "sandboxes"

    async def create(self, spec: SandboxSpec, announce: Announce) -> LocalSandbox:
        """Start a runner on `spec.workspace`."""
        ref = SandboxRef(self.name, uuid4().hex[:12])
        await announce(ref)
        place = self._place(ref)
        place.mkdir(parents=True, mode=0o700)
        made = {
            "session": spec.session_id,
            "owner": spec.owner,
            "created": datetime.now(UTC).isoformat(),
            "env": dict(spec.env),
            "config": {
                "root": spec.workspace,
                "state": str(place / "state"),
                "host": "127.0.0.1",
                "port": 0,
                "idle_seconds": spec.idle_seconds,
                "agents": spec.agents,
            },
        }
        _write_private(place / "sandbox.json", made)
        try:
            return await self.attach(ref)
        except BaseException:
            await asyncio.shield(self.destroy(ref))
            raise

    async def attach(self, ref: SandboxRef) -> LocalSandbox:
        """Reconnect to the runner, or start it again on the same workspace."""
        sandbox = await asyncio.to_thread(self._start_if_stopped, ref)
        try:
            await sandbox.runner.health()
        except TransportError:
            await sandbox.aclose()
            sandbox = await asyncio.to_thread(self._start_if_stopped, ref)
            await sandbox.runner.health()
        return sandbox

    async def park(self, ref: SandboxRef) -> SandboxRef:
        """Stop the runner and everything that it started."""
        await asyncio.to_thread(self._stop, ref, remove=False)
        return ref

    async def destroy(self, ref: SandboxRef) -> bool:
        """Stop the runner and remove its records; the workspace stays."""
        place = self._place(ref)
        if not place.exists():
            return False
        await asyncio.to_thread(self._stop, ref, remove=True)
        return True

    async def list(self, session_id: str | None = None) -> AsyncIterator[SandboxInfo]:
        """Yield the sandboxes recorded under this home."""
        for file in sorted(self._root.glob("*/sandbox.json")):
            made = _read(file)
            if made and session_id in {None, made["session"]}:
                yield SandboxInfo(
                    ref=SandboxRef(self.name, file.parent.name),
                    session_id=made["session"],
                    owner=made["owner"],
                    running=_runner_process(file.parent) is not None,
                    created_at=datetime.fromisoformat(made["created"]),
                    expires_at=None,
                )

    async def aclose(self) -> None:
        """Hold nothing, release nothing."""

    def _place(self, ref: SandboxRef) -> Path:
        if ref.provider != self.name or not ref.id.isalnum():
            raise SandboxGone(f"{ref} is not a sandbox of the provider 'local'.")
        return self._root / ref.id

    def _start_if_stopped(self, ref: SandboxRef) -> LocalSandbox:
        place = self._place(ref)
        with _locked(place):
            made = _read(place / "sandbox.json")
            if made is None:
                raise SandboxGone(f"sandbox {ref} no longer exists on this machine.")
            if _runner_process(place) is None:
                self._launch(place, made)
            config, ready = _read(place / "config.json"), _read(place / "state" / "ready.json")
            if config is None or ready is None:
                raise SandboxError(f"the records of {ref} are incomplete; park the session and try again.")
            endpoint = Endpoint(f"http://127.0.0.1:{ready['port']}", {"authorization": f"Bearer {config['token']}"})
            return LocalSandbox(ref, config["root"], endpoint)

    def _launch(self, place: Path, made: dict[str, Any]) -> None:
        self._kill_leftovers(place)
        env = {k: v for k, v in os.environ.items() if k in INHERITED or k.startswith("LC_")} | made["env"]
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
        nonce = secrets.token_hex(16)
        config = made["config"] | {"token": secrets.token_urlsafe(32), "nonce": nonce}
        root, state, log = Path(config["root"]), place / "state", place / "runner.log"
        root.mkdir(parents=True, exist_ok=True)
        state.mkdir(mode=0o700, exist_ok=True)  # journals of an earlier runner stay: not all of it may be stored yet
        (state / "ready.json").unlink(missing_ok=True)
        _write_private(place / "config.json", config)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "session_widgets.runner", "--config", str(place / "config.json")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=root,
                env=env,
                start_new_session=True,
            )
        _reap()
        _CHILDREN[process.pid] = process
        started = psutil.Process(process.pid).create_time()
        _write_private(place / "process.json", {"pid": process.pid, "started": started})
        _wait_ready(process, state / "ready.json", log)

    def _stop(self, ref: SandboxRef, *, remove: bool) -> None:
        place = self._place(ref)
        if not place.exists():
            return
        with _locked(place):
            process = _runner_process(place)
            if process is not None:
                _terminate(process)
            self._kill_leftovers(place)
            if remove:  # under the lock, or somebody could start it half removed
                shutil.rmtree(place, ignore_errors=True)

    def _kill_leftovers(self, place: Path) -> None:
        """Kill what an earlier runner left behind, wherever it moved: every process that carries its mark."""
        config = _read(place / "config.json")
        if config is None:
            return
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.uids().real == os.getuid() and process.environ().get(MARK) == config["nonce"]:
                    process.kill()


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}  # runners that this process started: ours to reap


def _reap() -> None:
    """Forget the runners that have left by themselves, or that another process has stopped."""
    for pid, process in list(_CHILDREN.items()):
        if process.poll() is not None:
            del _CHILDREN[pid]


def _wait_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:].strip()
            what = f"ended with code {process.returncode}" if process.returncode is not None else "did not answer"
            process.kill()
            raise SandboxError(f"the local runner {what} within {START_SECONDS} s. Its log ends:\n{tail}")
        time.sleep(0.005)


def _runner_process(place: Path) -> psutil.Process | None:
    """Return the live runner of this record; a reused pid is not taken for it."""
    record = _read(place / "process.json")
    if record is None:
        return None
    try:
        process = psutil.Process(record["pid"])
        same = process.create_time() == record["started"]
    except psutil.NoSuchProcess:
        return None
    return process if same and _is_running(process) else None


def _terminate(process: psutil.Process) -> None:
    """TERM lets the runner stop its agents in order; KILL takes its group if it does not."""
    with suppress(psutil.NoSuchProcess):
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    while _is_running(process):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return
        time.sleep(0.01)


def _is_running(process: psutil.Process) -> bool:
    """Whether a process lives; a zombie that its parent has not reaped yet does not."""
    if child := _CHILDREN.get(process.pid):
        child.poll()
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Let one process at a time start or stop this sandbox."""
    try:
        handle = os.open(place / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except FileNotFoundError:
        raise SandboxGone(f"sandbox 'local:{place.name}' no longer exists on this machine.") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = orjson.loads(file.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return value


def _write_private(file: Path, value: object) -> None:
    """Replace a file that only its owner can read, atomically."""
    partial = file.with_suffix(".partial")
    handle = os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as target:
        target.write(orjson.dumps(value))
    partial.replace(file)
