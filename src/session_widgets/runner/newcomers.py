"""Limits on TCP connections: idle clients without a request cannot block others."""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0


def bounded(limit: int) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with limits.

    A connection without a first request within `HEADER_SECONDS` is closed. Above the limit the oldest such connection
    is closed first, so a client with the token gets in, regardless of the number without.

    Args:
        limit: connections at once, at most half of the files that this process may open.
    """
    waiting: dict[BoundedProtocol, asyncio.TimerHandle] = {}

    class BoundedProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            waiting[self] = self.loop.call_later(HEADER_SECONDS, transport.abort)
            if len(self.connections) > min(limit, _open_files() // 2):
                oldest = next(iter(waiting))
                oldest.transport.abort()
                oldest._arrived()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.scope is not None:
                self._arrived()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._arrived()

        def _arrived(self) -> None:
            if timer := waiting.pop(self, None):
                timer.cancel()

    return BoundedProtocol


def _open_files() -> int:
    """The number of files that this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
