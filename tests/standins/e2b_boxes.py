"""The boxes of E2B's stand-in, with the clock that pauses or ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from e2b.api.client.models import ListedSandbox, NewSandboxV2, Sandbox, SandboxDetail, SandboxState

from tests.standins.machine import Box, Boxes

DOMAIN = "e2b.invalid"
VERSION = "0.6.9"
DISK_MB = 4096
MOST_SECONDS = 24 * 3600
"""Of the plan Pro."""


class Missing(Exception):
    """No such box, or template."""


class Refused(Exception):
    """The plan does not allow it."""


class Conflict(Exception):
    """It is in another state."""


class Template(Protocol):
    """What a box is made of."""

    tree: Path | None
    size: tuple[int, int]


@dataclass(eq=False)
class Rented:
    """A box with what its customer asked for."""

    id: str
    box: Box
    asked: NewSandboxV2
    started: datetime
    ends: datetime
    envd_token: str
    traffic_token: str | None
    size: tuple[int, int]
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    ahead: timedelta = timedelta()
    """What the vendor's clock shows more than ours."""

    @property
    def state(self) -> SandboxState:
        return SandboxState.PAUSED if self.box.state == "paused" else SandboxState.RUNNING

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.asked.metadata or {})

    def created(self) -> dict[str, Any]:
        """What `create` and `connect` answer."""
        return Sandbox(
            template_id=self.asked.template_id,
            sandbox_id=self.id,
            client_id="standin",
            envd_version=VERSION,
            envd_access_token=self.envd_token,
            traffic_access_token=self.traffic_token,
            domain=DOMAIN,
        ).to_dict()

    def listed(self) -> dict[str, Any]:
        return ListedSandbox(**self._facts()).to_dict()

    def detail(self) -> dict[str, Any]:
        return SandboxDetail(**self._facts(), domain=DOMAIN).to_dict()

    def _facts(self) -> dict[str, Any]:
        return {
            "template_id": self.asked.template_id,
            "sandbox_id": self.id,
            "client_id": "standin",
            "started_at": self.started + self.ahead,
            "end_at": self.ends + self.ahead,
            "state": self.state,
            "envd_version": VERSION,
            "metadata": self.metadata,
            "cpu_count": self.size[0],
            "memory_mb": self.size[1],
            "disk_size_mb": DISK_MB,
        }


class House:
    """All boxes of the account."""

    def __init__(self, home: Path) -> None:
        self._boxes = Boxes(home)
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.rented: dict[str, Rented] = {}
        self.by_key: dict[str, str] = {}

    async def create(self, asked: NewSandboxV2, key: str | None, template: Callable[[str], Template]) -> Rented:
        """Make a box with the files and the size of its template; the same key makes no second one."""
        if key and (known := self.by_key.get(key)):
            return self.get(known)
        if int(asked.timeout or 15) > MOST_SECONDS:
            raise Refused("Timeout cannot be greater than 24 hours")
        made_of = template(asked.template_id)
        id = f"i{next(self._numbers):020d}"
        if key:
            self.by_key[key] = id
        box = await self._boxes.start(id, copy_of=made_of.tree)
        now = datetime.now(UTC)
        public = not asked.network or asked.network.allow_public_traffic is not False
        token = None if public else f"traffic-{id}"
        rented = Rented(id, box, asked, now, now, f"envd-{id}", token, made_of.size)
        self.rented[id] = rented
        self.set_timeout(rented, int(asked.timeout or 15))
        return rented

    def get(self, id: str) -> Rented:
        if id not in self.rented:
            raise Missing(f"sandbox {id} not found")
        return self.rented[id]

    def set_timeout(self, rented: Rented, seconds: float) -> None:
        """Let it end, or pause, `seconds` from now."""
        if rented.timer:
            rented.timer.cancel()
        rented.ends = datetime.now(UTC) + timedelta(seconds=seconds)
        rented.timer = asyncio.get_running_loop().call_later(seconds, self._spawn, lambda: self.expire(rented))

    async def expire(self, rented: Rented) -> None:
        """Its time is over."""
        if rented.id in self.rented and rented.state is SandboxState.RUNNING:
            await (self.pause(rented) if rented.asked.auto_pause is True else self.kill(rented.id))

    async def pause(self, rented: Rented) -> None:
        if rented.state is SandboxState.PAUSED:
            raise Conflict(f"sandbox {rented.id} is paused already")
        if rented.timer:
            rented.timer.cancel()
        await rented.box.pause()

    def connect(self, rented: Rented, seconds: int) -> None:
        """Resume it, or let it run longer."""
        paused = rented.state is SandboxState.PAUSED
        rented.box.resume()
        if paused or rented.ends < datetime.now(UTC) + timedelta(seconds=seconds):
            self.set_timeout(rented, seconds)

    def rename(self, rented: Rented) -> None:
        """Give it another id."""
        del self.rented[rented.id]
        self._boxes.live[f"{rented.id}x"] = self._boxes.live.pop(rented.id)
        rented.id = rented.box.id = f"{rented.id}x"
        self.rented[rented.id] = rented

    async def kill(self, id: str) -> bool:
        rented = self.rented.pop(id, None)
        if rented is None:
            return False
        if rented.timer:
            rented.timer.cancel()
        await self._boxes.kill(id)
        return True

    async def close(self) -> None:
        for id in tuple(self.rented):
            await self.kill(id)
        await self._boxes.close()
        for task in tuple(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _spawn(self, work: Callable[[], Any]) -> None:
        task = asyncio.ensure_future(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
