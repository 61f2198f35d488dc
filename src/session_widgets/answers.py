"""Responses of an untrusted HTTP server: read up to a bound, and never decompressed."""

from __future__ import annotations

import functools
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx

from session_widgets.errors import TransportError

PLAIN: Mapping[str, str] = {"accept-encoding": "identity"}
"""Headers of each request: a decompressed response could be a thousand times larger than the received one."""


def tls(url: str) -> ssl.SSLContext | bool:
    """Return the `verify` of a client: reading the certificates costs 20 ms, so that all clients share them."""
    return _certificates() if url.startswith("https:") else False


def is_far(url: str) -> bool:
    """Whether the proxies of the environment may be used: not on the way to this machine."""
    host = httpx.URL(url).host
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


@functools.cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=True)  # such as SSL_CERT_FILE, where a proxy inspects TLS


async def ask(client: httpx.AsyncClient, method: str, url: str, *, most: int, **options: Any) -> httpx.Response:
    """Make a request and return the response with its body.

    Args:
        client: with the headers `PLAIN`.
        method: of HTTP.
        url: as `client` accepts it.
        most: limit of the body, in bytes.
        options: of `httpx.AsyncClient.stream`.

    Raises:
        TransportError: the body is larger, or in an encoding that was not requested.
        httpx.HTTPError: as `client` raises it.
    """
    async with client.stream(method, url, **options) as answer:
        return await whole(answer, most)


async def whole(answer: httpx.Response, most: int) -> httpx.Response:
    """Return a streamed response with its body; see `ask`."""
    body = bytearray()
    async for piece in pieces(answer):
        body += piece
        if len(body) > most:
            raise TransportError(f"the server answered {answer.request.url.path} with more than {most:,} bytes")
    read = httpx.Response(answer.status_code, headers=answer.headers, content=bytes(body), request=answer.request)
    read.extensions = answer.extensions
    return read


def blocking_whole(answer: httpx.Response, most: int) -> httpx.Response:
    """Do the same as `whole` for a blocking client."""
    body = bytearray()
    for piece in blocking_pieces(answer):
        body += piece
        if len(body) > most:
            raise TransportError(f"the server answered {answer.request.url.path} with more than {most:,} bytes")
    return httpx.Response(answer.status_code, headers=answer.headers, content=bytes(body), request=answer.request)


def blocking_pieces(answer: httpx.Response) -> Iterator[bytes]:
    """Do the same as `pieces` for a blocking client."""
    _check_encoding(answer)
    yield from answer.iter_raw()


async def pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body of a streamed response; see `ask`."""
    _check_encoding(answer)
    async for piece in answer.aiter_raw():
        yield piece


def _check_encoding(answer: httpx.Response) -> None:
    encoding = answer.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise TransportError(f"the server answered in the encoding {encoding!r:.40}, which was not requested")
