"""The way to the internet through the proxy of an organisation, from whose network no direct connection leads out.

That proxy resolves the names, so it decides what they stand for.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from urllib.parse import SplitResult, unquote, urlsplit

from session_widgets.runner.doors import Stream

HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Upstream:
    """The proxies of an environment, as curl reads it.

    Attributes:
        tunnels: `HTTPS_PROXY`.
        requests: `HTTP_PROXY`.
        direct: `NO_PROXY`: names, each with those below it, or "*".
    """

    tunnels: str = ""
    requests: str = ""
    direct: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Upstream:
        """Read the variables, of which those in lower case come first."""
        tunnels, requests, direct = (
            environment.get(name.lower()) or environment.get(name) or ""
            for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
        )
        names = (name.strip().lower().removeprefix("*").removeprefix(".") for name in direct.split(","))
        return cls(tunnels, requests, ("*",) if "*" in direct.split(",") else tuple(filter(None, names)))

    def leads_to(self, name: str, *, tunnel: bool) -> SplitResult | None:
        """Return the proxy for a name or an address; None: it is reached directly."""
        proxy = self.tunnels if tunnel else self.requests
        if not proxy or "*" in self.direct or any(name == one or name.endswith(f".{one}") for one in self.direct):
            return None
        try:
            if not IPv4Address(name).is_global:
                return None
        except ValueError:
            pass
        return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


async def through(proxy: SplitResult, where: str, request: bytes | None) -> Stream:
    """Return a connection to a host through a proxy.

    Args:
        proxy: its address, with name and password if it needs them.
        where: "name:port".
        request: sent to the host, with its path alone; None: a tunnel.

    Raises:
        OSError: the proxy cannot be reached, or refuses.
    """
    reader, writer = await asyncio.open_connection(proxy.hostname, proxy.port or 80, limit=HEAD_BYTES)
    fields = ""
    if proxy.username is not None:
        secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        fields = f"proxy-authorization: Basic {base64.b64encode(secret.encode()).decode()}\r\n"
    if request is not None:
        method, path, rest = request.split(b" ", 2)
        address = f"http://{where.removesuffix(':80')}".encode() + path
        writer.write(b" ".join((method, address, rest[:-2])) + fields.encode() + b"\r\n")
        return reader, writer
    writer.write(f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n{fields}\r\n".encode())
    try:
        line = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0].decode(errors="replace")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        line = "no answer"
    if line.split(" ")[1:2] != ["200"]:
        writer.close()
        raise OSError(f"the proxy {proxy.hostname} answers {line!r:.100}")
    return reader, writer
