"""The contract of a sandbox provider. `conformance.py` checks each sentence of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from session_widgets._sandboxes.network import OPEN, Network
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets.model import Capability, Endpoint, ExecResult, Machine, SandboxRef

Announce = Callable[[SandboxRef], Awaitable[None]]

IDLE_SECONDS = 1800
RUNNER_LIMITS = {"maxRunTimeoutMs": 0}
"""Limits of a runner that differ from its defaults: `Sandbox.exec` accepts any timeout, and None."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Specification of a new sandbox.

    Attributes:
        session_id: its session; becomes a label.
        workspace: absolute directory on this host, which the sandbox sees at `Machine.root`; of no meaning without
            `Capability.SHARES_FILES`.
        agents: launch entries for the runner's configuration, by harness name.
        owner: its creator (an installation id); becomes a label.
        idle_seconds: after this time without any activity, the sandbox parks itself.
        mounts: directories of this host that the sandbox may read, by their path inside the sandbox.
        image: image of the sandbox, if the provider has images; None: the provider's own.
        cpus: processors that it may use; None: the provider's default.
        memory: bytes that it may use; None: the provider's default.
        gpu: model of its graphics processor; None: none.
        setup: commands that are run once in a new sandbox, as root.
        ports: that programs in it will listen on, for `Sandbox.endpoint`.
        lifetime_seconds: after this time it ends or parks in any case; None: the provider's default.
        network: what it may reach: "open", "none" or a list, as `network.py` describes.
        model_hosts: addresses of the model's API, "name" or "name:port", which it may reach besides.
        confine: whether its programs see nothing of this machine but the workspace and the system's programs.
        progress: called with a short text when an operation takes time; called from any thread.
    """

    session_id: str
    workspace: str
    agents: Mapping[str, Mapping[str, Any]]
    owner: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    idle_seconds: int = IDLE_SECONDS
    mounts: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    cpus: float | None = None
    memory: int | None = None
    gpu: str | None = None
    setup: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    lifetime_seconds: int | None = None
    network: Network = OPEN
    model_hosts: tuple[str, ...] = ()
    confine: bool = False
    progress: Callable[[str], None] = field(default=lambda _: None, compare=False)


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """One sandbox in a listing; `expires_at` is when it parks itself without activity."""

    ref: SandboxRef
    session_id: str
    owner: str
    running: bool
    created_at: datetime
    expires_at: datetime | None


class Sandbox(Protocol):
    """A running sandbox with its runner.

    Attributes:
        deadline: seconds since 1970 UTC when it parks or ends whatever is done in it; None: there is no such time.
    """

    ref: SandboxRef
    workspace: str
    runner: RunnerClient
    deadline: float | None

    async def exec(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float | None = 60,
    ) -> ExecResult:
        """Run `command` with `sh -c` in the workspace.

        A non-zero exit is a result. Cancelling the call kills the command and all its children.

        Raises:
            ExecTimeout: it ran longer than `timeout` seconds and was killed.
            SandboxNotRunning: the sandbox is parked.
            SandboxGone: the sandbox no longer exists.
        """

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes of a workspace file from `offset`; all by default. Raises `NotFound`, `BadPath`."""

    async def write(self, path: str, data: bytes) -> None:
        """Replace a workspace file atomically, creating its parents. Raises `BadPath`, `LimitExceeded`."""

    async def endpoint(self, port: int | None = None) -> Endpoint:
        """Return the address of `port`, with the required headers; the runner's by default."""

    def tree(self) -> RunnerTree:
        """Return the workspace as a file tree, for a synchronisation with this host; the caller closes it."""

    async def extend(self, seconds: float) -> None:
        """Move the deadline to `seconds` from now; no-op without `Capability.EXTEND`."""

    async def aclose(self) -> None:
        """Close this client; the sandbox keeps running."""


class SandboxProvider(Protocol):
    """Creates, finds and destroys sandboxes.

    Attributes:
        options: names of the fields of `Sandbox` that it accepts.
    """

    name: str
    capabilities: Capability
    options: frozenset[str]

    def check(self, harness: str, location: str) -> None:
        """Raise `BadValue` if it cannot run this harness, or cannot use the workspace's location."""

    async def machine(self, workspace: str) -> Machine:
        """Return the machine of its sandboxes: it is asked before `create`, and the same for each of a session.

        Args:
            workspace: absolute directory on this host that the sandbox works on.
        """

    async def create(self, spec: SandboxSpec, announce: Announce) -> Sandbox:
        """Create a sandbox and return it with a healthy runner.

        `announce(ref)` is awaited as soon as the reference exists and before any slow operation, so that the caller
        can record it. If a later part fails, the sandbox is destroyed before the error is raised.
        """

    async def attach(self, ref: SandboxRef) -> Sandbox:
        """Return a running sandbox: reconnect, or start a parked one. Raises `SandboxGone` if neither is possible."""

    async def park(self, ref: SandboxRef) -> SandboxRef:
        """Stop it with all its processes, and keep its disk. Idempotent. Returns the reference for `attach`."""

    async def end_processes(self, ref: SandboxRef) -> SandboxRef:
        """End all its processes, and no more: `attach` reaches the files soon. As `park`, where that is cheap."""

    async def destroy(self, ref: SandboxRef) -> bool:
        """Stop it and remove everything but the workspace. Idempotent: False if it did not exist."""

    def list(self, session_id: str | None = None) -> AsyncIterator[SandboxInfo]:
        """Yield the sandboxes of this installation, or of one session."""

    async def aclose(self) -> None:
        """Release the provider's own connections."""
