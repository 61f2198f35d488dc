"""Wait for a condition, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


def until(probe: Callable[[], T], *, seconds: float = 10, what: str = "the condition") -> T:
    """Poll `probe` until it returns something true and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {seconds} s; last seen: {value!r}")
        time.sleep(0.02)
    return value


async def until_async(probe: Callable[[], T], *, seconds: float = 10, what: str = "the condition") -> T:
    """`until` for a test that shares its loop with what it waits for."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {seconds} s; last seen: {value!r}")
        await asyncio.sleep(0.02)
    return value
