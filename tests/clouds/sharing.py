"""The contract's checks on few boxes: those that are not about a box's life use one that is there already."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from session_widgets._sandboxes import conformance
from session_widgets._sandboxes.conformance import Subject
from session_widgets._sandboxes.contract import Sandbox, SandboxProvider, SandboxSpec
from session_widgets.model import SandboxRef

OF_LIFE = {
    conformance.announces_before_it_is_ready,
    conformance.environment_reaches_commands,
    conformance.park_stops_and_attach_restores,
    conformance.tree_and_files_are_one,
    conformance.destroyed_is_gone,
    conformance.list_names_its_own,
}
"""They need boxes of their own."""


class SharingSubject(Subject):
    """A provider whose `sandbox` is always the same, with an empty workspace."""

    def __init__(self, provider: SandboxProvider, spec: Callable[[], SandboxSpec], shared: SandboxRef) -> None:
        super().__init__(provider, spec)
        self._shared = shared

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        """Attach to it."""
        sandbox = await self.provider.attach(self._shared)
        try:
            await sandbox.exec("find . -mindepth 1 -delete")
            yield sandbox
        finally:
            await sandbox.aclose()
