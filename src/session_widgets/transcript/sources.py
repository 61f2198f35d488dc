"""Sources of a session's events, and the one fold that all readers in a process share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

from session_widgets.transcript.fold import Fold
from session_widgets.transcript.options import AgentOptions
from session_widgets.transcript.records import Event, SessionRecord
from session_widgets.transcript.state import FoldState
from session_widgets.transcript.steps import Change

LOG = logging.getLogger("session_widgets")
PAGE = 5_000


class EventSource(Protocol):
    """A session's events, in order: a live session, a stored one, an import."""

    @property
    def record(self) -> SessionRecord:
        """The session, as of its latest event."""

    @property
    def live(self) -> bool:
        """Whether events may still come."""

    def events(self, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with `seq` above `after`, at most `limit` of them, oldest first."""

    def subscribe(self, callback: Callable[[list[Event]], None], after: int = 0) -> Callable[[], None]:
        """Call `callback` with every event after `after`, in order and once; return a function that stops it."""


@dataclass(frozen=True, slots=True)
class Folded:
    """An event with its changes: steps, and `options`, those of the agent."""

    event: Event
    changes: Sequence[Change]
    options: bool


Watcher = Callable[[list[Folded]], None]


class SharedFold:
    """The one fold of a session in this process: the running turn and every view read it.

    It may begin in the middle of a session, and fold the earlier events later on demand. All methods may be called from
    any thread; a reader of several related values holds `lock` meanwhile.

    Args:
        session_id: of the events.
        state: initial state, if the events up to `after` are not fed.
        after: `seq` of the last event in `state`.
        first_turn: turns before this one are not kept.
        options: of the agent, as of that event.

    Attributes:
        fold: as of the latest event.
        options: of the agent, as of the latest event.
        after: `seq` of the event after which it begins.
    """

    def __init__(
        self,
        session_id: str,
        state: FoldState | None = None,
        *,
        after: int = 0,
        first_turn: int = 1,
        options: AgentOptions | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.fold = Fold(session_id, state)
        self.options = options or AgentOptions()
        self.after = after
        self._first_turn = first_turn
        self._last_seq = after
        self._watchers: list[Watcher] = []
        self._refolds: list[_Refold] = []
        self._completing = threading.Lock()

    @property
    def whole(self) -> bool:
        """Whether it begins with the session's first event."""
        return self.after == 0

    @property
    def last_seq(self) -> int:
        """`seq` of the latest event."""
        return self._last_seq

    def feed(self, events: Sequence[Event]) -> None:
        """Apply the next events; repeats are skipped."""
        with self.lock:
            fresh = [event for event in events if event.seq > self._last_seq]
            if not fresh:
                return
            for refold in self._refolds:
                refold.held.extend(fresh)
            folded = [self._take(event) for event in fresh]
            self._last_seq = fresh[-1].seq
            for watcher in tuple(self._watchers):
                try:
                    watcher(folded)
                except Exception:  # one broken view must not stop the session
                    LOG.exception("a view of session %s failed", self.fold.session_id)

    def _take(self, event: Event) -> Folded:
        options = self.options.feed(event)
        if event.turn is not None and event.turn < self._first_turn:
            self.fold.pass_by(event)
            return Folded(event, (), options)
        return Folded(event, self.fold.feed(event), options)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` with each event's changes from now on, under `lock`; return a function that stops it."""
        with self.lock:
            self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def forget(self, turn: int) -> None:
        """Drop the turns up to this ended one, unless a view may need them."""
        with self.lock:
            if not self.whole:
                self._first_turn = max(self._first_turn, turn + 1)
                for old in self.fold.turns:
                    if old <= turn:
                        self.fold.forget(old)

    @contextmanager
    def refold(self, state: FoldState, after: int, first_turn: int) -> Iterator[Callable[[Sequence[Event]], bool]]:
        """Begin again at an earlier event; replaces the fold when the block ends without an error.

        Yields:
            A function that applies the events after `after`, in order, in pieces; it returns False once it has enough.
        """
        with self.lock:
            refold = _Refold(Fold(self.fold.session_id, state), AgentOptions(), after, self._last_seq, first_turn, [])
            self._refolds.append(refold)
        try:
            yield refold.take
            with self.lock:
                if after < self.after:
                    refold.until = self._last_seq
                    refold.take(refold.held)
                    if refold.after == 0:
                        self.options = refold.options
                    self.fold, self.after, self._first_turn = refold.fold, refold.after, refold.first_turn
        finally:
            with self.lock:
                self._refolds.remove(refold)

    def complete(self, read: Callable[[int, int], list[Event]]) -> None:
        """Fold the earlier events; blocks meanwhile.

        Args:
            read: returns the events after a `seq`, up to a number.
        """
        with self._completing:
            if self.whole:
                return
            with self.refold(FoldState(), 0, 1) as take:
                last, more = 0, True
                while more:
                    page = read(last, PAGE)
                    more = take(page) and bool(page)
                    last = page[-1].seq if page else last


@dataclass(slots=True)
class _Refold:
    """A fold that begins before the current one. `held` are the events since; `until` is the last one before them."""

    fold: Fold
    options: AgentOptions
    after: int
    until: int
    first_turn: int
    held: list[Event]
    seq: int = 0

    def take(self, events: Sequence[Event]) -> bool:
        for event in events:
            if self.seq < event.seq <= self.until:
                self.options.feed(event)
                take = self.fold.pass_by if event.turn is not None and event.turn < self.first_turn else self.fold.feed
                take(event)
                self.seq = event.seq
        return self.seq < self.until


_shared: WeakKeyDictionary[EventSource, SharedFold] = WeakKeyDictionary()
_sharing = threading.Lock()


def shared_fold(source: EventSource) -> SharedFold:
    """Return the one fold of a source without its own, created at the first call and fed from then on."""
    with _sharing:
        fold = _shared.get(source)
        if fold is None:
            fold = _shared[source] = SharedFold(source.record.id)
            source.subscribe(fold.feed)
        return fold
