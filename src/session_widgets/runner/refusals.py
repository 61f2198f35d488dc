"""Problems as responses to clients that may still send their request."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from session_widgets.runner.problems import Problem

MOST_REST = 1 << 20
REST_SECONDS = 1.0


async def answer_problem(request: Request, error: Exception) -> Response:
    """Exception handler for `Problem`."""
    assert isinstance(error, Problem)
    if request.headers.get("connection", "").lower() == "close" and "expect" not in request.headers:
        await _read_rest(request)
    return error.response()


async def _read_rest(request: Request) -> None:
    """Read the rest of the body, within bounds.

    A connection that is closed before that is reset by what arrives, and a proxy may lose the response (RFC 9112, 9.6).
    """
    left = MOST_REST
    with suppress(ClientDisconnect, TimeoutError, RuntimeError):  # RuntimeError: it was read to its end
        async with asyncio.timeout(REST_SECONDS):
            async for piece in request.stream():
                left -= len(piece)
                if left < 0:
                    return
