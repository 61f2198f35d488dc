"""Connections into the network of a box."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
from collections.abc import Awaitable, Callable

Passing = Callable[[bytes], Awaitable[bytes]]
"""Returns what of a piece goes on, when it does."""

NETWORK = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def connect(first: int, port: int) -> socket.socket:
    """Open a connection inside of a box: a socket stays in the network namespace it was made in."""
    return _within(first, lambda: socket.create_connection(("127.0.0.1", port)))


def _within(first: int, make: Callable[[], socket.socket]) -> socket.socket:
    home, inside = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"/proc/{first}/ns/net", os.O_RDONLY)
    try:
        _set_namespace(inside)
        try:
            return make()
        finally:
            _set_namespace(home)
    finally:
        os.close(home)
        os.close(inside)


async def lead_out(first: int, port: int) -> asyncio.Server:
    """Let a box reach a port of this machine, at the same address as this machine does."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outer_reader, outer_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pump(reader, outer_writer, _whole), pump(outer_reader, writer, _whole))
        finally:
            writer.close()
            outer_writer.close()

    inside = await asyncio.to_thread(_within, first, lambda: socket.create_server(("127.0.0.1", port)))
    return await asyncio.start_server(carry, sock=inside)


async def _whole(piece: bytes) -> bytes:
    return piece


def _set_namespace(handle: int) -> None:
    if _libc.setns(handle, NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: Passing) -> None:
    """Carry bytes to their end, as `passing` lets them."""
    try:
        while piece := await reader.read(1 << 16):
            writer.write(await passing(piece))
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
