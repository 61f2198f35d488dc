"""Small helps that any test may use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from session_widgets.sandboxes.local import LocalProvider
from session_widgets.sessions.loop import private_loop

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent


def shared(path: str) -> Path:
    """The file or directory `path` of the data kept beside the repository; skips the test where it is absent."""
    found = ROOT.parent / "shared" / path
    if not found.exists():
        pytest.skip(f"needs shared data: ../shared/{path} is not beside the repository")
    return found


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


def destroy_sandboxes(home: Path) -> None:
    """End every local sandbox under `home`, for kernels that cannot do it any more."""

    async def destroy() -> None:
        provider = LocalProvider(home)
        for info in [info async for info in provider.list()]:
            await provider.destroy(info.ref)

    private_loop().run(destroy())
