"""Limits of a turn's time and size; time that waits for a person does not count."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from session_widgets.errors import AgentError, BadValue

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Limits on each turn of a session; a turn that exceeds one is stopped and fails, and its error names the limit.

    The time that a person takes to answer the agent does not count, and a running notebook function does not count as
    silence.

    Attributes:
        first_byte: seconds from the prompt to the first message of the agent.
        silence: seconds between two messages of it. Many agents send nothing while a command runs.
        total: seconds from the prompt to the end.
        size: megabytes (10**6 bytes) that the agent may send in one turn. The kernel needs a multiple of it as memory.

    None is no limit.

    Raises:
        BadValue: a limit is not a number above 0, or None.

    Example:
        >>> TurnLimits(silence=60).total
        86400.0
    """

    first_byte: float | None = 0.5 * HOUR
    silence: float | None = 2 * HOUR
    total: float | None = 24 * HOUR
    size: float | None = 64.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise BadValue(f"the limit {field.name} must be a number above 0, or None; got {value!r:.80}.")

    def stored(self) -> dict[str, Any]:
        """Return the values for `restored`."""
        return asdict(self)

    @classmethod
    def restored(cls, value: object) -> TurnLimits:
        """Return stored limits; the default for a missing or invalid value."""
        known = {field.name for field in fields(cls)}
        try:
            return cls(**{n: v for n, v in value.items() if n in known}) if isinstance(value, Mapping) else cls()
        except BadValue:
            return cls()


def check_limits(value: object) -> TurnLimits:
    """Return `value` if it is a `TurnLimits`, else raise `BadValue`."""
    if isinstance(value, TurnLimits):
        return value
    raise BadValue(f"limits must be TurnLimits(...); got {value!r:.80}.")


class TurnLimitReached(AgentError):
    """The agent exceeded a limit of its turn; the message names it and how to raise it."""


class TurnClock:
    """The use of one turn's limits.

    Args:
        limits: those of the session.
        begun: whether the agent has sent a message before, to another process.
        now: monotonic seconds.
    """

    def __init__(self, limits: TurnLimits, *, begun: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        self._started = self._latest = now()
        self._begun = begun
        self._bytes = 0
        self._paused: float | None = None

    def heard(self, size: int) -> bool:
        """Count `size` bytes from the agent; True if a limit may be nearer than `left` returned before."""
        first, self._begun = not self._begun, True
        self._bytes += size
        self._latest = self._now()
        return first or self._is_full

    def alive(self) -> None:
        """Record that the agent has a reason to be silent."""
        self._latest = self._now()

    def pause(self, paused: bool) -> None:
        """Stop the clock while a person is asked; resume after the answer."""
        if paused and self._paused is None:
            self._paused = self._now()
        elif not paused and self._paused is not None:
            gone = self._now() - self._paused
            self._started, self._latest, self._paused = self._started + gone, self._latest + gone, None

    @property
    def left(self) -> float | None:
        """Seconds until the next limit without any message; None without a limit."""
        if self._paused is not None:
            return None
        return min((seconds for seconds, _ in self._due()), default=None)

    def check(self) -> None:
        """Raise `TurnLimitReached` if a limit is reached."""
        if (size := self._limits.size) is not None and self._is_full:
            raise _reached("size", size, f"the agent sent more than {size:g} MB in one turn")
        if self._paused is not None:
            return
        for seconds, name in self._due():
            if seconds <= 0:
                limit = getattr(self._limits, name)
                raise _reached(name, limit, _WORDS[name].format(limit=f"{limit:g}"))

    @property
    def is_over(self) -> bool:
        """Whether a limit is reached."""
        try:
            self.check()
        except TurnLimitReached:
            return True
        return False

    @property
    def _is_full(self) -> bool:
        return self._limits.size is not None and self._bytes > self._limits.size * 1e6

    @property
    def is_silent(self) -> bool:
        """Whether the agent has been silent for too long, as far as is known here."""
        return any(seconds <= 0 and name != "total" for seconds, name in self._due())

    def _due(self) -> list[tuple[float, str]]:
        now, limits = self._now(), self._limits
        quiet = ("silence", limits.silence) if self._begun else ("first_byte", limits.first_byte)
        since = {"total": self._started, quiet[0]: self._latest}
        return [
            (since[name] + limit - now, name) for name, limit in (quiet, ("total", limits.total)) if limit is not None
        ]


_WORDS = {
    "first_byte": "the agent said nothing for {limit} s after the prompt",
    "silence": "the agent said nothing for {limit} s",
    "total": "the turn took more than {limit} s",
}


def _reached(name: str, limit: float, what: str) -> TurnLimitReached:
    return TurnLimitReached(
        f"{what}: that is the turn's limit {name!r}. Raise it with open_session(id, limits=TurnLimits({name}="
        f"{limit * 2:g})), or take it away with {name}=None."
    )
