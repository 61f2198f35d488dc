"""The builder of Daytona's stand-in: snapshots, made of Dockerfiles, with the output of their builds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web
from daytona_api_client_async.models import CreateSnapshot, SnapshotDto, SnapshotState, Url

from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.daytona_images import size_of
from session_widgets._sandboxes.clouds.recipes import Recipe
from tests.standins import builds
from tests.standins.daytona_boxes import Refused


class Snapshot:
    """A snapshot: its state, the output of its build, and its files."""

    def __init__(self, asked: CreateSnapshot, state: SnapshotState = SnapshotState.BUILDING) -> None:
        self.id = str(uuid4())
        self.asked = asked
        self.state = state
        self.error: str | None = None
        self.tree: Path | None = None
        self.output = b""
        self.ended = asyncio.Condition()
        self._created = datetime.now(UTC)

    def answer(self) -> web.Response:
        """Return its description in the SDK's own type."""
        asked = self.asked
        told = SnapshotDto(
            id=self.id,
            general=False,
            name=asked.name,
            state=self.state,
            size=0.4,
            entrypoint=asked.entrypoint,
            cpu=asked.cpu or 1,
            gpu=asked.gpu or 0,
            mem=asked.memory or 1,
            disk=asked.disk or 3,
            error_reason=self.error,
            created_at=self._created,
            updated_at=datetime.now(UTC),
            last_used_at=None,
            source_sandbox_id=None,
        )
        return web.Response(text=told.to_json(), content_type="application/json")


class Snapshots:
    """All snapshots of the account."""

    def __init__(self, place: Path, base: Callable[[], str]) -> None:
        self._place = place
        self._base = base
        self._tasks: set[asyncio.Future[None]] = set()
        size = size_of(BoxSpec({}, (), 1, 1))
        name = Recipe(None, ()).name(sorted(size.items()))
        known = [Snapshot(CreateSnapshot(name=one), SnapshotState.ACTIVE) for one in ("daytona-small", name)]
        self.all = {snapshot.id: snapshot for snapshot in known}
        self.asked: list[dict[str, Any]] = []

    @property
    def routes(self) -> list[web.RouteDef]:
        """What the SDK asks for."""
        return [
            web.post("/api/snapshots", self._create),
            web.get("/api/snapshots/{snapshot}", self._get),
            web.delete("/api/snapshots/{snapshot}", self._remove),
            web.post("/api/snapshots/{snapshot}/activate", self._activate),
            web.get("/api/snapshots/{snapshot}/build-logs-url", self._url),
            web.get("/api/snapshots/{snapshot}/build-logs", self._logs),
        ]

    def active(self, name: str) -> Snapshot:
        """Return a snapshot that sandboxes can be made of."""
        found = self._find(name)
        if found.state is not SnapshotState.ACTIVE:
            raise Refused(400, f"Snapshot {name} is {found.state.value}")
        return found

    def show(self) -> dict[str, str]:
        """Return their states by name."""
        return {snapshot.asked.name: snapshot.state.value for snapshot in self.all.values()}

    def set_aside(self, name: str) -> None:
        """Make one inactive, as after two weeks without use."""
        self._find(name).state = SnapshotState.INACTIVE

    async def close(self) -> None:
        """End the builds."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _find(self, wanted: str) -> Snapshot:
        for snapshot in self.all.values():
            if wanted in {snapshot.id, snapshot.asked.name}:
                return snapshot
        raise Refused(404, f"Snapshot {wanted} not found")

    async def _create(self, request: web.Request) -> web.Response:
        asked = CreateSnapshot.from_dict(await request.json())
        assert asked is not None
        assert not asked.additional_properties
        assert asked.build_info is not None
        if asked.name in self.show():
            raise Refused(409, f'Snapshot with name "{asked.name}" already exists for this organization')
        self.asked.append(asked.to_dict())
        snapshot = Snapshot(asked)
        self.all[snapshot.id] = snapshot
        task = asyncio.ensure_future(self._build(snapshot, asked.build_info.dockerfile_content))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return snapshot.answer()

    async def _build(self, snapshot: Snapshot, dockerfile: str) -> None:
        def log(text: str) -> None:
            snapshot.output += f"{text}\n".encode()

        try:
            snapshot.tree = await builds.build(self._place, None, _commands(dockerfile), ("/bin/sh", "-c"), log)
            snapshot.state = SnapshotState.ACTIVE
        except builds.Failed as failed:
            snapshot.error, snapshot.state = str(failed), SnapshotState.BUILD_FAILED
        async with snapshot.ended:
            snapshot.ended.notify_all()

    async def _get(self, request: web.Request) -> web.Response:
        return self._find(request.match_info["snapshot"]).answer()

    async def _remove(self, request: web.Request) -> web.Response:
        snapshot = self.all.pop(self._find(request.match_info["snapshot"]).id)
        await builds.forget(snapshot.tree)
        return web.Response()

    async def _activate(self, request: web.Request) -> web.Response:
        snapshot = self._find(request.match_info["snapshot"])
        if snapshot.state is not SnapshotState.INACTIVE:
            raise Refused(400, f"Snapshot {snapshot.asked.name} is already active")
        snapshot.state = SnapshotState.ACTIVE
        return snapshot.answer()

    async def _url(self, request: web.Request) -> web.Response:
        snapshot = self._find(request.match_info["snapshot"])
        return web.json_response(Url(url=f"{self._base()}/api/snapshots/{snapshot.id}/build-logs").to_dict())

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        """Send the output once the build has ended."""
        snapshot = self._find(request.match_info["snapshot"])
        stream = web.StreamResponse()
        await stream.prepare(request)
        async with snapshot.ended:
            await snapshot.ended.wait_for(lambda: snapshot.state is not SnapshotState.BUILDING)
        await stream.write(snapshot.output)
        await stream.write_eof()
        return stream


def _commands(dockerfile: str) -> list[str]:
    """Return the commands of a Dockerfile of the kind that the SDK writes: one line an instruction, all as root."""
    first, user, *rest = dockerfile.strip().split("\n")
    assert first.startswith("FROM ")
    assert user == "USER root"
    assert rest[-1] == 'ENTRYPOINT ["sleep", "infinity"]'
    words = [line.partition(" ") for line in rest[:-1]]
    assert {name for name, _, _ in words} <= {"RUN"}, dockerfile
    return [command for _, _, command in words]
