"""The workspace of one session in this process, relayed to a sandbox elsewhere. Lives on the private loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from session_widgets._sessions.loop import OneAtATime, in_thread
from session_widgets._sessions.state import SessionState
from session_widgets.host.host_tree import HostTree
from session_widgets.host.manifest import Manifest
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces import FileTree, Workspace, forget_records, forget_tree


class WorkspaceManager:
    """Attaches, saves and removes the workspace, one call after the other.

    Attributes:
        base: the workspace without a sandbox.
    """

    def __init__(self, state: SessionState) -> None:
        self.base: Workspace = state.workspace
        self._state = state
        self._place = state.store.home / "sync" / state.record.id
        self._relayed: tuple[FileTree, Workspace] | None = None
        self._storing = OneAtATime()

    @property
    def current(self) -> Workspace:
        """The workspace as the sandbox has it."""
        return self._relayed[1] if self._relayed else self.base

    @property
    def is_relayed(self) -> bool:
        """Whether the files of a sandbox elsewhere can be reached."""
        return self._relayed is not None

    def relay(self, tree: FileTree) -> None:
        """Copy the files to this tree from now on, and its changes back."""
        self.drop_tree()
        self._relayed = tree, self.base.relayed(tree, self._place)

    def drop_tree(self) -> None:
        """Close the tree of a sandbox elsewhere."""
        if self._relayed is not None:
            self._relayed[0].close()
            self._relayed = None

    def expect_new_tree(self) -> None:
        """Take note that the next sandbox is a new one: its missing files were not deleted."""
        forget_tree(self._place)

    async def attach(self) -> bool:
        """Bring the files to the sandbox; see `Workspace.attach`."""
        return await self._storing.run(self.current.attach, self._state.activity.tell)

    async def persist(self, look: Callable[[], Awaitable[Manifest]], changed: Sequence[FileChange]) -> Manifest | None:
        """Run the barrier; see `Workspace.persist`.

        Args:
            look: lists the files from inside of the sandbox.
            changed: the turn's changed files.
        """
        loop = asyncio.get_running_loop()

        async def looked() -> Manifest:
            return await look()

        def scan() -> Manifest:
            return asyncio.run_coroutine_threadsafe(looked(), loop).result()

        return await self._storing.run(self.current.persist, scan, changed)

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        """Yield the files as a tree."""
        if self._relayed is not None:
            yield self._relayed[0]
            return
        tree = await in_thread(HostTree, self.base.path)
        try:
            yield tree
        finally:
            tree.close()

    async def unblock(self, seconds: float) -> None:
        """Kill a mounter that does not answer for `seconds`."""
        await asyncio.shield(self._state.spawn(in_thread(self.base.unblock, seconds)))

    async def take_over(self) -> None:
        """Acquire the lease."""
        await self._storing.run(self.base.take_over)

    async def release(self) -> None:
        """Unmount it and release its lease."""
        await self._storing.run(self.base.detach)

    async def remove(self) -> None:
        """Delete the files at the location."""
        await self._storing.run(self.base.remove)
        await in_thread(forget_records, self._place)
