"""The doors of a sandbox without a network: Unix sockets in a directory that only it and its gateway see.

Inside, the kernel gives it no interface but its own loopback, so nothing has to be filtered there: no route, no name
server, no neighbour. `gateway.py`, in another container, connects to `<port>` and so to that port of this loopback, and
serves `proxy`, to which the port of the proxy in here leads. Its connection to `alive` ends with the runner.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALIVE, PROXY = "alive", "proxy"
PIECE = 1 << 16
BACKLOG = 256
MOST_CONNECTIONS = 256

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Carry = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DoorsConfig:
    """The doors of a runner.

    Attributes:
        directory: with the sockets; agents cannot pass the directory above it.
        ports: of the loopback, the runner's own and those of programs.
        proxy: port of the loopback that leads to the gateway's proxy; None: there is no way out.
    """

    directory: Path
    ports: tuple[int, ...]
    proxy: int | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DoorsConfig:
        """Read it from a configuration file; raise `ValueError` for anything else."""
        match value:
            case {"directory": str(directory), "ports": [*ports], "proxy": int() | None as proxy}:
                if all(type(port) is int for port in ports):
                    return cls(Path(directory), tuple(ports), proxy)
        raise ValueError("doors must have a directory, ports as numbers, and a number or null as proxy")


class Doors:
    """Binds at once, while this process still makes files as itself; raises `OSError` if that is not possible."""

    def __init__(self, config: DoorsConfig) -> None:
        self._ports = {port: bound(config.directory / str(port)) for port in config.ports}
        self._alive = bound(config.directory / ALIVE)
        self._proxy, self._way_out = None, config.directory / PROXY
        if config.proxy is not None:
            self._proxy = socket.create_server(("127.0.0.1", config.proxy), backlog=BACKLOG)

    async def open(self) -> None:
        """Serve until this process ends."""
        for port, door in self._ports.items():
            await serve(door, lambda port=port: asyncio.open_connection("127.0.0.1", port))  # type: ignore[misc]  # mypy infers no lambda with a default
        await asyncio.start_unix_server(_hold, sock=self._alive)
        if self._proxy is not None:
            await serve(self._proxy, lambda: asyncio.open_unix_connection(self._way_out))


def bound(path: Path) -> socket.socket:
    """Return a Unix socket that is bound to a path, in place of one that an earlier process has left."""
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(path))
    return door


async def serve(door: socket.socket, lead: Callable[[], Awaitable[Stream]]) -> None:
    """Accept connections at a socket, and join each with one of its own; those beyond the bound are closed.

    Args:
        door: bound.
        lead: opens the other connection.
    """
    files, opened = resource.getrlimit(resource.RLIMIT_NOFILE)[0], 0
    most = MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files // 8)

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        try:
            if opened <= most:
                await join((reader, writer), await lead())
        except OSError:
            pass  # nobody listens there
        finally:
            opened -= 1
            writer.close()

    start = asyncio.start_unix_server if door.family == socket.AF_UNIX else asyncio.start_server
    await start(enter, sock=door, backlog=BACKLOG)


async def join(one: Stream, other: Stream, back: Carry | None = None) -> None:
    """Carry bytes both ways until both directions have ended, or one connection has broken.

    Args:
        one: a connection.
        other: another one.
        back: carries from `other` to `one`; `carry` by default.
    """
    try:
        await asyncio.gather(carry(one[0], other[1]), (back or carry)(other[0], one[1]))
    except OSError:
        for _, writer in (one, other):
            writer.transport.abort()
    finally:
        for _, writer in (one, other):
            writer.close()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes to their end, which the other side then sees, too."""
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()
