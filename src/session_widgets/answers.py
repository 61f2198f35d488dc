"""Answers of an HTTP server that is not trusted: read up to a bound, and never unpacked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from session_widgets.errors import TransportError

PLAIN: Mapping[str, str] = {"accept-encoding": "identity"}
"""Headers of each request: a compressed answer could be a thousand times as large as what comes over the wire."""


async def ask(client: httpx.AsyncClient, method: str, url: str, *, most: int, **options: Any) -> httpx.Response:
    """Make a request and return the answer with its body.

    Args:
        client: that has the headers `PLAIN`.
        method: of HTTP.
        url: as `client` takes it.
        most: bytes of the body.
        options: of `httpx.AsyncClient.stream`.

    Raises:
        TransportError: the body is larger, or in an encoding that was not asked for.
        httpx.HTTPError: as `client` raises it.
    """
    async with client.stream(method, url, **options) as answer:
        return await whole(answer, most)


async def whole(answer: httpx.Response, most: int) -> httpx.Response:
    """Return a streamed answer with its body; see `ask`."""
    body = bytearray()
    async for piece in pieces(answer):
        body += piece
        if len(body) > most:
            raise TransportError(f"the server answered {answer.request.url.path} with more than {most:,} bytes")
    read = httpx.Response(answer.status_code, headers=answer.headers, content=bytes(body), request=answer.request)
    read.extensions = answer.extensions
    return read


async def pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body of a streamed answer as it comes; see `ask`."""
    encoding = answer.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise TransportError(f"the server answered in the encoding {encoding!r:.40}, which was not asked for")
    async for piece in answer.aiter_raw():
        yield piece
