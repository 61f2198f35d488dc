"""The sandbox of one session in this process, and the files in it. Lives on the private loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Literal

from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import Sandbox, SandboxProvider, SandboxSpec
from session_widgets._sandboxes.options import Sandbox as GivenOptions
from session_widgets._sessions.journal import note
from session_widgets._sessions.launching import Launch, prepare
from session_widgets._sessions.owner import user
from session_widgets._sessions.sandbox_options import SandboxOptions
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.tool_server import ToolServer
from session_widgets._sessions.workspace_manager import WorkspaceManager
from session_widgets.errors import (
    NotDurable,
    SandboxError,
    SandboxGone,
    SandboxNotRunning,
    SessionWidgetsError,
    TransportError,
)
from session_widgets.host.data_directory import data_directory
from session_widgets.host.manifest import Manifest
from session_widgets.model import Capability, Machine, SandboxRef
from session_widgets.transcript.notes import SandboxStarted, SandboxStopped, WorkspaceAttached
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces import FileAccess, FileTree

LOOK_SECONDS = 5.0
WATCH_SECONDS = 10.0
_NOT_ANSWERING = (TransportError, SandboxNotRunning, SandboxGone)
"""Errors of a sandbox elsewhere that was stopped, or given to another session, by something else."""
HANG_SECONDS = 120.0
"""Long enough for a busy machine: a mounter's unsent data is lost with it."""


class SandboxManager:
    """Finds, starts and stops the sandbox of a session, and saves its workspace."""

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
        self._state = state
        self._options = options
        self._given: GivenOptions | None = None
        self._options_changes = 0
        self._tools = tools
        self._release_agent = release_agent
        self._root: tuple[SandboxProvider, str] | None = None
        self._lock = asyncio.Lock()
        self._workspaces = WorkspaceManager(state)

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

    async def ready_sandbox(self) -> Sandbox:
        """Return a sandbox whose runner answers: the current, the recorded, or, if that is gone, a new one."""
        return (await self.probe_sandbox())[0]

    async def files(self) -> FileAccess:
        """Return access to the workspace's files; no sandbox is started for it.

        A running sandbox may have changes that are not saved yet, so that it is asked, unless it works on the location
        itself.
        """
        workspace = self._workspaces.base
        if self.works_at_location:
            self._state.check_usable()
            if self._has_lost_its_directory and not self._at_rest:
                async with self._lock:
                    await self._attach_workspace()  # the sandbox must not go on in the deleted one
            return workspace.files()
        try:
            return (await self.probe_sandbox(wake=False))[0].runner
        except SandboxNotRunning:
            return workspace.files()

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the sandbox does not see the files of this host."""
        return Capability.SHARES_FILES not in self.provider.capabilities

    @property
    def unsaved(self) -> str:
        """Where changes are that could not be saved, for people."""
        if self._is_elsewhere:
            return "the changes stay in a parked sandbox, and are lost with a removed one"
        return "the files stay on this machine, and the bucket lacks the changes"

    @property
    def works_at_location(self) -> bool:
        """Whether the sandbox and the location are one directory, so that nothing is copied."""
        return not self._is_elsewhere and not self._workspaces.base.copies

    @property
    def _at_rest(self) -> bool:
        record = self._state.record
        return self.sandbox is None and (record.status == "parked" or record.sandbox_ref is None)

    async def probe_sandbox(self, *, refresh: bool = False, wake: bool = True) -> tuple[Sandbox, list[str]]:
        """Return a sandbox whose runner answers, with the ids of its live agent connections.

        Args:
            refresh: whether to update the workspace first, even if the sandbox is in use.
            wake: whether to start one for a session at rest; otherwise `SandboxNotRunning` is raised.
        """
        async with self._lock:  # held by a stop until its note is stored
            self._state.check_usable()
            self._check_awake(wake)
            if self._is_elsewhere:
                return await self._probe_elsewhere(refresh=refresh, wake=wake)
            if fresh := refresh or self.sandbox is None or self._has_lost_its_directory:
                await self._attach_workspace()
            if refresh:
                await self._renew_sandbox()
            if self.sandbox is not None:
                try:
                    return self.sandbox, await self.sandbox.runner.connections()
                except TransportError:
                    await self.drop_sandbox()
            if not fresh:
                await self._attach_workspace()  # a sandbox creates a missing directory: all files would seem deleted
            self._check_awake(wake)
            self._use(await self._attach_or_create())
            assert self.sandbox is not None, "it is in use"
            return self.sandbox, await self.sandbox.runner.connections()

    async def _probe_elsewhere(self, *, refresh: bool, wake: bool) -> tuple[Sandbox, list[str]]:
        """Do `probe_sandbox` for a sandbox that has files of its own: it comes first, and then its files."""
        if refresh:
            await self._renew_sandbox()
        if self.sandbox is not None:
            try:
                live = await self.sandbox.runner.connections()
            except _NOT_ANSWERING:
                await self.drop_sandbox()
            else:
                if refresh:
                    await self._attach_workspace()
                return self.sandbox, live
        self._check_awake(wake)
        self._use(await self._attach_or_create())
        try:
            await self._attach_workspace()
            assert self.sandbox is not None, "it is in use"
            return self.sandbox, await self.sandbox.runner.connections()
        except BaseException:
            await self.drop_sandbox()  # the next call brings the rest of the files
            raise

    def _use(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        if self._is_elsewhere:
            self._workspaces.relay(sandbox.tree())

    def _check_awake(self, wake: bool) -> None:
        if not wake and self._at_rest:
            raise SandboxNotRunning(f"session {self._state.record.id!r} is parked; its next prompt starts it again.")

    @property
    def _has_lost_its_directory(self) -> bool:
        return self.works_at_location and not self._state.workspace.path.is_dir()

    async def warm(self) -> Callable[[], bool] | None:
        """Return a check whether the sandbox can be used as it is; None if it cannot.

        The check blocks. It is for a sandbox that works in the directory itself: nothing else needs an update.
        """
        sandbox, given, record = self.sandbox, self._given, self._state.record
        shares = Capability.SHARES_FILES in self.provider.capabilities and self.works_at_location
        if sandbox is None or given is None or not shares or self._lock.locked():
            return None
        if str(sandbox.ref) != record.sandbox_ref:  # another process made another one
            return None
        harness, machine, path, launch = self.harness, await self.machine(), self._state.workspace.path, record.launch

        def unchanged() -> bool:
            if not path.is_dir():
                return False
            with suppress(SessionWidgetsError):  # the way through `probe_sandbox` reports it
                return launch in {None, replace(prepare(harness, machine, data_directory()), sandbox=given).fingerprint}
            return False

        return unchanged

    def forget_options(self) -> None:
        """Read the sandbox's options again before the next prompt: they were changed."""
        self._given = None
        self._options_changes += 1

    async def _launch(self) -> Launch:
        changes = self._options_changes
        sandbox = await self._state.journal.ask(self._options.current, self.provider.name)
        self._given = sandbox if changes == self._options_changes else None
        launch = await asyncio.to_thread(prepare, self.harness, await self.machine(), data_directory())
        return replace(launch, sandbox=sandbox)

    async def _renew_sandbox(self) -> None:
        """Remove a sandbox with another launch entry than the harness needs now, such as another key."""
        record = self._state.record
        if record.sandbox_ref is None or record.launch in {None, (await self._launch()).fingerprint}:
            return
        await self._release_agent(False)
        if self._is_elsewhere:
            await self._save_without_processes(SandboxRef.parse(record.sandbox_ref))
        await self.drop_sandbox()
        await self.provider.destroy(SandboxRef.parse(record.sandbox_ref))
        await self._state.journal.commit([note(SandboxStopped(ref=record.sandbox_ref, reason="changed"))])

    async def _attach_workspace(self) -> None:
        remounted = await self._workspaces.attach()
        if remounted and (ref := self._state.record.sandbox_ref) is not None:
            await self._release_agent(False)  # its end needs no record
            with suppress(SandboxGone):
                await self.provider.park(SandboxRef.parse(ref))  # its working directory no longer exists
            await self.drop_sandbox()
        if remounted and (report := self._state.workspace.mount_report):
            where, how = self._state.workspace.location, self._state.workspace.attachment
            attached = WorkspaceAttached(location=where, attachment=how, mount_report=report)
            await self._state.journal.commit([note(attached)])

    async def _attach_or_create(self) -> Sandbox:
        await self._state.journal.catch_up()  # another kernel may have created one
        launch = await self._launch()
        if self._state.record.sandbox_ref is not None:
            ref = SandboxRef.parse(self._state.record.sandbox_ref)
            try:
                sandbox = await self.provider.attach(ref)
            except SandboxGone:
                await self.provider.destroy(ref)  # the rest of its records
                await self._state.journal.commit([note(SandboxStopped(ref=str(ref), reason="gone"))])
            else:
                if not self._state.record.sandbox_running:
                    started = SandboxStarted(ref=str(ref), launch=self._state.record.launch)  # its launch entry
                    await self._state.journal.commit([note(started)])
                return sandbox

        async def announce(ref: SandboxRef) -> None:
            await self._state.journal.commit([note(SandboxStarted(ref=str(ref), launch=launch.fingerprint))])

        self._workspaces.expect_new_tree()
        options = launch.sandbox
        spec = SandboxSpec(
            self._state.record.id,
            str(self._state.workspace.path),
            {self.harness.id: launch.entry},
            owner=user(),
            env=options.env if options else {},
            mounts={**(options.mounts if options else {}), **launch.mounts},
            image=options.image if options else None,
            cpus=options.cpus if options else None,
            memory=options.memory_bytes if options else None,
            progress=self._state.activity.tell,
        )
        return await self.provider.create(spec, announce)

    # Durability

    async def persist(self, changed: Sequence[FileChange]) -> Manifest | None:
        """Run the barrier on the workspace; see `Workspace.persist`."""
        if self._is_elsewhere and not self._workspaces.is_relayed and not self._at_rest:
            raise NotDurable(
                "the sandbox does not answer. Its files are still there; send again when it does.", reason="unreachable"
            )
        return await self._workspaces.persist(self._look, changed)

    @asynccontextmanager
    async def changing_files(self) -> AsyncIterator[FileTree]:
        """Yield the files, up to date, while no turn is running; save them at the end. No sandbox is started."""
        async with self._lock:
            resting = self._at_rest
            if not resting and self._is_elsewhere:
                resting = not await self._reconnect()
            await self._attach_workspace()
        async with self._workspaces.tree() as tree:
            yield tree
        await self.persist(())
        if resting:
            await self.release_workspace()

    async def _look(self) -> Manifest:
        """Return the manifest from inside the sandbox; if it does not answer, scan on this machine."""
        if self.sandbox is not None:
            with suppress(TransportError):
                return await self.sandbox.runner.manifest()
        return await asyncio.to_thread(self._workspaces.current.scan)

    async def look_for_sandbox(self) -> str | None:
        """Return the state of an unresponsive sandbox, if it can be seen; starts nothing.

        A running one may have been started again meanwhile, for example to read its files.
        """
        ref = self._state.record.sandbox_ref
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                found = [info async for info in self.provider.list(self._state.record.id) if str(info.ref) == ref]
        except SandboxError as error:
            return str(error)
        except Exception:  # it took too long, or the provider failed: the known facts are already in the error
            return None
        runs = any(info.running for info in found)
        state = "runs now; send again" if runs else "has stopped; the next prompt starts it again"
        return f"The sandbox {ref} {state}."

    async def watch(self) -> None:
        """Kill a hanging mounter, repeatedly: an agent that waits for it never ends its turn."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self.unblock(HANG_SECONDS)

    async def unblock(self, seconds: float) -> None:
        """Kill a mounter that does not answer for `seconds`."""
        await self._workspaces.unblock(seconds)

    async def take_over(self) -> None:
        """Acquire the workspace's lease."""
        await self._workspaces.take_over()

    async def save(self) -> None:
        """Save the files, unless the sandbox works at the location or there is none."""
        if self.works_at_location or self._at_rest:
            return
        async with self._lock:
            if self._is_elsewhere and not await self._reconnect():
                return  # it is gone, with its files
            await self._attach_workspace()
        await self.persist(())

    async def _reconnect(self) -> bool:
        """Connect to the recorded sandbox elsewhere, if it is not; False if it is gone.

        Raises:
            NotDurable: it does not answer.
        """
        if self.sandbox is not None:
            try:
                await self.sandbox.runner.connections()
            except _NOT_ANSWERING:
                await self.drop_sandbox()
            else:
                return True
        assert self._state.record.sandbox_ref is not None, "it is not at rest"
        try:
            self._use(await self.provider.attach(SandboxRef.parse(self._state.record.sandbox_ref)))
        except SandboxGone:
            return False
        except SandboxError as error:
            raise NotDurable(
                f"the files of the sandbox cannot be reached: {error}. They are still there.", reason="unreachable"
            ) from error
        return True

    async def _save_without_processes(self, ref: SandboxRef) -> None:
        """Save the files of a sandbox elsewhere when no process changes them any more, before it is stopped."""
        await self.drop_sandbox()
        try:
            await self.provider.park(ref)
        except SandboxGone:
            return
        if await self._reconnect():
            await self._attach_workspace()
            await self.persist(())

    async def drop_sandbox(self) -> None:
        """Drop a sandbox whose runner does not answer."""
        sandbox, self.sandbox = self.sandbox, None
        await self._tools.stop()
        self._workspaces.drop_tree()
        if sandbox is not None:
            await sandbox.aclose()

    async def stop(self, reason: Literal["parked", "switched", "deleted"], *, save: bool = False) -> None:
        """Stop the sandbox with all its processes; keep it only if the session is `parked`.

        Args:
            reason: for the note.
            save: whether to save also the writes made while it was being stopped.
        """
        async with self._lock:
            if Capability.EXTERNAL in self.provider.capabilities:
                await self._release_agent(True)  # its server keeps running
            await self._release_agent(False)
            await self.drop_sandbox()
            if self._state.record.sandbox_ref is None:
                return
            ref = SandboxRef.parse(self._state.record.sandbox_ref)
            if save and self._is_elsewhere and self._state.record.sandbox_running:
                await self._save_without_processes(ref)
                await self.drop_sandbox()
            if reason == "parked":
                await self.provider.park(ref)
                unsaved = save and not self._is_elsewhere and not self.works_at_location
                if unsaved and self._state.record.sandbox_running:
                    await self.persist(())  # before the note: a session that was interrupted here is parked again
            else:
                try:
                    await self._destroy(ref)
                except TransportError:
                    if not self._is_elsewhere or save or reason == "deleted":
                        raise
                    # forced to leave a machine that may never answer: a sweep releases it if it does
            await self._state.journal.commit([note(SandboxStopped(ref=str(ref), reason=reason))])

    async def _destroy(self, ref: SandboxRef) -> None:
        await self.provider.destroy(ref)
        async for left in self.provider.list(self._state.record.id):  # of a kernel that died while creating one
            await self.provider.destroy(left.ref)

    async def release_workspace(self) -> None:
        """Detach the workspace: unmount it and release its lease."""
        await self._workspaces.release()

    async def remove_workspace(self) -> None:
        """Delete the workspace at its location."""
        await self._workspaces.remove()

    async def disconnect(self) -> None:
        """Close every connection; sandbox and agent keep running."""
        await self._release_agent(False)
        await self.drop_sandbox()
