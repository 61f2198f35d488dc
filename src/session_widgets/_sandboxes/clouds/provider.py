"""The provider of every cloud: what is common to them, on the calls of `contract.py`.

`home/clouds/NAME/ID/` is the record of one sandbox. `ID` is ours and never changes; the vendor's id, which may change
when a box is parked or attached, is in the record. A box carries `ID` as a label: one whose creation was cut off is
found by it. The runner in it is one that sessions claim, as with `runner:URL`: files are relayed, without a key of a
store in the box.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from secrets import token_urlsafe
from typing import Any
from uuid import uuid4

from session_widgets._sandboxes.claim_client import ClaimClient
from session_widgets._sandboxes.clouds.building import built
from session_widgets._sandboxes.clouds.claiming import answers, claim, endpoint_of
from session_widgets._sandboxes.clouds.contract import Box, BoxInfo, BoxSpec, Builder, Vendor
from session_widgets._sandboxes.clouds.limits import making
from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets._sandboxes.clouds.sandbox import CloudSandbox
from session_widgets._sandboxes.clouds.setup import MACHINE, PORT, BoxSetup
from session_widgets._sandboxes.contract import Announce, SandboxInfo, SandboxSpec
from session_widgets._sandboxes.network import reached
from session_widgets._sandboxes.records import RECORD, TOKEN, alone, gone, made_of, recorded
from session_widgets.errors import SandboxAuth, SandboxError, SandboxGone
from session_widgets.host.daemon import installation, read_json, write_private
from session_widgets.model import SANDBOX_LIFETIME, Capability, Endpoint, Machine, SandboxRef
from session_widgets.progress import Progress, silent

HEALTH_SECONDS = 15
LABEL = "session_widgets"
HOME, ID, SESSION, OWNER, CREATED = (f"{LABEL}_{name}" for name in ("home", "id", "session", "owner", "created"))
_MOST_LABEL = 63
_OPTIONS = ("image", "cpus", "memory", "gpu", "setup", "ports", "network")


class CloudProvider:
    """Sandboxes at a vendor.

    Args:
        home: the data directory.
        vendor: the adapter.
        builder: makes the image of this package, and those with the commands of `setup`; None: the vendor cannot.
    """

    def __init__(self, home: Path, vendor: Vendor, builder: Builder | None = None) -> None:
        self._root = home / "clouds" / vendor.name
        self._home = home
        self.vendor = vendor
        self._builder = builder
        self.name = vendor.name
        self.capabilities = vendor.capabilities | Capability.ISOLATED | Capability.PORTS | Capability.RENTED
        self.options = vendor.options | {"env", "setup", "ports", "idle", "lifetime"}

    def check(self, harness: str, location: str) -> None:
        """Accepts any harness and any workspace, but no missing SDK or key."""
        self.vendor.check()

    async def machine(self, workspace: str) -> Machine:
        """Return the machine of a prepared box."""
        return MACHINE

    async def create(self, spec: SandboxSpec, announce: Announce) -> CloudSandbox:
        """Create a box, prepare it and claim its runner.

        Its image is built before it is announced: cancelled or killed until then, the call leaves nothing here.

        Raises:
            SandboxQuota: too many of this installation's boxes run.
        """
        self.vendor.check()
        ref = SandboxRef(self.name, uuid4().hex[:12])
        made = self._made(spec)
        finding = partial(self._built, ref, made, spec.progress)
        async with AsyncExitStack() as counted:
            turn = making(self.name, self.vendor.title, self._running, spec.progress, meanwhile=finding)
            image = await counted.enter_async_context(turn)
            await announce(ref)
            place = self._place(ref)
            place.mkdir(parents=True, mode=0o700)
            write_private(place / RECORD, {**made, "built": image})
            spec.progress(f"Creating a sandbox at {self.vendor.title}")
            creating = asyncio.create_task(self._create(ref))
            try:
                box = await asyncio.shield(creating)
                await counted.aclose()
                return await self._use(ref, spec.progress, box)
            except BaseException:
                await asyncio.shield(self._undo(ref, creating))
                raise

    async def attach(self, ref: SandboxRef) -> CloudSandbox:
        """Reconnect to the box, or start a parked one, and its runner if that does not answer."""
        return await self._use(ref, silent)

    async def end_processes(self, ref: SandboxRef) -> SandboxRef:
        """End all processes of the session; the box goes on, so that its files can be fetched without another start."""
        place = self._place(ref)
        if place.exists():
            async with self._alone(place):
                await self._end_processes(ref, place)
        return ref

    async def park(self, ref: SandboxRef) -> SandboxRef:
        """End all processes of the session, then let the vendor park the box."""
        place = self._place(ref)
        if not place.exists():
            return ref
        async with self._alone(place):
            if (made := await self._end_processes(ref, place)) is None:
                return ref

            def record(id: str) -> None:
                made["snapshots"] += [id] if id not in {made["box"], *made["snapshots"]} else []
                write_private(place / RECORD, {**made, "box": id})

            with suppress(SandboxGone):
                record(await self.vendor.park(made["box"], record))
        return ref

    async def destroy(self, ref: SandboxRef) -> bool:
        """Remove the box and its records; the workspace's location stays."""
        place = self._place(ref)
        made = read_json(place / RECORD)
        removed = False
        if made is None:  # removed before, or by another installation's kernel: only a label may lead to a box
            with suppress(SandboxAuth, ImportError):
                removed = await self._destroy_labelled(ref)
        else:
            async with self._alone(place):
                if box := made.get("box"):
                    removed = await self.vendor.destroy(box)
                for snapshot in reversed(made["snapshots"]):  # a newer one may be built on an earlier one
                    await self.vendor.destroy(snapshot)
                removed = await self._destroy_labelled(ref) or removed
        shutil.rmtree(place, ignore_errors=True)
        return removed

    async def list(self, session_id: str | None = None) -> AsyncIterator[SandboxInfo]:
        """Yield the recorded boxes, and those with this installation's label; none without SDK, key and records."""
        records = {place.name: made for place, made in recorded(self._root)}
        try:
            self.vendor.check()
        except (SandboxAuth, ImportError):
            if records:
                raise
            return
        boxes: dict[str, BoxInfo] = {}
        async for box in self.vendor.list(self._ours()):
            id = box.labels.get(ID, "")
            if id.isalnum() and (id not in boxes or box.running):
                boxes[id] = box
        for id in sorted(records.keys() | boxes.keys()):
            info = self._info(id, records.get(id), boxes.get(id))
            if session_id in {None, info.session_id}:
                yield info

    async def aclose(self) -> None:
        """Close the vendor's connections."""
        await self.vendor.aclose()

    # A new box

    async def _built(self, ref: SandboxRef, made: Mapping[str, Any], progress: Progress) -> str | None:
        """Return the image for a new box, if the vendor builds it: that of this package, or one with `setup`."""
        image, setup = made["options"]["image"], tuple(made["options"]["setup"])
        node = _needs_node(made)
        if self._builder is None or (image is not None and not setup and not node):
            return None
        recipe = Recipe(image, setup, node=image is not None and node)
        locks = self._home / "clouds" / "images" / self.name
        return await built(self._builder, self.vendor.title, recipe, self._spec(ref, made), locks, progress)

    async def _create(self, ref: SandboxRef) -> Box:
        place = self._place(ref)
        box = await self.vendor.create(self._spec(ref, made_of(place, self.name)))
        try:
            async with self._alone(place):
                write_private(place / RECORD, {**made_of(place, self.name), "box": box.id})
        except SandboxGone:  # destroyed meanwhile, by another kernel
            await self.vendor.destroy(box.id)
            raise
        return box

    def _spec(self, ref: SandboxRef, made: Mapping[str, Any]) -> BoxSpec:
        options = made["options"]
        network = options["network"]
        return BoxSpec(
            labels=self._labels(ref, made),
            ports=(PORT, *options["ports"]),
            idle=min(made["idle"], made["lifetime"]),
            lifetime=made["lifetime"],
            image=options["image"],
            cpus=options["cpus"],
            memory=options["memory"],
            gpu=options["gpu"],
            network=network if isinstance(network, str) else tuple(network),
            built=made.get("built"),
        )

    async def _undo(self, ref: SandboxRef, creating: asyncio.Task[Box]) -> None:
        """Remove what a failed or cancelled `create` has made, once the vendor has answered."""
        with suppress(BaseException):
            await creating
        with suppress(SandboxError):  # then the record stays, and a sweep removes the box
            await self.destroy(ref)

    async def _running(self) -> int:
        return sum([box.running async for box in self.vendor.list(self._ours())])

    def _made(self, spec: SandboxSpec) -> dict[str, Any]:
        return {
            "session": spec.session_id,
            "owner": spec.owner,
            "created": datetime.now(UTC).isoformat(),
            "env": dict(spec.env),
            "agents": {name: dict(entry) for name, entry in spec.agents.items()},
            "uploads": dict(spec.mounts),
            "idle": spec.idle_seconds,
            "lifetime": spec.lifetime_seconds or SANDBOX_LIFETIME,
            "options": {
                **{name: getattr(spec, name) for name in _OPTIONS},
                "network": reached(spec.network, spec.model_hosts),
            },
            "snapshots": [],
        }

    def _ours(self) -> dict[str, str]:
        return {HOME: installation(self._home)}

    def _labels(self, ref: SandboxRef, made: Mapping[str, Any]) -> dict[str, str]:
        return {
            LABEL: "1",
            **self._ours(),
            ID: ref.id,
            SESSION: _label(made["session"]),
            OWNER: _label(made["owner"]),
            CREATED: made["created"],
        }

    # Use

    async def _use(self, ref: SandboxRef, progress: Progress, new: Box | None = None) -> CloudSandbox:
        place = self._place(ref)
        async with self._alone(place):
            made = made_of(place, self.name)
            id = await self._box_of(ref, made)
            if id is None:
                raise gone(place, self.name)
            box = new or await self._attach(id, self._spec(ref, made), parked=bool(made.get("parked")))
            if box.id != made.get("box"):
                write_private(place / RECORD, made := {**made, "box": box.id})
            runner, waits = await self._runner(place, made, box, progress, new=new is not None)
            async with aclosing(ClaimClient(runner)) as client:
                await claim(ref, made, client, self.vendor.title, waits)
                for folder, inside in made["uploads"].items():
                    await client.upload(PurePosixPath(inside).name, Path(folder), progress)
            started = made.get("started", 0)
            if new is not None or made.get("parked") or time.time() > started + made["lifetime"]:
                started = time.time()  # nothing extends a life beyond its end: it was parked since, by the vendor
            write_private(place / RECORD, {**made, "claimed": True, "parked": False, "started": started})
        return CloudSandbox(ref, MACHINE.root, runner, box, made["idle"], started + made["lifetime"])

    async def _attach(self, id: str, spec: BoxSpec, *, parked: bool) -> Box:
        if not parked:
            return await self.vendor.attach(id, spec)
        async with making(self.name, self.vendor.title, self._running):
            return await self.vendor.attach(id, spec)

    async def _runner(
        self, place: Path, made: Mapping[str, Any], box: Box, progress: Progress, *, new: bool
    ) -> tuple[Endpoint, float]:
        """Return the address of the box's runner, which is started unless it answers, and how long to wait for it."""
        known = read_json(place / TOKEN)
        if known is not None:
            reached = await box.endpoint(PORT)
            endpoint = endpoint_of({**known, "url": reached.url, "headers": dict(reached.headers)})
            if await answers(endpoint, known["nonce"]):
                return endpoint, 0
        image = made.get("built") or made["options"]["image"] or "its own"
        setup, token = BoxSetup(self.vendor.title, image, box, progress), token_urlsafe(32)
        reaching = asyncio.create_task(box.endpoint(PORT))
        try:
            nonce = await setup.start(token, made["options"]["setup"], new=new, node=_needs_node(made))
            reached = await reaching
        finally:
            reaching.cancel()
            await asyncio.gather(reaching, return_exceptions=True)
        known = {"token": token, "nonce": nonce, "url": reached.url, "headers": dict(reached.headers)}
        write_private(place / TOKEN, known)
        return endpoint_of(known), HEALTH_SECONDS

    async def _end_processes(self, ref: SandboxRef, place: Path) -> dict[str, Any] | None:
        """Do so now, or when the box is attached again; returns the record, None if there is no box."""
        made, known = made_of(place, self.name), read_json(place / TOKEN)
        if (box := await self._box_of(ref, made)) is None:
            return None
        write_private(place / RECORD, made := {**made, "box": box, "parked": True})
        if known and "url" in known:
            with suppress(SandboxError):  # a box that is parked already
                async with aclosing(ClaimClient(endpoint_of(known))) as client:
                    await client.park(ref.id)
        return made

    # Records

    def _place(self, ref: SandboxRef) -> Path:
        if ref.provider != self.name or not ref.id.isalnum():
            raise SandboxGone(f"{ref} is not a sandbox of the provider {self.name!r}.")
        return self._root / ref.id

    async def _box_of(self, ref: SandboxRef, made: Mapping[str, Any]) -> str | None:
        """Return the vendor's id; of a box whose creation was cut off, by its label."""
        if box := made.get("box"):
            return str(box)
        found = [box.id async for box in self.vendor.list({**self._ours(), ID: ref.id})]
        return found[0] if found else None

    async def _destroy_labelled(self, ref: SandboxRef) -> bool:
        self.vendor.check()
        found = [box.id async for box in self.vendor.list({**self._ours(), ID: ref.id})]
        return any([await self.vendor.destroy(id) for id in found])

    def _info(self, id: str, made: Mapping[str, Any] | None, box: BoxInfo | None) -> SandboxInfo:
        facts = made or {}
        labels = box.labels if box else {}
        created = facts.get("created") or labels.get(CREATED, "")
        with suppress(ValueError):  # by our own clock, unless another program has changed the label
            return self._told(id, facts, box, datetime.fromisoformat(created))
        return self._told(id, facts, box, box.created if box else datetime.now(UTC))

    def _told(self, id: str, facts: Mapping[str, Any], box: BoxInfo | None, created: datetime) -> SandboxInfo:
        labels = box.labels if box else {}
        return SandboxInfo(
            ref=SandboxRef(self.name, id),
            session_id=facts.get("session") or labels.get(SESSION, ""),
            owner=facts.get("owner") or labels.get(OWNER, ""),
            running=box is not None and box.running,
            created_at=created,
            expires_at=self._deadline(box.expires, facts.get("idle")) if box and box.expires else None,
        )

    def _deadline(self, expires: datetime, idle: int | None) -> datetime | None:
        """Return when a box is parked, as far as that can be by our clock: the vendor's may be another hour."""
        now = datetime.now(UTC)
        if expires < now:
            return None
        if idle is None or Capability.EXTEND not in self.capabilities:
            return expires
        return min(expires, now + timedelta(seconds=idle))

    @asynccontextmanager
    async def _alone(self, place: Path) -> AsyncIterator[None]:
        """Let one process at a time start, stop or remove the box."""
        with ExitStack() as held:
            await asyncio.to_thread(held.enter_context, alone(place, self.name))
            yield


def _needs_node(made: Mapping[str, Any]) -> bool:
    """Whether a harness is a program for Node.js."""
    return any(entry["command"][0] == "node" for entry in made["agents"].values())


def _label(text: str) -> str:
    """Return a text as a label, which all vendors accept."""
    return text.encode("ascii", "xmlcharrefreplace").decode()[:_MOST_LABEL]
