"""A vendor without an SDK: boxes of this machine, asked directly. It tests `CloudProvider` alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from itertools import count

from session_widgets._sandboxes.clouds.contract import BoxInfo, BoxSpec, Done
from session_widgets.errors import ExecTimeout, SandboxGone
from session_widgets.model import Capability, Endpoint
from tests.standins.machine import Box, Boxes


class PlainBox:
    """A box, with its vendor's id."""

    def __init__(self, box: Box) -> None:
        self.id = box.id
        self._box = box
        self.extended: list[int] = []
        self.asked: list[str] = []
        self.sent: list[bytes] = []

    async def exec(self, script: str, *, timeout: float) -> Done:
        self.asked.append("exec")
        self.sent.append(script.encode())
        try:
            done = await self._box.run(["/bin/sh", "-c", script], timeout=timeout)
        except TimeoutError:
            raise ExecTimeout(script) from None
        return Done(done.code, (done.out + done.err).decode())

    async def write(self, path: str, data: bytes) -> None:
        self.asked.append("write")
        self.sent.append(data)
        await self._box.write(path, data)

    async def endpoint(self, port: int) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{await self._box.forward(port)}", {"x-vendor": "secret-of-the-vendor"})

    async def extend(self, idle: int) -> None:
        self.extended.append(idle)


class PlainVendor:
    """A vendor.

    Attributes:
        late: if set, `create` waits for it after the box exists.
        renames: whether `park` and `attach` change the id.
    """

    name = "plain"
    title = "Plain"
    capabilities = Capability.EXTEND
    options = frozenset({"image", "gpu"})
    remedy = ""
    boxes = 20

    def __init__(self, boxes: Boxes) -> None:
        self.books = boxes
        self.labels: dict[str, Mapping[str, str]] = {}
        self.specs: list[BoxSpec] = []
        self.late: asyncio.Event | None = None
        self.renames = False
        self.given: list[PlainBox] = []
        self.destroyed: list[str] = []
        self._parked: set[str] = set()
        self._numbers = count(1)

    def check(self) -> None:
        pass

    async def create(self, spec: BoxSpec) -> PlainBox:
        self.specs.append(spec)
        box = await self.books.start(f"box{next(self._numbers)}")
        self.labels[box.id] = spec.labels
        if self.late:
            await self.late.wait()
        return self._give(box)

    async def attach(self, id: str, spec: BoxSpec) -> PlainBox:
        box = self._box(id)
        self._parked.discard(id)
        box.resume()
        return self._give(box)

    async def park(self, id: str, record: Callable[[str], None]) -> str:
        box = self._box(id)
        if box.state == "running":
            await box.pause()
        if self.renames and id not in self._parked:
            del self.books.live[id]
            self.labels[f"{id}x"] = self.labels.pop(id)
            box.id = f"{id}x"
            self.books.live[box.id] = box
            record(box.id)
        self._parked.add(box.id)
        return box.id

    async def destroy(self, id: str) -> bool:
        self.destroyed.append(id)
        return await self.books.kill(id)

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[BoxInfo]:
        for box in tuple(self.books.live.values()):
            if labels.items() <= self.labels[box.id].items():
                yield BoxInfo(box.id, self.labels[box.id], box.state == "running", datetime.now(UTC))

    async def aclose(self) -> None:
        pass

    def _box(self, id: str) -> Box:
        if id not in self.books.live:
            raise SandboxGone(id)
        return self.books.live[id]

    def _give(self, box: Box) -> PlainBox:
        self.given.append(PlainBox(box))
        return self.given[-1]
