"""A session's events, folded once, with every earlier state at hand."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from session_widgets.replaying.files import Files, FileState, KeptAll
from session_widgets.replaying.marks import Mark, MarkKind, kinds_of
from session_widgets.replaying.versions import Versions
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.notes import AgentStarted, FilesKept, TurnEnded, read_note
from session_widgets.transcript.records import Event, SessionRecord, Step, TurnRecord

IDLE_MS = 3_000
"""Longest pause on the time line; the rest of a longer one is left out."""

Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Moment:
    """A session after one of its events.

    Attributes:
        seq: of the event.
        ts: its time; None before the first event.
        count: number of steps.
        changed: the step that was created or changed last; None before the first one.
        turn: that step's turn, without its text.
        plan: the latest plan of the agent.
        commands: the latest commands, oldest first.
        files: every file that the transcript has named so far, by path.
    """

    seq: int
    ts: datetime | None
    count: int
    changed: Step | None
    turn: TurnRecord | None
    plan: Step | None
    commands: tuple[Step, ...]
    files: tuple[FileState, ...]


class Recording:
    """A session as far as its events have been fed, and as it was after each of them.

    Nothing is folded again for an earlier state: the forms of each step are kept, so that a state is looked up.

    Args:
        session_id: of the events.
        kept: returns the files of a snapshot, whose contents are read when they are needed; None if it cannot be used.

    Attributes:
        last_seq: `seq` of the latest event.
        clock: for each event, milliseconds since the first one, without the rest of pauses over `IDLE_MS`.
        first: for each step in the order of `keys`, `seq` of the event that created it.
        keys: turn and index of each step, in the order of the transcript.
        marks: in the order in which they happened.
        pauses: `seq` of the event after a pause over `IDLE_MS`, and its length in milliseconds.
        version: grows when a late event puts a step between others, which moves their places.
    """

    def __init__(self, session_id: str, kept: Callable[[FilesKept], KeptAll | None] = lambda _: None) -> None:
        self.session_id = session_id
        self.last_seq = 0
        self.clock = array("i")
        self.first: list[int] = []
        self.keys: list[Key] = []
        self.marks: list[Mark] = []
        self.pauses: list[tuple[int, int]] = []
        self.version = 0
        self._fold = Fold(session_id)
        self._times: list[datetime] = []
        self._versions: dict[Key, Versions] = {}
        self._ordered = True
        self._changes: list[int] = []
        self._changed: list[Key] = []
        self._turns: dict[int, tuple[list[int], list[TurnRecord]]] = {}
        self._revisions: dict[int, int] = {}
        self._plans: list[int] = []
        self._plan_keys: list[Key] = []
        self._commands: list[int] = []
        self._command_keys: list[Key] = []
        self._ran: set[Key] = set()
        self._marked: dict[Key, set[MarkKind]] = {}
        self._files = Files()
        self._kept = kept
        self._ended: dict[int, int] = {}
        self._roots: tuple[str, ...] = ()
        self._latest: datetime | None = None

    @property
    def record(self) -> SessionRecord | None:
        """The session as of the latest event."""
        return self._fold.session()

    @property
    def started(self) -> datetime | None:
        """Time of the first event."""
        return self._times[0] if self._times else None

    @property
    def root(self) -> str:
        """The workspace's path for the agent; empty if unknown."""
        return self._roots[0] if self._roots else ""

    def feed(self, events: Sequence[Event]) -> None:
        """Apply the next events; repeats are skipped."""
        for event in events:
            if event.seq > self.last_seq:
                self._take(event)

    def at(self, seq: int, *, commands: int = 12, step: Key | None = None) -> Moment:
        """Return the state after event `seq`, the latest one at most.

        Args:
            seq: of the event.
            commands: most commands to return.
            step: the one to return as `changed`, if the event changed several and this is among them.
        """
        seq = min(max(seq, 0), self.last_seq)
        key = self._changed_at(seq, step)
        plan = bisect_right(self._plans, seq) - 1
        ran = bisect_right(self._commands, seq)
        return Moment(
            seq=seq,
            ts=self._times[seq - 1] if seq else None,
            count=self.count(seq),
            changed=None if key is None else self._versions[key].at(seq),
            turn=None if key is None else self.turn(key[0], seq),
            plan=None if plan < 0 else self._versions[self._plan_keys[plan]].at(seq),
            commands=tuple(self._versions[one].at(seq) for one in self._command_keys[max(0, ran - commands) : ran]),
            files=tuple(self._files.at(seq)),
        )

    def _changed_at(self, seq: int, wanted: Key | None) -> Key | None:
        """Return the step that was changed last, or the wanted one if the same event changed it."""
        last = bisect_right(self._changes, seq)
        if not last:
            return None
        together = self._changed[bisect_left(self._changes, self._changes[last - 1]) : last]
        return wanted if wanted in together else together[-1]

    def count(self, seq: int) -> int:
        """Return the number of steps after event `seq`."""
        return bisect_right(self.first, seq) if self._ordered else sum(first <= seq for first in self.first)

    def steps(self, seq: int, first: int = 0, last: int | None = None) -> list[Step]:
        """Return the steps at places `first` up to but not including `last`, as they were after event `seq`."""
        keys = self.keys[: self.count(seq)] if self._ordered else [
            key for key, created in zip(self.keys, self.first, strict=True) if created <= seq
        ]  # fmt: skip
        return [self._versions[key].at(seq) for key in keys[first:last]]

    def step(self, key: Key, seq: int) -> Step:
        """Return one step as of event `seq`; raise `KeyError` if it did not exist then."""
        versions = self._versions[key]
        if versions.seqs[0] > seq:
            raise KeyError(key)
        return versions.at(seq)

    def place(self, key: Key, seq: int) -> int:
        """Return the place of a step among those after event `seq`."""
        place = bisect_left(self.keys, key)
        return place if self._ordered else sum(first <= seq for first in self.first[:place])

    def turn(self, turn: int, seq: int) -> TurnRecord | None:
        """Return a turn without its text as of event `seq`; None if it had not begun."""
        seqs, records = self._turns.get(turn, ((), ()))
        place = bisect_right(seqs, seq) - 1
        return records[place] if place >= 0 else None

    def ended(self, key: Key) -> int:
        """Return the `seq` of the event that gave a step its last form; raise `KeyError` for an unknown one."""
        return self._versions[key].seqs[-1]

    def same(self, one: int, other: int) -> int:
        """Return the number of first steps that are equal after both of two events."""
        low, high = sorted((one, other))
        touched = self._changed[bisect_right(self._changes, low) : bisect_right(self._changes, high)]
        return self.place(min(touched), high) if touched else self.count(low)

    def file(self, path: str, seq: int) -> FileState | None:
        """Return a file as of event `seq`; None if the transcript had not named it yet."""
        return self._files.file(path, seq)

    def _take(self, event: Event) -> None:
        self._tick(event)
        self.last_seq = event.seq
        changes = self._fold.feed(event)
        note = read_note(event.kind, event.payload) if event.direction == "note" else None
        if note is not None:
            self._learn_roots(note.cwd if isinstance(note, AgentStarted) else None)
        for change in changes:
            self._change(event, (change.turn, change.index), change.append)
        if event.turn is not None:
            self._take_turn(event)
            if isinstance(note, TurnEnded):
                self._files.turn(event.seq, note.files, self._roots)
                self._ended[event.turn] = event.seq
        if isinstance(note, FilesKept) and note.turn in self._ended and (kept := self._kept(note)) is not None:
            self._files.keep(event.seq, self._ended[note.turn], kept)

    def _tick(self, event: Event) -> None:
        self._times.append(event.ts)
        before = self._latest or event.ts
        gap = max(0, round((event.ts - before).total_seconds() * 1000))
        self._latest = max(before, event.ts)
        self.clock.append(min((self.clock[-1] if self.clock else 0) + min(gap, IDLE_MS), 2**31 - 1))
        if gap > IDLE_MS:
            self.pauses.append((event.seq, gap))

    def _learn_roots(self, cwd: str | None) -> None:
        record = self._fold.session()
        named = (cwd, None if record is None else record.workspace, *self._roots)
        self._roots = tuple(dict.fromkeys(root.rstrip("/") for root in named if root and root.startswith("/")))

    def _change(self, event: Event, key: Key, append: str | None) -> None:
        versions = self._versions.get(key)
        self._changes.append(event.seq)
        self._changed.append(key)
        if versions is not None and append is not None:
            versions.grow(event, append)
            return
        step = self._fold.step(*key)
        before = None if versions is None else versions.at(event.seq)
        if versions is None:
            versions = self._versions[key] = Versions()
            self._insert(key, event.seq)
        if step.tool_kind == "execute" and key not in self._ran:
            self._ran.add(key)
            self._commands.append(event.seq)
            self._command_keys.append(key)
        versions.put(event.seq, step)
        if step.kind == "plan" and step.parent is None:
            self._plans.append(event.seq)
            self._plan_keys.append(key)
        self._mark(event.seq, key, step)
        self._files.step(event.seq, step, before, self._roots)

    def _insert(self, key: Key, seq: int) -> None:
        if not self.keys or key > self.keys[-1]:
            self.keys.append(key)
            self.first.append(seq)
            return
        self._ordered = False
        self.version += 1
        insort(self.keys, key)
        self.first.insert(bisect_left(self.keys, key), seq)

    def _mark(self, seq: int, key: Key, step: Step) -> None:
        known = self._marked.setdefault(key, set())
        for kind in kinds_of(step):
            if kind not in known:
                known.add(kind)
                self.marks.append(Mark(kind, seq, *key))

    def _take_turn(self, event: Event) -> None:
        turn = event.turn or 0
        revision = self._fold.revision(turn)
        if self._revisions.get(turn) == revision:
            return
        self._revisions[turn] = revision
        seqs, records = self._turns.setdefault(turn, ([], []))
        seqs.append(event.seq)
        records.append(self._fold.turn(turn, text=False))
