"""The sandbox of one session in this process, and the files in it. Lives on the private loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import Sandbox, SandboxProvider
from session_widgets._sessions.journal import note
from session_widgets._sessions.sandbox_files import End, FilesElsewhere, SandboxFiles, SharedFiles
from session_widgets._sessions.sandbox_options import SandboxOptions
from session_widgets._sessions.sandbox_starter import SandboxStarter
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.tool_server import ToolServer
from session_widgets.errors import SandboxError, SandboxNotRunning
from session_widgets.host.manifest import Manifest
from session_widgets.model import Capability, Machine
from session_widgets.transcript.notes import SandboxStopped
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces import FileAccess, FileTree

LOOK_SECONDS = 5.0
WATCH_SECONDS = 10.0
HANG_SECONDS = 120.0
"""Long enough for a busy machine: a mounter's unsent data is lost with it."""


class SandboxManager:
    """Finds, starts and stops the sandbox of a session, and saves its workspace: one call after the other."""

    def __init__(
        self,
        state: SessionState,
        provider: SandboxProvider,
        harness: Harness,
        options: SandboxOptions,
        tools: ToolServer,
        release_agent: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._state = state
        self._starter = SandboxStarter(state, provider, harness, options, tools, release_agent)
        self._workspaces = self._starter.workspaces
        self._shared = SharedFiles(state, self._starter)
        self._elsewhere = FilesElsewhere(state, self._starter)
        self._lock = asyncio.Lock()

    @property
    def _files(self) -> SandboxFiles:
        shares = Capability.SHARES_FILES in self.provider.capabilities
        return self._shared if shares else self._elsewhere

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox in use in this process."""
        return self._starter.sandbox

    @property
    def deadline(self) -> float | None:
        """When the sandbox in use parks or ends whatever is done in it, in seconds since 1970 UTC."""
        return None if self.sandbox is None else self.sandbox.deadline

    @property
    def provider(self) -> SandboxProvider:
        """The provider of the session's sandboxes."""
        return self._starter.provider

    @property
    def harness(self) -> Harness:
        """The agent program."""
        return self._starter.harness

    def use(self, provider: SandboxProvider, harness: Harness) -> None:
        """Make the next sandbox with others; the last one is stopped."""
        self._starter.provider, self._starter.harness = provider, harness

    def forget_options(self) -> None:
        """Read the sandbox's options again before the next prompt: they were changed."""
        self._starter.forget_options()

    async def machine(self) -> Machine:
        """Return the machine of the session's sandboxes."""
        return await self._starter.machine()

    @property
    def root(self) -> str:
        """The workspace's path inside the sandbox; its path on this host until `machine` was asked for."""
        return self._starter.root

    @property
    def unsaved(self) -> str:
        """Where changes are that could not be saved, for people."""
        return self._files.unsaved

    @property
    def works_at_location(self) -> bool:
        """Whether the sandbox and the location are one directory, so that nothing is copied."""
        return self._files.at_location

    async def ready_sandbox(self) -> Sandbox:
        """Return a sandbox whose runner answers: the current, the recorded, or, if that is gone, a new one."""
        cold = self.sandbox is None
        try:
            return (await self.probe_sandbox())[0]
        finally:
            if cold:
                self._state.activity.tell(None)

    async def probe_sandbox(self, *, refresh: bool = False, wake: bool = True) -> tuple[Sandbox, list[str]]:
        """Return a sandbox whose runner answers, with the ids of its live agent connections.

        Args:
            refresh: whether to update the workspace first, even if the sandbox is in use.
            wake: whether to start one for a session at rest; otherwise `SandboxNotRunning` is raised.
        """
        async with self._lock:  # held by a stop until its note is stored
            self._state.check_usable()
            self._starter.check_awake(wake)
            return await self._files.probe(refresh=refresh, wake=wake)

    async def warm(self) -> Callable[[], bool] | None:
        """Return a check whether the sandbox can be used as it is; None if it cannot.

        The check blocks. It is for a sandbox that works in the directory itself: nothing else needs an update.
        """
        if not self.works_at_location or self._lock.locked():
            return None
        return await self._starter.unchanged()

    # Files

    async def files(self) -> FileAccess:
        """Return access to the workspace's files; no sandbox is started for it.

        A running sandbox may have changes that are not saved yet, so that it is asked, unless it works on the location
        itself.
        """
        workspace = self._workspaces.base
        if self.works_at_location:
            self._state.check_usable()
            if self._shared.directory_lost and not self._starter.at_rest:
                async with self._lock:
                    await self._starter.attach_workspace()  # the sandbox must not go on in the deleted one
            return workspace.files()
        try:
            return (await self.probe_sandbox(wake=False))[0].runner
        except SandboxNotRunning:
            return workspace.files()

    async def persist(self, changed: Sequence[FileChange]) -> Manifest | None:
        """Run the barrier on the workspace; see `Workspace.persist`."""
        return await self._files.persist(changed)

    async def save(self) -> None:
        """Save the files, unless the sandbox works at the location or there is none."""
        if self.works_at_location or self._starter.at_rest:
            return
        async with self._lock:
            if not await self._files.connect():
                return
            await self._starter.attach_workspace()
        await self.persist(())

    @asynccontextmanager
    async def changing_files(self) -> AsyncIterator[FileTree]:
        """Yield the files, up to date, while no turn is running; save them at the end. No sandbox is started."""
        async with self._lock:
            resting = self._starter.at_rest or not await self._files.connect()
            await self._starter.attach_workspace()
        async with self._workspaces.tree() as tree:
            yield tree
        await self.persist(())
        if resting:
            await self.release_workspace()

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

    async def release_workspace(self) -> None:
        """Detach the workspace: unmount it and release its lease."""
        await self._workspaces.release()

    async def remove_workspace(self) -> None:
        """Delete the workspace at its location."""
        await self._workspaces.remove()

    # The end of a sandbox

    async def look_for_sandbox(self) -> str | None:
        """Return the state of an unresponsive sandbox, if it can be seen; starts nothing.

        A running one may have been started again meanwhile, for example to read its files.
        """
        try:
            runs = await self._runs()
        except SandboxError as error:
            return str(error)
        if runs is None:
            return None
        state = "runs now; send again" if runs else "has stopped; the next prompt starts it again"
        return f"The sandbox {self._state.record.sandbox_ref} {state}."

    async def answers(self) -> bool:
        """Whether the files can be reached; a broken network would hold each request for minutes."""
        if self.sandbox is None or Capability.SHARES_FILES in self.provider.capabilities:
            return True
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self.sandbox.runner.health()
        except (SandboxError, TimeoutError):
            return False
        return True

    async def may_come_back(self) -> bool:
        """Whether to wait for a sandbox that does not answer.

        A vendor's machine goes on without us: unless the vendor says that it has stopped, the network is broken. A
        sandbox of this machine, or one that only itself knows, does not come back.
        """
        if Capability.RENTED not in self.provider.capabilities:
            return False
        try:
            return await self._runs() is not False
        except SandboxError:
            return True

    async def _runs(self) -> bool | None:
        """Return whether the provider says that the sandbox runs; None if it says nothing in time."""
        ref, session = self._state.record.sandbox_ref, self._state.record.id
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return any([info.running async for info in self.provider.list(session) if str(info.ref) == ref])
        except SandboxError:
            raise
        except Exception:  # it took too long, or the provider failed: the known facts are already in the error
            return None

    async def stop(self, reason: End, *, save: bool = False) -> None:
        """Stop the sandbox with all its processes; keep it only if the session is `parked`.

        Args:
            reason: for the note.
            save: whether to save also the writes made while it was being stopped.
        """
        async with self._lock:
            if Capability.EXTERNAL in self.provider.capabilities:
                await self._starter.release_agent(True)  # its server keeps running
            await self.disconnect()
            if (ref := self._starter.ref) is None:
                return
            await self._files.stop(ref, reason, save=save)
            await self._state.journal.commit([note(SandboxStopped(ref=str(ref), reason=reason))])

    async def disconnect(self) -> None:
        """Close every connection; sandbox and agent keep running."""
        await self._starter.release_agent(False)
        await self._starter.drop()
