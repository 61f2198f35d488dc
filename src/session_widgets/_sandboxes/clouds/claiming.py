"""The way to the runner in a box: whether it answers, and a session's claim of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Any

from session_widgets._sandboxes.claim_client import ClaimClient, NoClaim
from session_widgets._sandboxes.clouds.setup import MACHINE
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets.errors import SandboxError, SandboxGone, TransportError
from session_widgets.model import Endpoint, SandboxRef

PAUSE_SECONDS = 0.1


def endpoint_of(known: Mapping[str, Any]) -> Endpoint:
    """Return the address of a runner, with its token, from its record."""
    return Endpoint(known["url"], {**known["headers"], "authorization": f"Bearer {known['token']}"})


async def answers(endpoint: Endpoint, nonce: str) -> bool:
    """Whether the runner with this nonce answers."""
    async with aclosing(RunnerClient(endpoint, MACHINE.root)) as client:
        try:
            return (await client.health()).get("nonce") == nonce
        except (SandboxError, ValueError):
            return False


async def claim(ref: SandboxRef, made: Mapping[str, Any], client: ClaimClient, title: str, seconds: float) -> None:
    """Claim a runner for the session of a sandbox.

    Args:
        ref: of the sandbox.
        made: its record.
        client: of the runner.
        title: of the vendor, for messages.
        seconds: after the start of a runner: how long the vendor's proxy may not lead to it yet. 0: it has answered.
    """
    wanted = {name: made[name] for name in ("session", "owner", "env", "agents")}
    deadline = time.monotonic() + seconds
    while True:
        try:
            if made.get("parked"):  # its processes were stopped, not ended, if the vendor had parked it first
                with suppress(SandboxGone):
                    await client.park(ref.id)
            await client.claim({"id": ref.id, "idleSeconds": made["idle"], **wanted}, new=not made.get("claimed"))
        except (TransportError, NoClaim) as error:
            if not seconds:
                raise
            if time.monotonic() > deadline:
                url = client.endpoint.url
                raise TransportError(
                    f"the runner listens in the sandbox, and {title} does not lead to it: {url}"
                ) from error
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return
