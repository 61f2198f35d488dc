"""Derives the rows of tables from events: the same rows for any division into batches."""

from __future__ import annotations

from dataclasses import dataclass, field

from session_widgets._store.rows import (
    Row,
    file_change_row,
    llm_call_rows,
    outside_rows,
    permission_row,
    session_row,
    step_row,
    turn_row,
)
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.notes import TurnEnded
from session_widgets.transcript.permissions import PermissionRecord
from session_widgets.transcript.records import Event, PermissionState, Step
from session_widgets.transcript.state import FoldState
from session_widgets.transcript.steps import FINAL_STATUSES

KEYS = {
    "turns": ("session_id", "turn"),
    "steps": ("session_id", "turn", "step"),
    "permissions": ("session_id", "asked_seq"),
    "llm_calls": ("session_id", "llm_call_id"),
    "file_changes": ("session_id", "turn"),
}
"""Keys of the rows of a table, which replace earlier rows."""


@dataclass(frozen=True, slots=True)
class Written:
    """Changes to one table: rows to delete first, by key, rows to insert, and (old, new) pairs to update."""

    rows: list[Row]
    stale: list[Row]
    changed: list[tuple[Row, Row]] = field(default_factory=list)


@dataclass(slots=True)
class _Turn:
    first_seq: int
    context: FoldState
    over: bool = False
    row: Row | None = None
    revision: int = -1
    calls: list[Row] = field(default_factory=list)
    files_in_table: bool = False


class Derivation:
    """The derived rows of one session, updated with its events.

    A growing step is not written; a tool call is written at each change of its status or permission; an ended step
    is written with every change. So the cost of a long stream is proportional to its length.

    Args:
        fold: the state before the first event to be fed.
        first_turn: earlier turns are not kept: of their late events only session data counts.
    """

    def __init__(self, fold: Fold, first_turn: int = 1) -> None:
        self.fold = fold
        self._first_turn = first_turn
        self._turns: dict[int, _Turn] = {}
        self._state: dict[tuple[int, int], tuple[str, PermissionState | None]] = {}
        self._steps_in_table: set[tuple[int, int]] = set()
        self._permissions: dict[int, PermissionRecord] = {}
        self._permissions_in_table: dict[int, int] = {}
        self._steps: dict[tuple[int, int], Step] = {}
        self._changed_turns: set[int] = set()
        self._ended: set[int] = set()
        self._outside = outside_rows(fold.session_id, fold.state)

    def knows(self, turn: int) -> bool:
        """Whether this turn's rows are kept here."""
        return turn >= self._first_turn

    def runs(self, turn: int) -> bool:
        """Whether this turn has begun and not ended."""
        return turn in self._turns and not self._turns[turn].over

    def feed(self, event: Event) -> None:
        """Apply the next event."""
        turn = event.turn
        if turn is not None and turn < self._first_turn:
            self.fold.pass_by(event)
            return
        if turn is not None and turn not in self._turns:
            self._turns[turn] = _Turn(event.seq, self.fold.state)
            self._changed_turns.add(turn)
        changes = self.fold.feed(event)
        if turn is None:
            return
        for change in changes:
            if change.append is None or self._state[turn, change.index][0] != "running":
                self._keep(self.fold.step(turn, change.index))
        state = self._turns[turn]
        if event.kind == TurnEnded.kind:
            state.over = True
            self._ended.add(turn)
        if state.over or self.fold.revision(turn) != state.revision:
            state.revision = self.fold.revision(turn)
            self._changed_turns.add(turn)
        for record in self.fold.touched_permissions(turn):
            self._permissions[record.asked_seq] = record

    def written(self) -> dict[str, Written]:
        """Return the changes since the last call, by table, and mark them as written."""
        turns, calls = self._take_turns()
        return {
            "turns": turns,
            "steps": self._take_steps(),
            "permissions": self._take_permissions(),
            "llm_calls": calls,
            "file_changes": self._take_files(),
        }

    def session(self, origin: str, last_seq: int, turns: int) -> Row:
        """Return the session's own row."""
        return session_row(self.fold.session_id, self.fold.state, origin, last_seq, turns)

    def forget_before(self, turn: int) -> None:
        """Drop all turns before this one."""
        if turn <= self._first_turn:
            return
        self._first_turn = turn
        for old in [index for index in self._turns if index < turn]:
            del self._turns[old]
            self.fold.forget(old)
        self._state = {key: state for key, state in self._state.items() if key[0] >= turn}
        self._steps_in_table = {key for key in self._steps_in_table if key[0] >= turn}
        self._permissions_in_table = {seq: of for seq, of in self._permissions_in_table.items() if of >= turn}

    def _keep(self, step: Step) -> None:
        key, state = (step.turn, step.index), (step.status, step.permission)
        before = self._state.get(key)
        self._state[key] = state
        if step.status in FINAL_STATUSES or (step.kind == "tool_call" and state != before):
            self._steps[key] = step

    def _take_turns(self) -> tuple[Written, Written]:
        """Return the changed rows of turns, and of their usage and the usage outside turns."""
        turns = {index: self._turns[index] for index in sorted(self._changed_turns)}
        self._changed_turns = set()
        rows, changed = [], []
        calls, stale = self._take_outside()
        for index, turn in turns.items():
            record = self.fold.turn(index, text=turn.over)
            before, turn.row = turn.row, turn_row(record, turn.first_seq, turn.context)
            if before is None:
                rows.append(turn.row)
            else:
                changed.append((before, turn.row))
            counted = llm_call_rows(record, self.fold.costs(index)) if turn.over else []
            if counted != turn.calls:
                stale += turn.calls
                calls += counted
                turn.calls = counted
        return Written(rows, [], changed), Written(calls, stale)

    def _take_outside(self) -> tuple[list[Row], list[Row]]:
        before, self._outside = self._outside, outside_rows(self.fold.session_id, self.fold.state)
        if before == self._outside:
            return [], []
        return [*self._outside], [*before]

    def _take_steps(self) -> Written:
        steps, self._steps = self._steps, {}
        stale = [self._key(turn, step=index) for turn, index in steps if (turn, index) in self._steps_in_table]
        self._steps_in_table |= steps.keys()
        return Written([step_row(step) for step in steps.values()], stale)

    def _take_permissions(self) -> Written:
        permissions, self._permissions = self._permissions, {}
        rows = [permission_row(self.fold.session_id, record) for record in permissions.values()]
        stale = [row for row in rows if row["asked_seq"] in self._permissions_in_table]
        self._permissions_in_table |= {seq: record.turn for seq, record in permissions.items()}
        return Written(rows, stale)

    def _take_files(self) -> Written:
        ended, self._ended = sorted(self._ended), set()
        stale = [self._key(turn) for turn in ended if self._turns[turn].files_in_table]
        rows: list[Row] = []
        for turn in ended:
            self._turns[turn].files_in_table = True
            record = self.fold.turn(turn, text=False)
            rows += [file_change_row(record, change) for change in record.files]
        return Written(rows, stale)

    def _key(self, turn: int, **more: int) -> Row:
        return {"session_id": self.fold.session_id, "turn": turn, **more}
