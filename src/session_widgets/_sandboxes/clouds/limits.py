"""Bounds that keep a mistake cheap: how many boxes of a cloud run at a time, and how quickly they are made."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from session_widgets.errors import BadValue, SandboxQuota
from session_widgets.progress import Progress, silent

BOXES = 4
SECONDS_BETWEEN = 1.0
SECONDS = "SECONDS_BETWEEN"
MOST_BETWEEN = 3600
SHOWN = "sw.sandboxes() shows them: park or destroy one."
"""The remedy for too many; the panel has a button that copies the call."""
TELL_SECONDS = 2.0
"""A shorter wait needs no words."""
STALE_SECONDS = 5.0
"""A count of boxes is asked for again after this time."""
_making: Counter[str] = Counter()
_next: dict[str, float] = {}


def most_boxes(name: str) -> int:
    """Return how many boxes of a provider may run at a time: SESSION_WIDGETS_E2B_BOXES, by default 4."""
    return _whole(_variable(name, "BOXES"), BOXES)


async def _nothing() -> None:
    """Return None."""


@asynccontextmanager
async def making(
    name: str,
    title: str,
    running: Callable[[], Awaitable[int]],
    progress: Progress = silent,
    meanwhile: Callable[[], Awaitable[str | None]] = _nothing,
) -> AsyncIterator[str | None]:
    """Count a box that is being made or started again, after waiting for its turn.

    One is made a second, or as SESSION_WIDGETS_E2B_SECONDS_BETWEEN says.

    Args:
        name: of the provider.
        title: of the vendor.
        running: returns the number of boxes of this installation that run.
        progress: receives a wait, with the setting.
        meanwhile: what else is asked for before a box can be made; if it takes long, the boxes are counted again.

    Yields:
        What `meanwhile` has returned.

    Raises:
        SandboxQuota: too many run.
    """
    _making[name] += 1
    began = time.monotonic()
    counting = asyncio.ensure_future(running())
    try:
        most = most_boxes(name)
        found = await meanwhile()
        late = time.monotonic() - began > STALE_SECONDS
        others = await (running() if late else counting) + _making[name] - 1
        if others >= most:
            raise SandboxQuota(
                f"{title} runs {others} for this installation, with those being started, and at most {most} may run. "
                f"{SHOWN} Or set more: "
                f"os.environ[{_variable(name, 'BOXES')!r}] = '{2 * most}'."
            )
        now = time.monotonic()
        turn = max(now, _next.get(name, 0))
        between = _seconds_between(name)
        _next[name] = turn + between
        if turn - now > TELL_SECONDS:
            progress(f"Waiting {turn - now:.0f} s: {_variable(name, SECONDS)}={between:g}")
        await asyncio.sleep(turn - now)
        yield found
    finally:
        _making[name] -= 1
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


def slower(name: str) -> str:
    """Return the remedy for a vendor that refuses so many requests."""
    return f"Wait, then send again; {_variable(name, SECONDS)}=5 makes sandboxes more slowly."


def _variable(name: str, what: str) -> str:
    return f"SESSION_WIDGETS_{name.upper().replace('-', '_')}_{what}"


def _seconds_between(name: str) -> float:
    variable = _variable(name, SECONDS)
    text = os.environ.get(variable)
    try:
        seconds = SECONDS_BETWEEN if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_BETWEEN:
        raise BadValue(f"{variable} must be seconds from 0 to {MOST_BETWEEN}; got {text!r:.40}.")
    return seconds


def _whole(variable: str, default: int) -> int:
    text = os.environ.get(variable)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise BadValue(f"{variable} must be a whole number from 1; got {text!r:.40}.")
    return int(text)
