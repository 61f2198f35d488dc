"""Waiting for changes of a turn, from a thread or from any event loop.

An interrupt may come between any two instructions of a waiting thread. So that thread holds no lock: one that it
kept (`threading.Condition` may) would stop the private loop.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from session_widgets._sessions.loop import pulsing


class ChangeSignal:
    """Counts changes; `over` means that there will be no more."""

    def __init__(self, *, over: bool = False) -> None:
        self.count = 0
        self.over = over
        self._waiters: list[Callable[[], None]] = []

    def tell(self, *, over: bool = False) -> None:
        """Wake all waiting calls."""
        self.over = self.over or over
        self.count += 1
        for wake in tuple(self._waiters):
            wake()

    def wait(self, seen: int, timeout: float | None) -> None:
        """Block until there are more changes than `seen`, or the end; at most `timeout` seconds."""
        woken = queue.SimpleQueue[None]()
        with self._waiting(lambda: woken.put(None)), suppress(queue.Empty):
            if self.count == seen and not self.over:
                woken.get(timeout=None if timeout is None else max(0.0, timeout))

    async def arrive(self, seen: int) -> None:
        """Await more changes than `seen`, or the end."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(_wake, future)

        with self._waiting(wake):
            if self.count == seen and not self.over:
                await pulsing(future)

    @contextmanager
    def _waiting(self, wake: Callable[[], None]) -> Iterator[None]:
        self._waiters.append(wake)
        try:
            yield
        finally:
            self._waiters.remove(wake)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
