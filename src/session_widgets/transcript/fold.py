"""Turns events into steps: pure, incremental, and the only such place.

A `Fold` is fed the events of one session in order. A turn depends on earlier events only through the fold's `state`,
so a turn can be folded again from its initial state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from session_widgets.transcript.permissions import PermissionRecord
from session_widgets.transcript.records import Event, SessionRecord, Step, TurnRecord
from session_widgets.transcript.state import (
    FoldState,
    apply_cost,
    apply_cost_outside,
    apply_model,
    apply_note,
    apply_title,
)
from session_widgets.transcript.steps import Change
from session_widgets.transcript.turn import TurnFold


class Fold:
    """The transcript of one session so far.

    Args:
        session_id: of the events.
        state: initial state, if earlier events are not fed.
    """

    def __init__(self, session_id: str, state: FoldState | None = None) -> None:
        self.session_id = session_id
        self._state = state or FoldState()
        self._updated_at: datetime | None = None
        self._turns: dict[int, TurnFold] = {}

    def feed(self, event: Event) -> list[Change]:
        """Apply the next event; return the steps that it created or changed, in order."""
        spent = self._learn(event)
        if event.turn is None:
            if spent is not None:
                self._state = apply_cost_outside(self._state, *spent)
            return []
        turn = self._turns.get(event.turn)
        if turn is None:
            turn = self._turns[event.turn] = TurnFold(self.session_id, event.turn, event.ts, self._state)
        return turn.feed(event, self._state, spent)

    def pass_by(self, event: Event) -> None:
        """Apply the next event of a turn that is not kept: only session data changes."""
        self._learn(event)

    def _learn(self, event: Event) -> tuple[str, Decimal] | None:
        """Update the state; return the cost in the event, if any."""
        self._updated_at = event.ts
        if event.direction == "note":
            self._state = apply_note(self._state, event)
            return None
        if event.kind == "usage_update":
            self._state, spent = apply_cost(self._state, event)
            return spent
        if event.kind == "session_info_update":
            self._state = apply_title(self._state, event)
        self._state = apply_model(self._state, event)
        return None

    def forget(self, turn: int) -> None:
        """Drop a turn, to bound the memory of a long-lived fold."""
        self._turns.pop(turn, None)

    @property
    def state(self) -> FoldState:
        """The initial state for a fold of the following events."""
        return replace(self._state, session=self.session())

    @property
    def turns(self) -> tuple[int, ...]:
        """Indices of the known turns, ascending."""
        return tuple(sorted(self._turns))

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in (turn, index) order."""
        return tuple(step.snapshot() for turn in self.turns for step in self._turns[turn].steps)

    @property
    def pending(self) -> tuple[Step, ...]:
        """Tool steps with an open permission request."""
        return tuple(step for turn in self.turns for step in self._turns[turn].pending())

    def steps_of(self, turn: int) -> tuple[Step, ...]:
        """Return the steps of one turn; none for an unknown turn."""
        return tuple(step.snapshot() for step in self._turns[turn].steps) if turn in self._turns else ()

    def step(self, turn: int, index: int) -> Step:
        """Return one step; raise `KeyError` or `IndexError` if it does not exist."""
        return self._turns[turn].steps[index].snapshot()

    def turn(self, turn: int, *, text: bool = True) -> TurnRecord:
        """Return the record of a turn, on demand without its text; raise `KeyError` for an unknown turn."""
        return self._turns[turn].record(text=text)

    def revision(self, turn: int) -> int:
        """Return a number that grows with every change of a turn's record except its text."""
        return self._turns[turn].revision

    def step_count(self, turn: int) -> int:
        """Return the number of steps of a turn."""
        return len(self._turns[turn].steps)

    def home(self, turn: int) -> tuple[str, str]:
        """Return the location of the session's files during a turn, and their attachment; empty if unknown."""
        return self._turns[turn].home

    def handed_over(self, turn: int) -> bool:
        """Whether the prompt of this turn carried a history."""
        return self._turns[turn].handed_over

    def permissions(self, turn: int) -> tuple[PermissionRecord, ...]:
        """Return every permission request of a turn, oldest first."""
        return tuple(self._turns[turn].asked.records)

    def touched_permissions(self, turn: int) -> tuple[PermissionRecord, ...]:
        """Return those that the turn's latest event created or answered."""
        asked = self._turns[turn].asked
        return tuple(asked.records[place] for place in asked.touched)

    def costs(self, turn: int) -> Mapping[str, Decimal]:
        """Return the cost of a turn by currency, "" for none."""
        return self._turns[turn].tally.costs

    def session(self) -> SessionRecord | None:
        """Return the session's record; None until `session_opened`."""
        record = self._state.session
        if record is None or self._updated_at is None:
            return record
        return replace(record, updated_at=self._updated_at)
