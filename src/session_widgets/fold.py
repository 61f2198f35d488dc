"""Events to steps: pure, incremental, and the only place that knows how.

A `Fold` is fed the events of one session in order. What came before a turn matters to it only through
its `context`, so a turn can be folded again from the context it began with.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from session_widgets.context import Context, apply_note, spend, take_title
from session_widgets.model import (
    Event,
    SessionRecord,
    Step,
    TurnRecord,
)
from session_widgets.turn_fold import Change, PermissionRecord, TurnFold


class Fold:
    """The transcript of one session so far.

    Args:
        session_id: whose events will be fed.
        context: where to begin when the events before the first one are not fed.
    """

    def __init__(self, session_id: str, context: Context | None = None) -> None:
        self.session_id = session_id
        self._context = context or Context()
        self._updated_at: datetime | None = None
        self._turns: dict[int, TurnFold] = {}

    def feed(self, event: Event) -> list[Change]:
        """Take the next event; return the steps it made or altered, in order."""
        self._updated_at = event.ts
        if event.direction == "note":
            self._context = apply_note(self._context, event)
        elif event.kind == "session_info_update":
            self._context = take_title(self._context, event)
        grown = None
        if event.kind == "usage_update":
            self._context, grown = spend(self._context, event)
        if event.turn is None:
            return []
        turn = self._turns.get(event.turn)
        if turn is None:
            turn = self._turns[event.turn] = TurnFold(self.session_id, event.turn, event.ts)
        return turn.feed(event, self._context.connection, grown)

    def forget(self, turn: int) -> None:
        """Drop a turn, to bound the memory of a long-lived fold."""
        self._turns.pop(turn, None)

    @property
    def context(self) -> Context:
        """What a fold of the events that follow has to begin with."""
        return replace(self._context, session=self.session())

    @property
    def turns(self) -> tuple[int, ...]:
        """Indices of the turns seen, ascending."""
        return tuple(sorted(self._turns))

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in (turn, index) order."""
        return tuple(step.snapshot() for turn in self.turns for step in self._turns[turn].steps)

    @property
    def pending(self) -> tuple[Step, ...]:
        """Tool steps that wait for a permission."""
        return tuple(step for turn in self.turns for step in self._turns[turn].pending())

    def step(self, turn: int, index: int) -> Step:
        """Return one step; raise `KeyError` or `IndexError` if there is none."""
        return self._turns[turn].steps[index].snapshot()

    def turn(self, turn: int) -> TurnRecord:
        """Return what is known of a turn; raise `KeyError` for one that was never seen."""
        return self._turns[turn].record()

    def permissions(self, turn: int) -> tuple[PermissionRecord, ...]:
        """Return every permission request of a turn, oldest first."""
        return tuple(self._turns[turn].permissions.values())

    def session(self) -> SessionRecord | None:
        """Return what is known of the session; None until `session_opened`."""
        record = self._context.session
        if record is None or self._updated_at is None:
            return record
        return replace(record, updated_at=self._updated_at)
