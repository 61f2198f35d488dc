"""The adapter of E2B. A paused box keeps its memory; its time is absolute, so that it is extended while it is in use.

Images are E2B's templates (`e2b_images.py`), whose builds also decide about processors and memory. Ports are reached
with the token of the box.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from session_widgets._sandboxes.clouds.contract import BoxInfo, BoxSpec, Done, missing_key, missing_sdk
from session_widgets._sandboxes.clouds.e2b_errors import KEY, NOT_FOUND, REMEDY, TITLE, errors
from session_widgets._sandboxes.clouds.e2b_images import E2BImages
from session_widgets._sandboxes.clouds.provider import ID, CloudProvider
from session_widgets.errors import BadValue, ExecTimeout, SandboxError
from session_widgets.model import Capability, Endpoint

if TYPE_CHECKING:
    from e2b import AsyncSandbox

NAME = "e2b"
GRACE_SECONDS = 10
"""For the answer, after the vendor has ended a command."""
WRITE_SECONDS = 300
ALL_HOSTS = "0.0.0.0/0"


def provider(home: Path) -> CloudProvider:
    """Return the provider; `home` is the data directory."""
    return CloudProvider(home, E2BVendor(), E2BImages())


class E2BBox:
    """A running box."""

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self.id = sandbox.sandbox_id
        self._sandbox = sandbox

    async def exec(self, script: str, *, timeout: float) -> Done:
        """Run a script as root."""
        from e2b import CommandExitException, TimeoutException

        with errors():
            try:
                async with asyncio.timeout(timeout + GRACE_SECONDS):
                    ran = await self._sandbox.commands.run(script, user="root", cwd="/", timeout=timeout)
            except CommandExitException as ended:
                return Done(ended.exit_code, ended.stdout + ended.stderr)
            except (TimeoutError, TimeoutException) as error:
                if isinstance(error, TimeoutException) and type(error) is not TimeoutException:
                    raise  # the box does not run, or cannot be reached
                raise ExecTimeout(f"a command in the sandbox ran longer than {timeout:g} s.") from error
            return Done(ran.exit_code, ran.stdout + ran.stderr)

    async def write(self, path: str, data: bytes) -> None:
        """Replace a file, as root."""
        with errors():
            await self._sandbox.files.write(path, data, user="root", request_timeout=WRITE_SECONDS)

    async def endpoint(self, port: int) -> Endpoint:
        """Return the address of a port."""
        token = self._sandbox.traffic_access_token
        headers = {"e2b-traffic-access-token": token} if token else {}
        if url := os.environ.get("E2B_SANDBOX_URL"):
            return Endpoint(url, {"E2b-Sandbox-Id": self.id, "E2b-Sandbox-Port": str(port), **headers})
        return Endpoint(f"https://{self._sandbox.get_host(port)}", headers)

    async def extend(self, idle: int) -> None:
        """Move the time when the box pauses to `idle` seconds from now."""
        with errors():
            await self._sandbox.set_timeout(idle)


class E2BVendor:
    """The account of `E2B_API_KEY`."""

    name = NAME
    title = TITLE
    capabilities = Capability.EXTEND | Capability.PARK_KEEPS_PROCESSES
    options = frozenset({"image", "cpus", "memory", "network"})
    remedy = REMEDY
    boxes = 20

    def check(self) -> None:
        """Look for the SDK and the key."""
        if find_spec("e2b") is None:
            raise missing_sdk(NAME, TITLE)
        if not os.environ.get(KEY):
            raise missing_key(NAME, KEY, REMEDY)

    async def create(self, spec: BoxSpec) -> E2BBox:
        """Create a box; asking again with the same label makes no second one."""
        from e2b import AsyncSandbox, SandboxException

        template = spec.built or spec.image or "base"
        sized = [f"{name}=" for name in ("cpus", "memory") if getattr(spec, name) is not None]
        if sized and not spec.built:
            raise BadValue(
                f"the size of the template {template!r} of E2B was set at its build: leave out {' and '.join(sized)}. "
                "With setup=, or without image=, a template of this size is built."
            )
        with errors():
            try:
                sandbox = await AsyncSandbox.create(
                    template,
                    timeout=spec.idle,
                    metadata=dict(spec.labels),
                    lifecycle={"on_timeout": "pause", "auto_resume": False},
                    network=_network(spec),
                    idempotency_key=f"session-widgets-{spec.labels[ID]}",
                )
            except SandboxException as error:
                if error.status_code != NOT_FOUND:
                    raise
                raise SandboxError(f"E2B has no template {template!r} for this account.") from error
        return E2BBox(sandbox)

    async def attach(self, id: str, spec: BoxSpec) -> E2BBox:
        """Connect to a box; a paused one continues where it stopped."""
        from e2b import AsyncSandbox

        with errors():
            return E2BBox(await AsyncSandbox.connect(id, timeout=spec.idle))

    async def park(self, id: str, record: Callable[[str], None]) -> str:
        """Pause a box, with its memory."""
        from e2b import AsyncSandbox

        with errors():
            await AsyncSandbox.pause(id)
        return id

    async def destroy(self, id: str) -> bool:
        """Remove a box."""
        from e2b import AsyncSandbox

        with errors():
            return bool(await AsyncSandbox.kill(id))

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[BoxInfo]:
        """Yield running and paused boxes."""
        from e2b import AsyncSandbox, SandboxQuery, SandboxState

        with errors():
            pages = AsyncSandbox.list(SandboxQuery(metadata=dict(labels)))
        while pages.has_next:
            with errors():
                found = await pages.next_items()
            for box in found:
                running = box.state == SandboxState.RUNNING
                expires = box.end_at if running else None
                yield BoxInfo(box.sandbox_id, box.metadata, running, box.started_at, expires)

    async def aclose(self) -> None:
        """Does nothing: the SDK's connections are the process's."""


def _network(spec: BoxSpec) -> Any:
    """Return the network of a box: its ports need its token, and it reaches what it may."""
    inwards = {"allow_public_traffic": False}
    if spec.network == "open":
        return inwards
    if spec.network == "none":
        return {**inwards, "deny_out": [ALL_HOSTS]}
    return {**inwards, "allow_out": list(spec.network), "deny_out": [ALL_HOSTS]}
