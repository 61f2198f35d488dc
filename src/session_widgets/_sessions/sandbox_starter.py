"""Finds, makes and drops the sandbox of one session. Lives on the private loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import Sandbox, SandboxProvider, SandboxSpec
from session_widgets._sandboxes.contract import IDLE_SECONDS
from session_widgets._sandboxes.network import OPEN, elsewhere
from session_widgets._sandboxes.options import Sandbox as GivenOptions
from session_widgets._sessions.journal import note
from session_widgets._sessions.launching import Launch, prepare
from session_widgets._sessions.owner import user
from session_widgets._sessions.sandbox_options import SandboxOptions
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.tool_server import ToolServer
from session_widgets._sessions.workspace_manager import WorkspaceManager
from session_widgets.errors import SandboxGone, SandboxNotRunning, SessionWidgetsError
from session_widgets.host.data_directory import data_directory
from session_widgets.model import Capability, Machine, SandboxRef
from session_widgets.transcript.notes import SandboxStarted, SandboxStopped, WorkspaceAttached


class SandboxStarter:
    """The sandbox that is in use, if any, and how another one is made.

    Attributes:
        sandbox: in use in this process.
        provider: of its sandboxes.
        harness: the agent program.
        workspaces: the files.
        release_agent: disconnects from the agent; with True, its process is stopped first.
    """

    def __init__(
        self,
        state: SessionState,
        provider: SandboxProvider,
        harness: Harness,
        options: SandboxOptions,
        tools: ToolServer,
        release_agent: Callable[[bool], Awaitable[None]],
    ) -> None:
        self.sandbox: Sandbox | None = None
        self.provider = provider
        self.harness = harness
        self.workspaces = WorkspaceManager(state)
        self.release_agent = release_agent
        self._state = state
        self._options = options
        self._given: GivenOptions | None = None
        self._options_changes = 0
        self._tools = tools
        self._root: tuple[SandboxProvider, str] | None = None

    async def machine(self) -> Machine:
        """Return the machine of the session's sandboxes."""
        machine = await self.provider.machine(str(self._state.workspace.path))
        self._root = (self.provider, machine.root)
        return machine

    @property
    def root(self) -> str:
        """The workspace's path inside the sandbox; its path on this host until `machine` was asked for."""
        provider, root = self._root or (None, "")
        return root if provider is self.provider else str(self._state.workspace.path)

    @property
    def ref(self) -> SandboxRef | None:
        """The recorded sandbox."""
        ref = self._state.record.sandbox_ref
        return None if ref is None else SandboxRef.parse(ref)

    @property
    def at_rest(self) -> bool:
        """Whether there is no sandbox, or a parked one."""
        record = self._state.record
        return self.sandbox is None and (record.status == "parked" or record.sandbox_ref is None)

    def check_awake(self, wake: bool) -> None:
        """Raise `SandboxNotRunning` for a session at rest, unless it may be started."""
        if not wake and self.at_rest:
            raise SandboxNotRunning(f"session {self._state.record.id!r} is parked; its next prompt starts it again.")

    async def attach_workspace(self) -> None:
        """Bring the files up to date; a sandbox whose directory was replaced is parked."""
        remounted = await self.workspaces.attach()
        if remounted and (ref := self.ref) is not None:
            await self.release_agent(False)  # its end needs no record
            with suppress(SandboxGone):
                await self.provider.park(ref)  # its working directory no longer exists
            await self.drop()
        if remounted and (report := self._state.workspace.mount_report):
            where, how = self._state.workspace.location, self._state.workspace.attachment
            attached = WorkspaceAttached(location=where, attachment=how, mount_report=report)
            await self._state.journal.commit([note(attached)])

    async def attach_or_create(self, *, create: bool = True) -> Sandbox:
        """Return the recorded sandbox, or, if that is gone, a new one.

        Raises:
            SandboxNotRunning: it is gone, and `create` is False.
        """
        await self._state.journal.catch_up()  # another kernel may have created one
        launch = await self._launch()
        if (ref := self.ref) is not None:
            parked = not self._state.record.sandbox_running
            if parked and Capability.SHARES_FILES not in self.provider.capabilities:  # the others need no time
                self._state.activity.tell(f"Starting the parked sandbox at {self.provider.name}")
            try:
                sandbox = await self.provider.attach(ref)
            except SandboxGone:
                await self.provider.destroy(ref)  # the rest of its records
                await self._gone(ref)
                self.check_awake(create)
            else:
                if not self._state.record.sandbox_running:
                    started = SandboxStarted(ref=str(ref), launch=self._state.record.launch)  # its launch entry
                    await self._state.journal.commit([note(started)])
                return sandbox

        options = launch.sandbox or GivenOptions(self.provider.name)
        model = self.harness.model_hosts({**options.env, **launch.env})
        reached = model if self.provider.name == "local" else elsewhere(model)  # this loopback is its own
        hosts = () if options.network == OPEN else reached

        async def announce(ref: SandboxRef) -> None:
            started = SandboxStarted(ref=str(ref), launch=launch.fingerprint, model_hosts=hosts)
            record = self._state.record
            turn = record.turns if hosts and record.status == "running" else None  # the turn says it
            await self._state.journal.commit([note(started, turn=turn)])

        self.workspaces.expect_new_tree()
        spec = SandboxSpec(
            self._state.record.id,
            str(self._state.workspace.path),
            {self.harness.id: launch.entry},
            owner=user(),
            env=options.env,
            idle_seconds=options.idle_seconds or IDLE_SECONDS,
            mounts={**options.mounts, **launch.mounts},
            image=options.image,
            cpus=options.cpus,
            memory=options.memory_bytes,
            gpu=options.gpu,
            setup=tuple(options.setup),
            ports=tuple(options.ports),
            lifetime_seconds=options.lifetime_seconds,
            network=options.network if isinstance(options.network, str) else tuple(options.network),
            model_hosts=hosts,
            confine=options.confine,
            progress=self._state.activity.tell,
        )
        try:
            return await self.provider.create(spec, announce)
        except Exception:
            if (ref := self.ref) is not None:  # the provider has removed what there was of it
                with suppress(SessionWidgetsError):
                    await self._gone(ref)
            raise

    async def _gone(self, ref: SandboxRef) -> None:
        await self._state.journal.commit([note(SandboxStopped(ref=str(ref), reason="gone"))])

    async def _launch(self) -> Launch:
        changes = self._options_changes
        sandbox = await self._state.journal.ask(self._options.current, self.provider.name)
        self._given = sandbox if changes == self._options_changes else None
        launch = await asyncio.to_thread(prepare, self.harness, await self.machine(), data_directory())
        return replace(launch, sandbox=sandbox)

    def forget_options(self) -> None:
        """Read the sandbox's options again before the next prompt: they were changed."""
        self._given = None
        self._options_changes += 1

    async def outdated(self) -> SandboxRef | None:
        """Return a sandbox with another launch entry than the harness needs now, such as another key."""
        if self.ref is None or self._state.record.launch in {None, (await self._launch()).fingerprint}:
            return None
        return self.ref

    async def unchanged(self) -> Callable[[], bool] | None:
        """Return a blocking check whether the sandbox in use is not outdated; None if it is not known."""
        sandbox, given, record = self.sandbox, self._given, self._state.record
        if sandbox is None or given is None:
            return None
        if str(sandbox.ref) != record.sandbox_ref:  # another process made another one
            return None
        harness, machine, path, launch = self.harness, await self.machine(), self._state.workspace.path, record.launch

        def check() -> bool:
            if not path.is_dir():
                return False
            with suppress(SessionWidgetsError):  # the way through `probe_sandbox` reports it
                return launch in {None, replace(prepare(harness, machine, data_directory()), sandbox=given).fingerprint}
            return False

        return check

    async def replace(self, ref: SandboxRef) -> None:
        """Remove an outdated sandbox, so that another one is made."""
        await self.drop()
        await self.provider.destroy(ref)
        await self._state.journal.commit([note(SandboxStopped(ref=str(ref), reason="changed"))])

    async def destroy(self, ref: SandboxRef) -> None:
        """Remove the session's sandboxes."""
        await self.provider.destroy(ref)
        async for left in self.provider.list(self._state.record.id):  # of a kernel that died while creating one
            await self.provider.destroy(left.ref)

    async def drop(self) -> None:
        """Disconnect from the sandbox."""
        sandbox, self.sandbox = self.sandbox, None
        await self._tools.stop()
        self.workspaces.drop_tree()
        if sandbox is not None:
            await sandbox.aclose()
