"""The files of a sandbox: on this machine, or on another one. Lives on the private loop."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from session_widgets._sandboxes import Sandbox
from session_widgets._sessions.sandbox_starter import SandboxStarter
from session_widgets._sessions.state import SessionState
from session_widgets.errors import NotDurable, SandboxAuth, SandboxError, SandboxGone, SandboxNotRunning, TransportError
from session_widgets.host.manifest import Manifest
from session_widgets.model import Capability, SandboxRef
from session_widgets.transcript.records import FileChange

_NOT_ANSWERING = (TransportError, SandboxNotRunning, SandboxGone, SandboxAuth)
"""Errors of a sandbox elsewhere that was stopped, given to another session, or started again with another token."""

End = Literal["parked", "switched", "deleted"]


class SandboxFiles(ABC):
    """What depends on where a sandbox has its files. The caller holds the sandbox's lock."""

    unsaved: str
    """Where changes are that could not be saved, for people."""

    def __init__(self, state: SessionState, starter: SandboxStarter) -> None:
        self._state = state
        self._starter = starter

    @property
    @abstractmethod
    def at_location(self) -> bool:
        """Whether the sandbox works on the location itself, so that nothing is copied."""

    @abstractmethod
    async def probe(self, *, refresh: bool, wake: bool) -> tuple[Sandbox, list[str]]:
        """Return a sandbox with up-to-date files; see `SandboxManager.probe_sandbox`."""

    @abstractmethod
    async def connect(self) -> bool:
        """Make the sandbox's files reachable; False if they are gone with it.

        Raises:
            NotDurable: it does not answer.
        """

    @abstractmethod
    async def stop(self, ref: SandboxRef, reason: End, *, save: bool) -> None:
        """Park or remove the sandbox; with `save`, what was written until then is saved."""

    async def persist(self, changed: Sequence[FileChange]) -> Manifest | None:
        """Run the barrier on the workspace; see `Workspace.persist`."""
        return await self._starter.workspaces.persist(self._look, changed)

    async def _look(self) -> Manifest:
        """Return the manifest from inside the sandbox; if it does not answer, scan on this machine."""
        if self._starter.sandbox is not None:
            with suppress(TransportError):
                return await self._starter.sandbox.runner.manifest()
        return await asyncio.to_thread(self._starter.workspaces.current.scan)


class SharedFiles(SandboxFiles):
    """The sandbox sees the workspace's directory on this machine: the directory is made ready first."""

    unsaved = "the files stay on this machine, and the bucket lacks the changes"

    @property
    def at_location(self) -> bool:
        """Whether that directory is the location."""
        return not self._starter.workspaces.base.copies

    @property
    def directory_lost(self) -> bool:
        """Whether the location was deleted."""
        return self.at_location and not self._state.workspace.path.is_dir()

    async def probe(self, *, refresh: bool, wake: bool) -> tuple[Sandbox, list[str]]:
        """See `SandboxFiles.probe`."""
        starter = self._starter
        if fresh := refresh or starter.sandbox is None or self.directory_lost:
            await starter.attach_workspace()
        if refresh and (ref := await starter.outdated()) is not None:
            await starter.release_agent(False)
            await starter.replace(ref)
        if starter.sandbox is not None:
            try:
                return starter.sandbox, await starter.sandbox.runner.connections()
            except TransportError:
                await starter.drop()
        if not fresh:
            await starter.attach_workspace()  # a sandbox creates a missing directory: all files would seem deleted
        starter.check_awake(wake)
        sandbox = starter.sandbox = await starter.attach_or_create()
        return sandbox, await sandbox.runner.connections()

    async def connect(self) -> bool:
        """Return True: they are on this machine."""
        return True

    async def stop(self, ref: SandboxRef, reason: End, *, save: bool) -> None:
        """See `SandboxFiles.stop`."""
        if reason != "parked":
            await self._starter.destroy(ref)
            return
        await self._starter.provider.park(ref)
        if save and not self.at_location and self._state.record.sandbox_running:
            await self.persist(())  # before the note: a session that was interrupted here is parked again


class FilesElsewhere(SandboxFiles):
    """The sandbox has files of its own: it comes first, then its files, and they are saved before it stops."""

    unsaved = "the changes stay in a parked sandbox, and are lost with a removed one"
    at_location = False

    async def probe(self, *, refresh: bool, wake: bool) -> tuple[Sandbox, list[str]]:
        """See `SandboxFiles.probe`."""
        starter = self._starter
        if refresh and (ref := await starter.outdated()) is not None:
            await starter.release_agent(False)
            await self._save_without_processes(ref)
            await starter.replace(ref)
        if starter.sandbox is not None:
            try:
                live = await starter.sandbox.runner.connections()
            except _NOT_ANSWERING:
                await starter.drop()
            else:
                if refresh:
                    await starter.attach_workspace()
                return starter.sandbox, live
        starter.check_awake(wake)
        if not wake and Capability.RENTED in starter.provider.capabilities and not await self._runs():
            raise SandboxNotRunning(f"the sandbox {starter.ref} does not run; the next prompt starts it again.")
        before = starter.ref
        sandbox = self._use(await starter.attach_or_create(create=wake))
        try:
            await starter.attach_workspace()
            return sandbox, [] if starter.ref != before else await sandbox.runner.connections()  # none in a new one
        except BaseException:
            await starter.drop()  # the next call brings the rest of the files
            raise

    async def connect(self) -> bool:
        """See `SandboxFiles.connect`."""
        starter = self._starter
        if starter.sandbox is not None:
            try:
                await starter.sandbox.runner.connections()
            except _NOT_ANSWERING:
                await starter.drop()
            else:
                return True
        assert starter.ref is not None, "it is not at rest"
        try:
            self._use(await starter.provider.attach(starter.ref))
        except SandboxGone:
            return False
        except SandboxError as error:
            raise NotDurable(
                f"the files of the sandbox cannot be reached: {error}. They are still there.", reason="unreachable"
            ) from error
        return True

    async def persist(self, changed: Sequence[FileChange]) -> Manifest | None:
        """See `SandboxFiles.persist`.

        Raises:
            NotDurable: the sandbox does not answer.
        """
        if not self._starter.workspaces.is_relayed and not self._starter.at_rest:
            raise NotDurable(
                "the sandbox does not answer. Its files are still there; send again when it does.", reason="unreachable"
            )
        return await super().persist(changed)

    async def stop(self, ref: SandboxRef, reason: End, *, save: bool) -> None:
        """See `SandboxFiles.stop`."""
        if save and self._state.record.sandbox_running:
            await self._save_without_processes(ref)
            await self._starter.drop()
        if reason == "parked":
            await self._starter.provider.park(ref)
            return
        try:
            await self._starter.destroy(ref)
        except TransportError:
            if save or reason == "deleted":
                raise
            # forced to leave a machine that may never answer: a sweep releases it if it does

    async def _runs(self) -> bool:
        """Whether the vendor says that the sandbox runs."""
        found = [info async for info in self._starter.provider.list(self._state.record.id)]
        return any(info.running for info in found if info.ref == self._starter.ref)

    def _use(self, sandbox: Sandbox) -> Sandbox:
        self._starter.sandbox = sandbox
        self._starter.workspaces.relay(sandbox.tree())
        return sandbox

    async def _save_without_processes(self, ref: SandboxRef) -> None:
        """Save the files when no process changes them any more, before the sandbox is stopped."""
        await self._starter.drop()
        try:
            await self._starter.provider.end_processes(ref)
        except SandboxGone:
            return
        if await self.connect():
            await self._starter.attach_workspace()
            await self.persist(())
