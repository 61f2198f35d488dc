"""Events to steps: pure, incremental, and the only place that knows how.

A `Fold` is fed the events of one session in order. What came before a turn matters to it only through
its `context`, so a turn can be folded again from the context it began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from session_widgets.asked import PermissionRecord
from session_widgets.context import Context, apply_note, hear_of_model, spend, spend_outside, take_title
from session_widgets.model import (
    Event,
    SessionRecord,
    Step,
    TurnRecord,
)
from session_widgets.turn_fold import Change, TurnFold


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
        spent = self._learn(event)
        if event.turn is None:
            if spent is not None:
                self._context = spend_outside(self._context, *spent)
            return []
        turn = self._turns.get(event.turn)
        if turn is None:
            turn = self._turns[event.turn] = TurnFold(self.session_id, event.turn, event.ts, self._context)
        return turn.feed(event, self._context, spent)

    def pass_by(self, event: Event) -> None:
        """Take the next event, of a turn that is not kept: only what concerns the session counts."""
        self._learn(event)

    def _learn(self, event: Event) -> tuple[str, Decimal] | None:
        """Keep the context current; return what the event says was spent, if anything."""
        self._updated_at = event.ts
        if event.direction == "note":
            self._context = apply_note(self._context, event)
            return None
        if event.kind == "usage_update":
            self._context, spent = spend(self._context, event)
            return spent
        if event.kind == "session_info_update":
            self._context = take_title(self._context, event)
        self._context = hear_of_model(self._context, event)
        return None

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

    def turn(self, turn: int, *, text: bool = True) -> TurnRecord:
        """Return what is known of a turn, on demand without its text; raise `KeyError` for one that was never seen."""
        return self._turns[turn].record(text=text)

    def revision(self, turn: int) -> int:
        """Return a number that grows whenever a turn's record changes in anything but its text."""
        return self._turns[turn].revision

    def permissions(self, turn: int) -> tuple[PermissionRecord, ...]:
        """Return every permission request of a turn, oldest first."""
        return tuple(self._turns[turn].asked.records)

    def touched_permissions(self, turn: int) -> tuple[PermissionRecord, ...]:
        """Return those that the turn's latest event made or answered."""
        asked = self._turns[turn].asked
        return tuple(asked.records[place] for place in asked.touched)

    def costs(self, turn: int) -> Mapping[str, Decimal]:
        """Return what a turn cost by currency, "" for none."""
        return self._turns[turn].tally.costs

    def session(self) -> SessionRecord | None:
        """Return what is known of the session; None until `session_opened`."""
        record = self._context.session
        if record is None or self._updated_at is None:
            return record
        return replace(record, updated_at=self._updated_at)
