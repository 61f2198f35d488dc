"""Retries with growing pauses, up to a time limit."""

from __future__ import annotations

import asyncio
import time

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds


class Backoff:
    """Pauses that grow with each failure in a row, limited to `seconds` in total."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failing_since: float | None = None
        self._pause = FIRST_PAUSE

    def restore(self) -> None:
        """Reset after a success."""
        self._failing_since = None
        self._pause = FIRST_PAUSE

    def is_over(self) -> bool:
        """Record a failure; True if failures have lasted too long."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since >= self._seconds

    async def pause(self) -> None:
        """Wait before the next attempt."""
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
