"""Bounds that keep a mistake cheap: how many boxes of a cloud run at a time, and how quickly they are made."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from session_widgets.errors import BadValue, SandboxQuota

BOXES = 4
SECONDS_BETWEEN = 1.0
_making: Counter[str] = Counter()
_next: dict[str, float] = {}


def most_boxes(name: str) -> int:
    """Return how many boxes of a provider may run at a time: SESSION_WIDGETS_E2B_BOXES, by default 4."""
    return _whole(_variable(name, "BOXES"), BOXES)


@asynccontextmanager
async def making(name: str, title: str, running: Callable[[], Awaitable[int]]) -> AsyncIterator[None]:
    """Count a box that is being made or started again, after waiting for its turn: one a second.

    Args:
        name: of the provider.
        title: of the vendor.
        running: returns the number of boxes of this installation that run.

    Raises:
        SandboxQuota: too many run.
    """
    _making[name] += 1
    try:
        most = most_boxes(name)
        others = await running() + _making[name] - 1
        if others >= most:
            raise SandboxQuota(
                f"{title} runs {others} for this installation, with those being started, and at most {most} may run: "
                f"park or delete a session, or set {_variable(name, 'BOXES')} to a higher number."
            )
        now = time.monotonic()
        turn = max(now, _next.get(name, 0))
        _next[name] = turn + SECONDS_BETWEEN
        await asyncio.sleep(turn - now)
        yield
    finally:
        _making[name] -= 1


def _variable(name: str, what: str) -> str:
    return f"SESSION_WIDGETS_{name.upper().replace('-', '_')}_{what}"


def _whole(variable: str, default: int) -> int:
    text = os.environ.get(variable)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise BadValue(f"{variable} must be a whole number from 1; got {text!r:.40}.")
    return int(text)
