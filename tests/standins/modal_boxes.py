"""The books of Modal's stand-in: its images, its boxes with their clocks and tunnels, the commands in them."""

from __future__ import annotations

import asyncio
import signal
import string
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import choice
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.standins.machine import Box as Machine
from tests.standins.machine import Running

V2_ID = 26
"""Characters of a V2 id: the SDK takes `sb-` with 22 for V1."""
FILE_TOOL = "/__modal/.bin/modal-sandbox-fs-tools"
STATUS = api_pb2.GenericResult


def new_id(prefix: str, suffix: str = "") -> str:
    """Return an id of V2's shape."""
    letters = string.ascii_uppercase + string.digits
    return f"{prefix}-" + "".join(choice(letters) for _ in range(V2_ID - len(suffix))) + suffix


@dataclass
class Image:
    """A layer of an image, or a snapshot, which has a `ttl`; `tree` is None for what has this machine's files alone."""

    id: str
    commands: list[str] = field(default_factory=list)
    tree: Path | None = None
    ttl: int | None = None
    building: asyncio.Future[None] | None = None
    result: api_pb2.GenericResult | None = None
    log: list[str] = field(default_factory=list)
    started: Timestamp = field(default_factory=Timestamp)
    finished: Timestamp = field(default_factory=Timestamp)


class Command:
    """One command of `exec`: what it printed is kept, so that a cut stream goes on from its offset."""

    def __init__(self, running: Running, timeout: int | None) -> None:
        self.process = process = running.process
        self.output: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self.ended: set[int] = set()
        self.code: int | None = None
        self.written = 0
        self.closed = False
        self.lost = False
        self._running = running
        self._changed = asyncio.Condition()
        pipes = ((1, process.stdout), (2, process.stderr))
        self._tasks = [asyncio.create_task(self._read(fd, pipe)) for fd, pipe in pipes]
        self._tasks.append(asyncio.create_task(self._wait()))
        if timeout:
            self._tasks.append(asyncio.create_task(self._limit(timeout)))

    async def _read(self, fd: int, pipe: asyncio.StreamReader | None) -> None:
        assert pipe is not None
        while chunk := await pipe.read(1 << 16):
            self.output[fd] += chunk
            await self._notify()
        self.ended.add(fd)
        await self._notify()

    async def _wait(self) -> None:
        self.code = await self.process.wait()
        await self._notify()

    async def _limit(self, timeout: int) -> None:
        await asyncio.sleep(timeout)
        if self.code is None:
            self._running.signal(signal.SIGKILL)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something printed or ended makes it true. Raises an error if its box ends before."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.lost or true())
        if not true():
            raise GRPCError(Status.NOT_FOUND, "the task is not running any more")

    async def write(self, offset: int, data: bytes) -> None:
        """Give it input; what it has already received is skipped."""
        new = data[max(0, self.written - offset) :]
        assert self.process.stdin is not None
        with suppress(ConnectionError):
            self.process.stdin.write(new)
            await self.process.stdin.drain()
        self.written += len(new)

    def close_input(self) -> None:
        """End its input."""
        self.closed = True
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def forget(self) -> None:
        """Stop following it: its box has ended."""
        for task in self._tasks:
            task.cancel()
        self.lost = True
        await self._notify()


class Box:
    """One sandbox: a machine with the clocks, labels and ports of its definition."""

    def __init__(
        self, app: str, definition: api_pb2.Sandbox, tags: Mapping[str, str], machine: Machine, env: Mapping[str, str]
    ) -> None:
        self.id = machine.id
        self.task = new_id("ta", "V")
        self.app = app
        self.definition = definition
        self.tags = dict(tags)
        self.machine = machine
        self.env = dict(env)
        self.created = time.time()
        self.commands: dict[str, Command] = {}
        self.tunnels: dict[int, int] = {}
        self.result: api_pb2.GenericResult | None = None
        self.over = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._open = 0
        self._used = time.monotonic()
        self._clock: asyncio.Task[None] | None = None
        self._pipes: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """Its name, unique among the running boxes of an app."""
        return self.definition.name

    @property
    def busy(self) -> int:
        """Commands that run."""
        return sum(command.code is None for command in self.commands.values())

    async def start(self) -> None:
        """Open its tunnels, and start its clocks."""
        for spec in self.definition.open_ports.ports:
            server = await asyncio.start_server(self._forward(spec.port), "127.0.0.1", 0)
            self._servers.append(server)
            self.tunnels[spec.port] = server.sockets[0].getsockname()[1]
        self._clock = asyncio.create_task(self._watch(time.monotonic()))

    def used(self) -> None:
        """Begin its idle time again."""
        self._used = time.monotonic()

    async def _watch(self, born: float) -> None:
        idle = self.definition.idle_timeout_secs
        end = born + self.definition.timeout_secs
        while True:
            if self._open or self.busy:
                self.used()
            rest = min(end, self._used + idle if idle else end) - time.monotonic()
            if rest <= 0:
                break
            await asyncio.sleep(min(rest, 0.25 if idle else rest))
        self._clock = None
        await self.end(STATUS.GENERIC_STATUS_TIMEOUT, 124)

    def cut(self) -> None:
        """Break the connections through its tunnels."""
        for task in self._pipes:
            task.cancel()

    async def end(self, status: Any, code: int) -> None:
        """End its processes, tunnels and clocks; its disk goes with them."""
        if self.result is None:
            self.result = api_pb2.GenericResult(status=status, exitcode=code)
            if self._clock:
                self._clock.cancel()
            self.cut()
            for server in self._servers:
                server.close()
            for command in self.commands.values():
                await command.forget()
            await self.machine.kill()
            self.over.set()

    def _forward(self, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._open += 1
            try:
                inner, outer = await asyncio.open_connection("127.0.0.1", await self.machine.forward(port))
            except OSError:
                writer.close()
            else:
                pipes = [asyncio.create_task(_pipe(reader, outer)), asyncio.create_task(_pipe(inner, writer))]
                self._pipes.update(pipes)
                await asyncio.wait(pipes)
                self._pipes.difference_update(pipes)
                for end in (outer, writer):
                    end.transport.abort()
            finally:
                self._open -= 1

        return forward


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
