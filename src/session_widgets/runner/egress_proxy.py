"""An HTTP proxy that opens connections as `egress.py` allows: CONNECT, and requests with a whole address.

A name is resolved once, only if a rule has it, and the connection goes to the very address that was checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from ipaddress import IPv4Address
from urllib.parse import urlsplit

from session_widgets.runner.doors import Stream, carry, join
from session_widgets.runner.egress import Egress
from session_widgets.runner.egress_upstream import Upstream, through

HEAD_BYTES = 1 << 16
HEAD_SECONDS = 30
CONNECT_SECONDS = 20
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,252}", re.ASCII)
_HOP = (b"proxy-", b"connection:", b"keep-alive:")
"""Header fields of one connection."""
_HOST = b"host:"
_CLOSE = b"connection: close"


class Refused(Exception):
    """A request that gets no connection: status, and a sentence for a person."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status


class Proxy:
    """The proxy of one sandbox.

    Args:
        egress: the rules.
        upstream: the way to the internet; None: directly.
    """

    def __init__(self, egress: Egress, upstream: Upstream | None = None) -> None:
        self._egress = egress
        self._upstream = upstream or Upstream()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, which has one request."""
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            name, port, forwarded = asked(head)
            other = await self._reach(name, port, forwarded)
        except Refused as error:
            text = f"session-widgets: {error}\n".encode()
            fields = f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(text)}\r\nconnection: close"
            writer.write(f"HTTP/1.1 {error.status}\r\n{fields}\r\n\r\n".encode() + text)
            with contextlib.suppress(OSError):
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
            pass
        else:
            if forwarded is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await join((reader, writer), other, carry if forwarded is None else answer)
        finally:
            writer.close()

    async def addresses_of(self, name: str, port: int) -> list[IPv4Address]:
        """Return what a name stands for."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(name, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
        return [IPv4Address(sockaddr[0]) for *_, sockaddr in found]

    async def _reach(self, name: str, port: int, request: bytes | None) -> Stream:
        """Return a connection to a host, with a request sent unless it is for a tunnel."""
        where = f"{name}:{port}"
        if not self._egress.asks(name, port):
            raise Refused("403 Forbidden", f"this sandbox may not reach {where}. Its network= has {self._egress}.")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if proxy := self._upstream.leads_to(name, tunnel=request is None):
                    return await through(proxy, where, request)
                other = await self._connect(name, port)
                other[1].write(request or b"")
                return other
        except TimeoutError:
            raise Refused("504 Gateway Timeout", f"{where} did not answer within {CONNECT_SECONDS} s.") from None
        except OSError as error:
            raise Refused("502 Bad Gateway", f"{where} cannot be reached: {error.strerror or error}.") from None

    async def _connect(self, name: str, port: int) -> Stream:
        addresses = await self.addresses_of(name, port)
        allowed = [one for one in addresses if self._egress.allows(name, port, one)]
        for address in allowed[:-1]:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(str(address), port)
        if allowed:
            return await asyncio.open_connection(str(allowed[-1]), port)
        raise Refused(
            "403 Forbidden",
            f"this sandbox may not reach {name}:{port}: the name stands for {', '.join(map(str, addresses))}, "
            "which is not an address of the internet. A range of network= can allow private addresses.",
        )


def asked(head: bytes) -> tuple[str, int, bytes | None]:
    """Return the host and the port of a request, and the request for that host; None for a tunnel.

    Raises:
        Refused: it is no request to a proxy.
    """
    line, _, fields = head.partition(b"\r\n")
    try:
        method, target, version = line.decode("ascii").split(" ")
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = (url.hostname or "").removesuffix("."), url.port
    except ValueError:
        raise Refused("400 Bad Request", "the request is not one to a proxy.") from None
    if not _NAME.fullmatch(host):
        raise Refused("400 Bad Request", "the request has no name of a host, and no IPv4 address.")
    if method == "CONNECT":
        if port is None or url.path or url.query:
            raise Refused("400 Bad Request", "a tunnel needs a host and a port.")
        return host, port, None
    if url.scheme != "http":
        raise Refused("400 Bad Request", "other addresses than http://... need a tunnel (CONNECT).")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    kept = [one for one in fields.split(b"\r\n") if one and not one.lower().startswith((*_HOP, _HOST))]
    shown = host if port in {None, 80} else f"{host}:{port}"
    first = [f"{method} {path} {version}".encode(), f"host: {shown}".encode(), _CLOSE]
    return host, port or 80, b"\r\n".join([*first, *kept]) + b"\r\n\r\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry the answer to a request, which says that no other one may follow, whatever the server would accept.

    A client would otherwise send the next request, perhaps for another host, through the same connection.
    """
    final = False
    while not final:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            head = error.partial
        except asyncio.LimitOverrunError as error:
            raise OSError("the head of the answer is too long") from error
        line, _, fields = head.partition(b"\r\n")
        final = line.split(b" ")[1:2] not in ([b"100"], [b"102"], [b"103"])
        if final and fields:
            kept = [one for one in fields.split(b"\r\n") if one and not one.lower().startswith(_HOP)]
            head = b"\r\n".join([line, *kept, _CLOSE]) + b"\r\n\r\n"
        writer.write(head)
    await carry(reader, writer)
