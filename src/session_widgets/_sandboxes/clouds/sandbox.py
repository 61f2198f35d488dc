"""A sandbox of a cloud, in use by this process."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress

from session_widgets._sandboxes.claim_client import HEADER, ClaimClient
from session_widgets._sandboxes.clouds.contract import Box
from session_widgets._sandboxes.remote import RemoteSandbox
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets.errors import SandboxError, SandboxGone
from session_widgets.model import Endpoint, SandboxRef

BEAT_SECONDS = 60.0


class CloudSandbox(RemoteSandbox):
    """A box with its runner. While this object is open, the vendor does not take the box for forgotten.

    Args:
        ref: ours.
        root: of the workspace.
        runner: address of the runner, with its token.
        box: the vendor's.
        idle: seconds after the last beat, until the vendor parks it.
        until: seconds since the epoch after which nothing extends its life.
    """

    deadline: float

    def __init__(self, ref: SandboxRef, root: str, runner: Endpoint, box: Box, idle: int, until: float) -> None:
        super().__init__(ref, root, Endpoint(runner.url, {**runner.headers, HEADER: ref.id}))
        self._claimed = runner
        self._box = box
        self._idle = idle
        self.deadline = until
        self._beating = asyncio.create_task(self._beat())

    async def endpoint(self, port: int | None = None) -> Endpoint:
        """Return the runner's endpoint, or that of another port, from the vendor's proxy."""
        return self.runner.endpoint if port is None else await self._box.endpoint(port)

    def tree(self) -> RunnerTree:
        """Return the workspace as a file tree: the one of this reference, which the runner's claim is on."""
        return RunnerTree(self.runner.endpoint, self.workspace, int(self.ref.id, 16), snapshots=True)

    async def extend(self, seconds: float) -> None:
        """Start the vendor's idle time again; nothing goes beyond the lifetime."""
        left = self.deadline - time.time()
        if left > 1:
            await self._box.extend(max(1, int(min(seconds, left))))

    async def aclose(self) -> None:
        """Close the connections; the box keeps running until its idle time ends."""
        self._beating.cancel()
        await asyncio.gather(self._beating, return_exceptions=True)
        await super().aclose()

    async def _beat(self) -> None:
        """Extend the idle time as long as the session's work is not parked by the runner: it counts what is done."""
        async with aclosing(ClaimClient(self._claimed)) as client:
            while True:
                await asyncio.sleep(min(BEAT_SECONDS, self._idle / 4))
                with suppress(SandboxError):  # the next beat tries again
                    try:
                        if (await client.holder()).get("state") != "running":
                            continue
                        await self.extend(self._idle)
                    except SandboxGone:
                        return
