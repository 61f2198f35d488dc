"""Waits for an agent's answer to a prompt, within the limits of its turn. Lives on the private loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from session_widgets._sessions.limits import TurnClock, TurnLimits


class AnswerWait:
    """The wait of one turn.

    Args:
        tools_run: whether notebook functions are running for the agent, which is then silent with reason.

    Attributes:
        heard_at: when the agent sent its latest message, in monotonic seconds.
    """

    def __init__(self, tools_run: Callable[[], bool]) -> None:
        self.clock: TurnClock | None = None
        self.heard_at = 0.0
        self._tools_run = tools_run
        self._held: set[str] = set()
        self._woken = asyncio.Event()

    def begin(self, limits: TurnLimits, *, begun: bool = False) -> None:
        """Start the clock; `begun`: the agent has sent a message before, to another process."""
        self.clock = TurnClock(limits, begun=begun)

    def heard(self, size: int) -> None:
        """Count `size` bytes from the agent."""
        self.heard_at = time.monotonic()
        if self.clock is not None and self.clock.heard(size):
            self._woken.set()

    def hold(self, why: str, held: bool) -> None:
        """Stop the clock for the reason `why`, or resume it when no reason is left.

        Reasons: "person" is asked; "store": another process holds it, so that the agent's messages wait unread.
        """
        (self._held.add if held else self._held.discard)(why)
        if self.clock is not None:
            self.clock.pause(bool(self._held))
            self._woken.set()

    async def result(self, answer: asyncio.Future[Any]) -> Any:
        """Return the agent's answer.

        Raises:
            TurnLimitReached: a limit was exceeded.
        """
        clock = self.clock
        assert clock is not None, "it has begun"
        while not answer.done():
            self._woken.clear()
            if self._tools_run() and clock.is_silent:
                clock.alive()
            clock.check()
            woken = asyncio.ensure_future(self._woken.wait())
            try:
                await asyncio.wait({answer, woken}, timeout=clock.left, return_when="FIRST_COMPLETED")
            finally:
                woken.cancel()
        return await answer
