"""The boxes of Daytona's stand-in: states, clocks, names and labels; previews of their ports."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from daytona_api_client_async.models import (
    CreateSandbox,
    PortPreviewUrl,
    Sandbox,
    SandboxClass,
    SandboxDesiredState,
    SandboxListItem,
    SandboxState,
)

from tests.standins import machine
from tests.standins.daytona_account import PREVIEW_TOKEN

MOST_HEAD = 64 << 10
SUDO = """#!/bin/sh
[ "$1" = -n ] && shift
exec /usr/local/bin/.root --reuid 0 --regid 0 --clear-groups "$@"
"""

Change = Callable[[], Awaitable[None]]
Changed = Callable[["Box", SandboxState], Awaitable[None]]


class Refused(Exception):
    """An answer with the vendor's envelope."""

    def __init__(self, status: int, message: str, code: str = "", source: str = "DAYTONA_API") -> None:
        super().__init__(message)
        self.status = status
        self.envelope = {
            "statusCode": status,
            "message": message,
            "code": code,
            "source": source,
            "timestamp": datetime.now(UTC).isoformat(),
        }


class Box:
    """One sandbox. Its clock begins again with each use by the SDK; `let_pass` lets it run faster than the time."""

    def __init__(
        self, asked: CreateSandbox, place: Path, base: str, changed: Changed, *, tree: Path | None, root: bool
    ) -> None:
        self.id = str(uuid4())
        self.asked = asked
        self.name = asked.name or self.id
        self.labels = dict(asked.labels or {})
        self.state = SandboxState.CREATING
        self.error: str | None = None
        self.recoverable = False
        self.root = root
        self._tree = tree
        self._place = place / self.id
        self._machine: machine.Box | None = None
        self.used = self.created = datetime.now(UTC)
        self.ahead = timedelta()  # what the vendor's clock shows more than ours
        self.intervals = {
            "stop": 15 if asked.auto_stop_interval is None else asked.auto_stop_interval,
            "archive": asked.auto_archive_interval or 7 * 24 * 60,
            "delete": -1 if asked.auto_delete_interval is None else asked.auto_delete_interval,
        }
        self.gone_after = asked.ttl_minutes or 0
        self.lock = asyncio.Lock()
        self._base = base
        self._changed = changed
        self._clock: asyncio.TimerHandle | None = None
        self._left: tuple[float, Change] | None = None
        self._previews: dict[int, Preview] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def machine(self) -> machine.Box:
        """Its namespaces; raises the proxy's refusal unless it is started."""
        if self.state is not SandboxState.STARTED or self._machine is None:
            why = "sandbox is not running — start the sandbox before accessing it"
            raise Refused(400, why, "SANDBOX_NOT_STARTED", "DAYTONA_PROXY")
        return self._machine

    @property
    def line(self) -> dict[str, int]:
        """What its `Line` has seen."""
        return self._machine.line.seen if self._machine else {}

    async def _give_sudo(self, box: machine.Box) -> None:
        """The vendor's own image has `sudo` without a password, for its user; images of registries run as root."""
        await box.write("/usr/local/bin/sudo", SUDO.encode())
        prepare = "chmod 755 /usr/local/bin/sudo && cp /usr/bin/setpriv /usr/local/bin/.root"
        await box.run(
            ["/bin/sh", "-c", f"{prepare} && chown 0:1000 /usr/local/bin/.root && chmod 4750 /usr/local/bin/.root"]
        )

    @property
    def home(self) -> str:
        """The home directory of its user."""
        return "/root" if self.root else "/home/user"

    @property
    def user(self) -> machine.User:
        """Whose rights its commands have: those of the image's user; the `user` of a box is a label."""
        return machine.ROOT if self.root else (1000, 1000)

    @property
    def alive(self) -> bool:
        """Whether it still exists."""
        return self.state not in {SandboxState.DESTROYING, SandboxState.DESTROYED}

    def dto(self) -> Sandbox:
        """Return its description in the SDK's own type."""
        return Sandbox(**self._common(), env=dict(self.asked.env or {}), kvm=False, sandbox_class="container")

    def item(self) -> SandboxListItem:
        """Return what a listing says of it."""
        return SandboxListItem(**self._common(), sandbox_class=SandboxClass.CONTAINER)

    def _common(self) -> dict[str, Any]:
        asked = self.asked
        stopped = self.state in {SandboxState.STOPPED, SandboxState.STOPPING, SandboxState.ARCHIVED}
        desired = SandboxDesiredState.STOPPED if stopped else SandboxDesiredState.STARTED
        return {
            "id": self.id,
            "organization_id": "org-of-the-stand-in",
            "name": self.name,
            "snapshot": None if asked.build_info else asked.snapshot or "daytona-small",
            "user": asked.user or "daytona",
            "labels": self.labels,
            "public": bool(asked.public),
            "network_block_all": bool(asked.network_block_all),
            "network_allow_list": asked.network_allow_list,
            "domain_allow_list": asked.domain_allow_list,
            "target": asked.target or "us",
            "cpu": asked.cpu or 1,
            "gpu": asked.gpu or 0,
            "memory": asked.memory or 1,
            "disk": asked.disk or 3,
            "state": self.state,
            "desired_state": desired if self.alive else SandboxDesiredState.DESTROYED,
            "error_reason": self.error,
            "recoverable": self.recoverable,
            "auto_stop_interval": self.intervals["stop"],
            "auto_archive_interval": self.intervals["archive"],
            "auto_delete_interval": self.intervals["delete"],
            "created_at": (self.created + self.ahead).isoformat(),
            "updated_at": (datetime.now(UTC) + self.ahead).isoformat(),
            "last_activity_at": (self.used + self.ahead).isoformat(),
            "toolbox_proxy_url": f"{self._base}/toolbox",
        }

    async def become(self, state: SandboxState) -> None:
        """Change the state, tell every client, and set the clock of the new state."""
        old, self.state = self.state, state
        self.touch()
        await self._changed(self, old)

    def touch(self) -> None:
        """Count a use: the clock of the state begins again."""
        self.used = datetime.now(UTC)
        clock = {
            SandboxState.STARTED: [("stop", self.stop)],
            SandboxState.STOPPED: [("archive", self.archive), ("delete", self.destroy)],
            SandboxState.ARCHIVED: [("delete", self.destroy)],
        }.get(self.state, [])
        due = [(self.intervals[name], do) for name, do in clock if self.intervals[name] > 0]
        self._wind(min(due, key=lambda one: one[0]) if due else None)

    def _wind(self, left: tuple[float, Change] | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._clock, self._left = None, left
        if left is not None:
            self._clock = asyncio.get_running_loop().call_later(left[0] * 60, self.soon, left[1])

    async def let_pass(self, minutes: float) -> None:
        """Act as after this time without any use."""
        if self._left is not None:
            left, do = self._left
            self._wind((left - minutes, do))
            if left <= minutes:
                await self.alone(do)

    def soon(self, do: Change) -> None:
        """Run a change of state beside the request that asked for it."""
        task = asyncio.ensure_future(self.alone(do))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def alone(self, do: Change) -> None:
        """Change the state, once an earlier change is done."""
        async with self.lock:
            try:
                await do()
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
                await self.become(SandboxState.ERROR)
                raise

    async def start(self) -> None:
        """Start its machine; previews get another token."""
        if self.state in {SandboxState.STARTED, SandboxState.DESTROYED}:
            return
        for preview in self._previews.values():  # tokens are those of one run; the addresses stay, as host names do
            preview.token = secrets.token_hex(16)
        if self.state is not SandboxState.CREATING:
            await self.become(SandboxState.RESTORING if self.state is SandboxState.ARCHIVED else SandboxState.STARTING)
        new = self.state is SandboxState.CREATING
        box = await machine.Box.start(self.id, self._place, copy_of=self._tree if new else None)
        if not self.root:
            await self._give_sudo(box)
        self._machine = box
        await self.become(SandboxState.STARTED)

    async def break_down(self, recoverable: bool) -> None:
        """End as after a failure of the vendor's."""
        self.error, self.recoverable = "the disk is full", recoverable
        self.cut()
        await self._kill(keep=True)
        await self.become(SandboxState.ERROR)

    async def fail(self) -> None:
        """End the build of its image without one."""
        self.error = "manifest for the image is unknown"
        await self.become(SandboxState.BUILD_FAILED)

    async def stop(self) -> None:
        """Kill its processes, keep its disk."""
        if self.state in {SandboxState.STOPPED, SandboxState.ARCHIVED, SandboxState.DESTROYED}:
            return
        await self.become(SandboxState.STOPPING)
        self.cut()
        await self._kill(keep=True)
        await self.become(SandboxState.STOPPED)
        if self.intervals["delete"] == 0:
            await self.destroy()

    async def archive(self) -> None:
        """Move a stopped one's disk to the cheap store."""
        if self.state is SandboxState.STOPPED:
            await self.become(SandboxState.ARCHIVING)
            await self.become(SandboxState.ARCHIVED)

    async def destroy(self) -> None:
        """Remove it with its disk."""
        if self.state is SandboxState.DESTROYED:
            return
        await self.become(SandboxState.DESTROYING)
        self.cut()
        await self._kill(keep=False)
        await self.become(SandboxState.DESTROYED)

    async def preview(self, port: int) -> PortPreviewUrl:
        """Return the address of a port and the token for it; the same until the box is stopped."""
        if port not in self._previews:
            self._previews[port] = await Preview.open(self, port)
        found = self._previews[port]
        return PortPreviewUrl(sandbox_id=self.id, url=found.url, token=found.token)

    def cut(self) -> int:
        """Break the open connections of its previews; return how many there were."""
        return sum(preview.cut() for preview in self._previews.values())

    async def close(self) -> None:
        """End its listeners and clocks, for the end of the stand-in."""
        if self._clock is not None:
            self._clock.cancel()
        for preview in self._previews.values():
            preview.close()
        await self._kill(keep=False)

    async def _kill(self, *, keep: bool) -> None:
        if self._machine is not None:
            await self._machine.kill(keep=keep)
        elif not keep:
            await asyncio.to_thread(shutil.rmtree, self._place, ignore_errors=True)
        self._machine = None


class Preview:
    """A port of a box as a host of its own. One request a connection: each is checked for the token."""

    def __init__(self, box: Box, port: int) -> None:
        self.token = secrets.token_hex(16)
        self._box = box
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    @classmethod
    async def open(cls, box: Box, port: int) -> Preview:
        """Listen on a free port of this machine."""
        preview = cls(box, port)
        preview._server = await asyncio.start_server(preview._serve, "127.0.0.1", 0, limit=MOST_HEAD)
        return preview

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._server.close()
        self.cut()

    def cut(self) -> int:
        """Break the open connections."""
        for writer in (were := list(self._open)):
            writer.transport.abort()
        return len(were)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            inner, outer = await self._connected(head)
            try:
                inwards = asyncio.create_task(_pump(reader, outer))
                answer = asyncio.create_task(self._answer(inner, writer))
                await asyncio.wait({inwards, answer}, return_when=asyncio.FIRST_COMPLETED)
                if reader.at_eof() or reader.exception():  # the client has left
                    answer.cancel()
                await asyncio.wait({answer})
                inwards.cancel()
                await asyncio.gather(inwards, return_exceptions=True)
                if not answer.cancelled():
                    answer.result()
            finally:
                outer.close()
        except Refused as refused:
            body = json.dumps(refused.envelope).encode()
            start = f"HTTP/1.1 {refused.status} Refused\r\ncontent-type: application/json\r\n".encode()
            writer.write(start + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            with suppress(ConnectionError, TimeoutError):
                await writer.drain()
                await asyncio.wait_for(reader.read(), 1)  # what it still sends would reset the answer
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, inner: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            if first := await inner.read(1 << 16):
                writer.write(first)
                await _pump(inner, writer)
                return
        raise Refused(502, f"runner is unreachable: port {self._port}", "RUNNER_UNREACHABLE", "DAYTONA_PROXY")

    async def _connected(self, head: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Check the token, connect to the box, and pass the head on without the token, as the vendor does."""
        request, *lines = head[:-4].decode("latin-1").split("\r\n")
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        given: Mapping[str, str] = dict(fields)
        if not secrets.compare_digest(given.get(PREVIEW_TOKEN, ""), self.token):
            raise Refused(401, "authentication failed: auth key header is invalid", "", "DAYTONA_PROXY")
        if not self._box.alive:
            raise Refused(404, f"sandbox {self._box.id} not found", "SANDBOX_NOT_FOUND", "DAYTONA_PROXY")
        inside = self._box.machine
        inner, outer = await asyncio.open_connection("127.0.0.1", await inside.forward(self._port))
        upgrades = "upgrade" in given.get("connection", "").lower()
        kept = [(name, value) for name, value in fields if name != PREVIEW_TOKEN and (upgrades or name != "connection")]
        if not upgrades:
            kept.append(("connection", "close"))
        outer.write("\r\n".join([request, *(f"{name}: {value}" for name, value in kept), "", ""]).encode("latin-1"))
        return inner, outer


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what arrives, until its end."""
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
