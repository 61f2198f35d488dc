"""The adapter of Modal. Parking is a snapshot of the disk and the end of the box, so a parked box has another id.

A box has the name of its sandbox, and an app has one running box of a name: a creation is never doubled.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import math
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from session_widgets._sandboxes.clouds.contract import BoxInfo, BoxSpec, Network, missing_key, missing_sdk
from session_widgets._sandboxes.clouds.modal_box import ModalBox
from session_widgets._sandboxes.clouds.modal_errors import REMEDY, TITLE, VARIABLES, errors
from session_widgets._sandboxes.clouds.modal_images import ModalImages
from session_widgets._sandboxes.clouds.provider import CloudProvider
from session_widgets.errors import BadValue, SandboxBusy, SandboxGone
from session_widgets.model import Capability

if TYPE_CHECKING:
    import modal

NAME = "modal"
APP = "session-widgets"
MOST_LIFETIME = 24 * 3600
SNAPSHOT_SECONDS = 300
SNAPSHOT_TTL = 30 * 24 * 3600
CREATE_SECONDS = 900
MADE, UNTIL = "session_widgets_made", "session_widgets_until"
"""Tags beside the labels: when it was made, and when its lifetime ends."""
_MAIN = ("sleep", str(MOST_LIFETIME))
"""The main program: an image's own would end at once without a terminal, and the box with it."""
MOST_TAG = 63
_CODED, _CODE = re.compile(r"[^A-Za-z0-9.-]"), re.compile(r"_([0-9a-f]{2})")


def provider(home: Path) -> CloudProvider:
    """Return the provider; `home` is the data directory."""
    account = ModalVendor()
    return CloudProvider(home, account, ModalImages(account))


class ModalVendor:
    """Modal, with the token of `MODAL_TOKEN_ID` and `MODAL_TOKEN_SECRET`, or that of `~/.modal.toml`."""

    name = NAME
    title = TITLE
    capabilities = Capability.NONE
    options = frozenset({"image", "cpus", "memory", "gpu", "network"})
    remedy = REMEDY
    boxes = 4

    def __init__(self) -> None:
        self._opening = asyncio.Lock()
        self._client: modal.Client | None = None
        self._app: modal.App | None = None

    def check(self) -> None:
        """Raise an error if the SDK or a token is missing."""
        if find_spec("modal") is None:
            raise missing_sdk(NAME, TITLE)
        if not _has_token():
            raise missing_key(NAME, VARIABLES, REMEDY)

    async def create(self, spec: BoxSpec) -> ModalBox:
        """Create a box; an image of a registry is fetched at its first use."""
        sdk, client, _ = await self.opened()
        with errors(spec):
            if spec.built:
                image = sdk.Image.from_id(spec.built, client=client)
            else:
                image = sdk.Image.from_registry(spec.image) if spec.image else sdk.Image.debian_slim()
        return await self._make(spec, image)

    async def attach(self, id: str, spec: BoxSpec) -> ModalBox:
        """Reconnect to a running box, or make one of a snapshot."""
        sdk, client, app = await self.opened()
        if not _is_image(id):
            return ModalBox(await self._running(id))
        image = sdk.Image.from_id(id, client=client)
        with errors():  # a snapshot that is not found has expired
            await image.build.aio(app)
        return await self._make(spec, image)

    async def park(self, id: str, record: Callable[[str], None]) -> str:
        """Make a snapshot, record its id, and end the box."""
        if _is_image(id):
            return id
        sandbox = await self._running(id)
        async with ModalBox(sandbox).in_use():
            image = await sandbox.snapshot_filesystem.aio(timeout=SNAPSHOT_SECONDS, ttl=SNAPSHOT_TTL)
        record(image.object_id)
        await _end(sandbox)
        return str(image.object_id)

    async def destroy(self, id: str) -> bool:
        """End the box, or remove the snapshot."""
        if _is_image(id):
            return await self._forget(id)
        sandbox = await self._found(id)
        if sandbox is None or sandbox.returncode is not None:
            return False
        await _end(sandbox)
        return True

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[BoxInfo]:
        """Yield the running boxes with these labels. Modal lists no snapshot: parked ones are in the records."""
        sdk, client, app = await self.opened()
        with errors():
            found = [
                sandbox async for sandbox in sdk.Sandbox.list.aio(app_id=app.app_id, tags=_tags(labels), client=client)
            ]
        for sandbox in found:
            try:
                with errors():
                    tags = await sandbox.get_tags.aio()
            except SandboxGone:
                continue
            made, until = (_time(tags.get(name)) for name in (MADE, UNTIL))
            found_labels = {name: _label(value) for name, value in tags.items()}
            yield BoxInfo(
                sandbox.object_id, found_labels, running=True, created=made or datetime.now(UTC), expires=until
            )

    async def aclose(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close.aio()

    async def opened(self) -> tuple[Any, modal.Client, modal.App]:
        """Return the SDK, a client and our app."""
        self.check()
        sdk = await asyncio.to_thread(_sdk)
        async with self._opening:
            if self._client is None or self._app is None:
                with errors():
                    client = await sdk.Client.from_credentials.aio(*_token())
                    try:
                        self._app = await sdk.App.lookup.aio(APP, client=client, create_if_missing=True)
                    except BaseException:
                        await client.close.aio()
                        raise
                self._client = client
        return sdk, self._client, self._app

    async def _make(self, spec: BoxSpec, image: modal.Image) -> ModalBox:
        sdk, client, app = await self.opened()
        if spec.lifetime > MOST_LIFETIME:
            raise BadValue(f"lifetime: Modal ends every sandbox after 24 hours; got {spec.lifetime / 3600:g} hours.")
        now, name = int(time.time()), _name(spec.labels)
        memory = math.ceil((spec.memory or 0) / (1 << 20))
        options = {
            "name": name,
            "image": image,
            "tags": {**_tags(spec.labels), MADE: str(now), UNTIL: str(now + spec.lifetime)},
            "timeout": spec.lifetime,
            "idle_timeout": spec.idle,
            "cpu": (spec.cpus, spec.cpus) if spec.cpus else None,
            "memory": (memory, memory) if memory else None,
            "gpu": spec.gpu,
            "encrypted_ports": spec.ports,
            **_network(spec.network),
        }
        try:
            async with asyncio.timeout(CREATE_SECONDS):
                while True:
                    with errors(spec), suppress(sdk.exception.AlreadyExistsError):
                        return ModalBox(await sdk.Sandbox.create.aio(*_MAIN, app=app, client=client, **options))
                    with errors(spec), suppress(sdk.exception.NotFoundError):  # made by a call whose answer was lost
                        return ModalBox(await sdk.Sandbox.from_name.aio(APP, name, client=client))
                    await asyncio.sleep(0.5)  # it is about to end, and keeps its name until then
        except TimeoutError as error:
            raise SandboxBusy(
                f"Modal made no sandbox within {CREATE_SECONDS // 60} minutes: try again later."
            ) from error

    async def _found(self, id: str) -> modal.Sandbox | None:
        """Return a box, running or ended; None if there never was one."""
        sdk, client, _ = await self.opened()
        try:
            with errors():
                sandbox: modal.Sandbox = await sdk.Sandbox.from_id.aio(id, client=client)
        except SandboxGone:
            return None
        return sandbox

    async def _running(self, id: str) -> modal.Sandbox:
        """Return a running box."""
        sandbox = await self._found(id)
        if sandbox is None or sandbox.returncode is not None:
            raise _gone(id)
        return sandbox

    async def _forget(self, image: str) -> bool:
        sdk, client, _ = await self.opened()
        try:
            with errors():
                await sdk.experimental.image_delete.aio(image, client=client)
        except SandboxGone:
            return False
        return True


async def _end(sandbox: modal.Sandbox) -> None:
    from modal.exception import SandboxTimeoutError

    with suppress(SandboxGone), errors(), suppress(SandboxTimeoutError):  # its time was over before
        await sandbox.terminate.aio(wait=True)


def _sdk() -> Any:
    import modal
    import modal.exception
    import modal.experimental

    return modal


def _gone(id: str) -> SandboxGone:
    return SandboxGone(f"the sandbox {id} at Modal no longer exists: its idle time or its lifetime has ended.")


def _network(wanted: Network) -> dict[str, Any]:
    """Return the options of a network. `block_network` would close the runner's port, too."""
    if wanted == "open":
        return {}
    hosts = () if isinstance(wanted, str) else wanted
    addresses = [host for host in hosts if _is_address(host)]
    return {"outbound_cidr_allowlist": addresses, "outbound_domain_allowlist": [*({*hosts} - {*addresses})]}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False
    return True


def _is_image(id: str) -> bool:
    return id.startswith("im-")


def _name(labels: Mapping[str, str]) -> str:
    """Return the name of the box with these labels: the same for a sandbox, before and after it was parked."""
    return "sw-" + hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:24]


def _tags(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels as tags: one to 63 letters, digits, dashes, periods and underscores."""
    coded = {name: _CODED.sub(lambda found: f"_{ord(found[0]):02x}", text) for name, text in labels.items()}
    return {name: text[:MOST_TAG] for name, text in coded.items() if text}


def _label(tag: str) -> str:
    return _CODE.sub(lambda found: chr(int(found[1], 16)), tag)


def _time(seconds: str | None) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if seconds and seconds.isdecimal() else None


def _has_token() -> bool:
    """Whether a token is set, without the import of the SDK."""
    if os.environ.get("MODAL_TOKEN_ID") and os.environ.get("MODAL_TOKEN_SECRET"):
        return True
    path = os.environ.get("MODAL_CONFIG_PATH") or Path.home() / ".modal.toml"
    with suppress(OSError, ValueError):
        return "token_id" in Path(path).read_text(encoding="utf-8")
    return False


def _token() -> tuple[str, str]:
    from modal.config import config

    id, secret = config["token_id"], config["token_secret"]
    if not id or not secret:
        raise missing_key(NAME, VARIABLES, f"{REMEDY} A kernel that was running before finds it once it is restarted.")
    return id, secret
