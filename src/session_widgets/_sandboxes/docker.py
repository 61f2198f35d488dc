"""The `docker` provider: a container per session on this machine's Docker engine (docs/sandboxes.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from uuid import uuid4

from session_widgets._sandboxes.containers import PORT, ROOT, Containers, Running
from session_widgets._sandboxes.contract import Announce, SandboxInfo, SandboxSpec
from session_widgets._sandboxes.docker_engine import check_sdk
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets.errors import SandboxError, SandboxGone, TransportError
from session_widgets.host.machine import processor
from session_widgets.model import Capability, Endpoint, Machine, SandboxRef

HEALTH_SECONDS = 10


class DockerSandbox:
    """A runner in a container."""

    deadline: float | None = None

    def __init__(self, ref: SandboxRef, running: Running) -> None:
        self.ref = ref
        self.workspace = ROOT
        self._ports = running.ports
        self.runner = RunnerClient(Endpoint(running.url, {"authorization": f"Bearer {running.token}"}), ROOT)
        self.exec = self.runner.exec
        self.read = self.runner.read
        self.write = self.runner.write

    async def endpoint(self, port: int | None = None) -> Endpoint:
        """Return the runner's endpoint, or the address of a port that was named at creation."""
        if port in {None, PORT}:
            return self.runner.endpoint
        if published := self._ports.get(port or 0):
            return Endpoint(f"http://127.0.0.1:{published}")
        raise SandboxError(
            f"this container does not publish port {port}: name it in Sandbox('docker', ports=[{port}])."
        )

    def tree(self) -> RunnerTree:
        """Return the workspace as a file tree."""
        return RunnerTree(self.runner.endpoint, self.workspace, int(self.ref.id, 16))

    async def extend(self, seconds: float) -> None:
        """Any request extends the idle deadline; there is no other deadline."""

    async def aclose(self) -> None:
        """Close the connections; the container keeps running."""
        await self.runner.aclose()


class DockerProvider:
    """Runs each session's runner in a container. Its records are in `home/containers`."""

    name = "docker"
    capabilities = Capability.ISOLATED | Capability.EXTEND | Capability.SHARES_FILES | Capability.PORTS
    options = frozenset({"image", "cpus", "memory", "env", "mounts", "idle", "ports", "network", "setup"})

    def __init__(self, home: Path) -> None:
        check_sdk()
        self._containers = Containers(home / "containers")

    def check(self, harness: str, location: str) -> None:
        """Accepts any harness and any workspace."""

    async def machine(self, workspace: str) -> Machine:
        """Return the machine that the image describes."""
        return Machine(
            root=ROOT,
            python="/opt/session-widgets/bin/python",
            node="/opt/node/bin/node",
            path="/opt/venv/bin:/opt/harnesses/bin:/opt/node/bin:/usr/local/bin:/usr/bin:/bin",
            platform=f"linux-{processor()}",
            harnesses="mounted",
            harness_folder="/opt/harness",
        )

    async def create(self, spec: SandboxSpec, announce: Announce) -> DockerSandbox:
        """Create a container that sees `spec.workspace` as `/workspace`; makes a missing image first."""
        ref = SandboxRef(self.name, uuid4().hex[:12])
        await announce(ref)
        cancelled = Event()
        try:
            images = await asyncio.to_thread(self._containers.images, spec, cancelled)
        except BaseException:
            cancelled.set()
            raise
        making = asyncio.create_task(asyncio.to_thread(self._containers.make, ref.id, spec, *images))
        try:
            await asyncio.shield(making)
            return await self.attach(ref)
        except BaseException:
            await asyncio.shield(self._undo(ref, making))
            raise

    async def _undo(self, ref: SandboxRef, making: asyncio.Task[None]) -> None:
        """Remove the container of a failed or cancelled `create`, once the engine has finished creating it."""
        with suppress(Exception):
            await making
        with suppress(SandboxError):
            await self.destroy(ref)

    async def attach(self, ref: SandboxRef) -> DockerSandbox:
        """Reconnect to the container, or restart it with its files and journals."""
        sandbox = await self._connect(ref)
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await sandbox.runner.health()
        except (TransportError, TimeoutError):
            await sandbox.aclose()
            await self.park(ref)
            sandbox = await self._connect(ref)
            await sandbox.runner.health()
        return sandbox

    async def _connect(self, ref: SandboxRef) -> DockerSandbox:
        return DockerSandbox(ref, await asyncio.to_thread(self._containers.start_if_stopped, self._id(ref)))

    async def park(self, ref: SandboxRef) -> SandboxRef:
        """Stop the container; its disk, the workspace and the journals stay."""
        await asyncio.to_thread(self._containers.stop, self._id(ref))
        return ref

    end_processes = park

    async def destroy(self, ref: SandboxRef) -> bool:
        """Remove the container and its records; the workspace stays."""
        return await asyncio.to_thread(self._containers.remove, self._id(ref))

    async def list(self, session_id: str | None = None) -> AsyncIterator[SandboxInfo]:
        """Yield the recorded containers of this home, and its containers without a record."""
        for info in await asyncio.to_thread(self._containers.list):
            if session_id in {None, info.session_id}:
                yield info

    async def aclose(self) -> None:
        """Does nothing: the provider holds no connections."""

    def _id(self, ref: SandboxRef) -> str:
        if ref.provider != self.name or not ref.id.isalnum():
            raise SandboxGone(f"{ref} is not a sandbox of the provider 'docker'.")
        return ref.id
