"""Daytona (https://www.daytona.io), through `daytona`, its Python SDK. `daytona-sdk` is the old name of that package.

A parked box is a stopped one: its disk stays and its processes end. The vendor archives it after an hour, which costs
less, and deletes it after a week. It stops a box that nobody has extended: requests to a port do not count as use.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import shlex
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from session_widgets._sandboxes.clouds.contract import BoxInfo, BoxSpec, Done, missing_key, missing_sdk, translated
from session_widgets._sandboxes.clouds.daytona_images import BUILD_SECONDS, DaytonaImages, is_snapshot, size_of
from session_widgets._sandboxes.clouds.daytona_sdk import (
    CHANGE_SECONDS,
    KEYS,
    REMEDY,
    Settings,
    is_changing,
    leave,
    may_have_created,
    translate,
    using,
)
from session_widgets._sandboxes.clouds.provider import CloudProvider
from session_widgets.errors import BadValue, ExecTimeout, MissingDependency, SandboxError, SandboxGone
from session_widgets.model import Capability, Endpoint

if TYPE_CHECKING:
    from daytona import AsyncDaytona, AsyncSandbox, CreateSandboxFromImageParams, CreateSandboxFromSnapshotParams

NAME, TITLE = "daytona", "Daytona"
OLD_SDK = (
    "the package daytona-sdk is the old name of the SDK of Daytona, which this release does not use: "
    f"pip uninstall daytona-sdk, then pip install 'session-widgets[{NAME}]'"
)
IMAGE = "python:3.12-bookworm"
"""For a box of another size: a snapshot has a size of its own."""
ARCHIVE_MINUTES = 60
DELETE_MINUTES = 7 * 24 * 60
CREATE_SECONDS = 180
REQUEST_SECONDS = 30
WRITE_SECONDS = 300
GRACE_SECONDS = 10
"""For the end of a command, and its answer, after its time is up."""
POLL_SECONDS = 1.0

_AS_ROOT = """
limit=
if command -v timeout >/dev/null; then limit="timeout -k 5 $1"; fi
if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then exec sudo -n $limit /bin/sh -c "$0"; fi
exec $limit /bin/sh -c "$0"
"""
"""Runs a script for some seconds: the vendor's service cannot kill processes of root."""
_KILLED = {124, 137, -9}

_PARKED = {"stopped", "archived", "paused"}
_STARTING = {"creating", "restoring", "starting", "pulling_snapshot", "pending_build", "building_snapshot", "resuming"}
_GONE = {"destroying", "destroyed"}
_FAILED = {"error", "build_failed"}


class DaytonaBox:
    """A started box. The SDK's object belongs to a client, and is fetched again when that was closed."""

    def __init__(self, vendor: Daytona, client: AsyncDaytona, sandbox: AsyncSandbox) -> None:
        self.id = sandbox.id
        self._vendor = vendor
        self._known = client, sandbox

    async def exec(self, script: str, *, timeout: float) -> Done:
        """Run a script with `/bin/sh` as root; the vendor runs commands as the image's user, in a shell such as zsh."""
        seconds = math.ceil(timeout)
        began = time.monotonic()
        done = await self._run(_AS_ROOT, script, str(seconds), timeout=seconds + GRACE_SECONDS)
        if done.code in _KILLED and time.monotonic() - began >= seconds:
            raise ExecTimeout(f"a command in the sandbox ran longer than {seconds} s.")
        return done

    async def write(self, path: str, data: bytes) -> None:
        """Create a file; it is the image's user's."""
        async with self._sandbox() as sandbox:
            await sandbox.fs.upload_file(data, path, timeout=WRITE_SECONDS)

    async def _run(self, script: str, *arguments: str, timeout: int) -> Done:
        async with self._sandbox() as sandbox:
            ran = await sandbox.process.exec(shlex.join(["/bin/sh", "-c", script, *arguments]), timeout=timeout)
        return Done(int(ran.exit_code), str(ran.result))

    async def endpoint(self, port: int) -> Endpoint:
        """Return the preview of a port; its token is valid until the box is stopped."""
        async with self._sandbox() as sandbox:
            link = await sandbox.get_preview_link(port, request_timeout=REQUEST_SECONDS)
        return Endpoint(link.url, {"x-daytona-preview-token": link.token, "x-daytona-skip-preview-warning": "true"})

    async def extend(self, idle: int) -> None:
        """Start the time to the automatic stop again."""
        async with self._sandbox() as sandbox:
            if (minutes := _minutes(idle)) != sandbox.auto_stop_interval:
                await sandbox.set_autostop_interval(minutes, request_timeout=REQUEST_SECONDS)
            await sandbox.refresh_activity(request_timeout=REQUEST_SECONDS)

    @asynccontextmanager
    async def _sandbox(self) -> AsyncIterator[AsyncSandbox]:
        async with self._vendor.client() as client:
            if self._known[0] is not client:
                self._known = client, await self._vendor.find(client, self.id)
            yield self._known[1]


class Daytona:
    """The adapter. Its settings are those of the process's environment; no `.env` of the working directory is read."""

    name = NAME
    title = TITLE
    capabilities = Capability.EXTEND
    options = frozenset({"image", "cpus", "memory", "gpu", "network"})
    remedy = REMEDY
    boxes = 10

    def check(self) -> None:
        """Raise `MissingDependency` without the SDK, `SandboxAuth` without a key."""
        if find_spec("daytona") is None:
            raise MissingDependency(OLD_SDK) if find_spec("daytona_sdk") else missing_sdk(NAME, TITLE)
        if not Settings.read().key:
            raise missing_key(NAME, "DAYTONA_API_KEY", REMEDY)

    async def create(self, spec: BoxSpec) -> DaytonaBox:
        """Create a box. Its name follows from its labels: a creation whose answer was lost is found by it."""
        async with self.client() as client:
            asked = await asyncio.to_thread(_asked, spec)
            try:
                made = await client.create(asked, timeout=BUILD_SECONDS if spec.image else CREATE_SECONDS)
            except Exception as error:
                if not may_have_created(error):
                    raise
                try:
                    made = await self.find(client, str(asked.name))
                except SandboxGone:
                    raise error from None
                await self._start(made, CREATE_SECONDS)
            return DaytonaBox(self, client, made)

    async def attach(self, id: str, spec: BoxSpec) -> DaytonaBox:
        """Return the box, after starting it if need be."""
        async with self.client() as client:
            box = DaytonaBox(self, client, sandbox := await self.find(client, id))
            await self._start(sandbox, CHANGE_SECONDS)
            await box.extend(spec.idle)
            return box

    async def park(self, id: str, record: Callable[[str], None]) -> str:
        """Stop the box; its id stays."""
        async with self.client() as client:
            sandbox = await self.find(client, id)
            await _settled(sandbox)
            if sandbox.state not in _PARKED | _FAILED:
                await sandbox.stop(CHANGE_SECONDS)
        return id

    async def destroy(self, id: str) -> bool:
        """Delete the box; the vendor refuses that while its state changes."""
        async with self.client() as client:
            deadline = asyncio.get_running_loop().time() + CHANGE_SECONDS
            while True:
                try:
                    sandbox = await self.find(client, id)
                    await client.delete(sandbox, CHANGE_SECONDS)
                except SandboxGone:
                    return False
                except Exception as error:
                    if not is_changing(error) or asyncio.get_running_loop().time() > deadline:
                        raise
                    await asyncio.sleep(POLL_SECONDS)
                else:
                    return True

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[BoxInfo]:
        """Yield the boxes that have these labels, but those that are being removed."""
        async with self.client() as client:
            from daytona import ListSandboxesQuery

            async for found in client.list(ListSandboxesQuery(labels=dict(labels)), request_timeout=REQUEST_SECONDS):
                if found.state not in _GONE:
                    yield _info(found)

    async def aclose(self) -> None:
        """Close the connections, unless another session uses them."""
        await leave(self, Settings.read())

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncDaytona]:
        """Yield the SDK's client of this loop; its exceptions become ours."""
        self.check()
        with translated(TITLE, translate):
            async with using(self, Settings.read()) as client:
                yield client

    async def find(self, client: AsyncDaytona, id: str) -> AsyncSandbox:
        """Return the SDK's object of a box, by id or name. Raises `SandboxGone` if the vendor says that it has none."""
        from daytona.common.errors import DaytonaGoneError, DaytonaNotFoundError

        try:
            found = await client.get(id, request_timeout=REQUEST_SECONDS)
        except (DaytonaNotFoundError, DaytonaGoneError) as error:
            if error.source or id in error.message:  # else a proxy in between knows no such page
                raise SandboxGone(f"Daytona has no sandbox {id} any more.") from error
            raise
        if found.state in _GONE:
            raise SandboxGone(f"Daytona has removed the sandbox {id}.")
        return found

    async def _start(self, sandbox: AsyncSandbox, seconds: float) -> None:
        await _settled(sandbox)
        if sandbox.state in _FAILED:
            if not sandbox.recoverable:
                why = sandbox.error_reason or sandbox.state
                raise SandboxError(
                    f"Daytona cannot start the sandbox {sandbox.id}: {why}. Repair or delete it in the dashboard "
                    f"({KEYS.removesuffix('/keys')}): once it is deleted, the next prompt makes another one."
                )
            await sandbox.recover(seconds)
        elif sandbox.state in _PARKED:
            await sandbox.start(seconds)


def provider(home: Path) -> CloudProvider:
    """Return the provider `daytona`."""
    account = Daytona()
    return CloudProvider(home, account, DaytonaImages(account))


# What the SDK is asked for


def _asked(spec: BoxSpec) -> CreateSandboxFromImageParams | CreateSandboxFromSnapshotParams:
    """Return the parameters; an image without a tag is the name of a snapshot of the account."""
    from daytona import CreateSandboxFromImageParams, CreateSandboxFromSnapshotParams, Resources

    name = hashlib.sha256(repr(sorted(spec.labels.items())).encode()).hexdigest()[:16]
    common: dict[str, Any] = {
        "name": f"session-widgets-{name}",
        "labels": dict(spec.labels),
        "public": False,
        "auto_stop_interval": _minutes(spec.idle),
        "auto_archive_interval": ARCHIVE_MINUTES,
        "auto_delete_interval": DELETE_MINUTES,
    }
    if spec.network == "none":
        common["network_block_all"] = True
    elif spec.network != "open":
        ranges = {place: found for place in spec.network if (found := _range(place))}
        common["network_allow_list"] = ",".join(ranges.values()) or None
        common["domain_allow_list"] = ",".join(place for place in spec.network if place not in ranges) or None
    if spec.built:
        return CreateSandboxFromSnapshotParams(**common, snapshot=spec.built)
    sized = [name for name in ("cpus", "memory", "gpu") if getattr(spec, name) is not None]
    snapshot = spec.image is not None and is_snapshot(spec.image)
    if snapshot and sized:
        raise BadValue(
            f"the snapshot {spec.image!r} of Daytona has a size of its own: leave out {' and '.join(sized)}."
        )
    if snapshot or (spec.image is None and not sized):
        return CreateSandboxFromSnapshotParams(**common, snapshot=spec.image)
    return CreateSandboxFromImageParams(**common, image=spec.image or IMAGE, resources=Resources(**size_of(spec)))


def _range(place: str) -> str | None:
    """Return an address, or a range of addresses, as the vendor takes it; None for a name."""
    with suppress(ValueError):
        return str(IPv4Network(place))
    return None


def _minutes(seconds: float) -> int:
    """Whole minutes; 0 would mean never."""
    return max(1, math.ceil(seconds / 60))


# What it answers


def _info(found: AsyncSandbox) -> BoxInfo:
    running = found.state not in _PARKED | _FAILED
    used = found.last_activity_at or found.updated_at
    expires = None
    if running and used and found.auto_stop_interval:
        expires = _time(used) + timedelta(minutes=float(found.auto_stop_interval))
    created = _time(found.created_at) if found.created_at else datetime.now(UTC)
    return BoxInfo(found.id, found.labels, running, created, expires)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def _settled(sandbox: AsyncSandbox) -> None:
    """Wait until a change of state is over that somebody else has asked for."""
    if sandbox.state in _STARTING:
        await sandbox.wait_for_sandbox_start(CHANGE_SECONDS)
    async with asyncio.timeout(CHANGE_SECONDS):
        while sandbox.state not in {"started", *_PARKED, *_FAILED, *_GONE}:
            await asyncio.sleep(POLL_SECONDS)
            await sandbox.refresh_data(request_timeout=REQUEST_SECONDS)
    if sandbox.state in _GONE:
        raise SandboxGone(f"Daytona has removed the sandbox {sandbox.id}.")
