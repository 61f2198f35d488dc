"""The live side of a widget: turns committed events into numbered batches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from session_widgets.errors import StoreBusy
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.notes import PersistStarted, TurnEnded, TurnStarted
from session_widgets.transcript.records import Event, Step
from session_widgets.transcript.sources import EventSource, Folded, shared_fold
from session_widgets.widgets._batching import append_item, in_batches, size_of
from session_widgets.widgets._control import SessionControl
from session_widgets.widgets._facts import Facts
from session_widgets.widgets._harness import missing_view
from session_widgets.widgets._protocol import MAX_BYTES, Batch, Item, ListingItem, Page, Snapshot
from session_widgets.widgets._views import StepView, TurnView
from session_widgets.widgets._wire import step_view

log = logging.getLogger(__name__)

PAGE_STEPS = 120
_WINDOW = 16
"""Batches that may be unacknowledged before the pace drops. A kernel that runs a cell may receive no messages, so a
full window slows the stream down and never stops it."""
_READ_AGAIN_SECONDS = 1.0
_BEHIND_STEPS = 400
_BEHIND_BATCHES = 4
"""Changes since the last flush beyond which a new snapshot costs less than the changes."""

_TELLS_HOME = (TurnStarted.kind, PersistStarted.kind, TurnEnded.kind)


class Stream:
    """Keeps pages in step with a session, by the session's one fold in this process.

    Until a page has sent `hello` every message is a snapshot, so that a panel fills even while the kernel receives
    nothing during a running cell. All methods may be called from any thread.

    Args:
        source: the session to follow.
        send: sends one message to every page.
        control: the same session, if it is live.
        watch: called with each batch of events, after the fold.
        transcript: whether the pages show steps and turns; if not, only the session and listings are sent.
    """

    def __init__(
        self,
        source: EventSource,
        send: Callable[[Any], None],
        control: SessionControl | None = None,
        *,
        watch: Callable[[list[Event]], None] | None = None,
        transcript: bool = True,
    ) -> None:
        self._source = source
        self._control = control
        self._send = send
        self._watch = watch
        self._transcript = transcript
        self._shared = shared_fold(source) if control is None else control.fold
        self._facts = Facts(source, control, self._shared)
        self._lock = self._shared.lock  # the fold's state and the sent changes belong together
        self._wake = threading.Event()
        self._counts: dict[int, int] = {}
        self._steps: dict[tuple[int, int], list[str] | None] = {}
        self._turns: set[int] = set()
        self._session_changed = False
        self._settings_changed = False
        self._activity_changed = False
        self._question_changed = False
        self._items: list[Item] = []
        self._listings: dict[str, ListingItem] = {}
        self._joined = False
        self._open = False
        self._n = 0
        self._acked = 0
        self._key_at = 0.0
        self._unsubscribe: list[Callable[[], None]] = []

    def open(self) -> None:
        """Start following the session; later calls do nothing."""
        with self._lock:
            if self._open:
                return
            self._open = True
        self.look_again()
        if whole := self._shared.whole:
            self._follow()
        name = f"widget-{self._source.record.id}"
        threading.Thread(target=self._run, args=(whole,), name=name, daemon=True).start()
        if self._control is not None:
            self._unsubscribe.append(self._control.watch_activity(self._on_activity))
            self._unsubscribe.append(self._control.page.watch(self._on_question))

    def _follow(self) -> None:
        """Begin to follow the fold, which has the session's events from the first on."""
        with self._lock:
            if not self._open:
                return
            fold = self._fold
            self._counts = {turn: fold.step_count(turn) for turn in fold.turns}
            self._session_changed = True
            after = self._shared.last_seq
            self._unsubscribe.append(self._shared.watch(self._on_folded))
        self._unsubscribe.append(self._source.subscribe(self._on_events, after=after))
        self._wake.set()

    @property
    def _fold(self) -> Fold:
        return self._shared.fold

    def close(self) -> None:
        """Stop; the pages keep their content."""
        with self._lock:
            self._open = False
            ends, self._unsubscribe = self._unsubscribe, []
        self._wake.set()
        for end in ends:
            end()

    def hello(self, view: str) -> None:
        """Send the current state to a new page, or to one that missed a batch."""
        with self._lock:
            if self._joined:
                self._flush()
            self._joined = True
            self._clear()
            self._acked = self._n
            self._send_snapshot(view)

    def ack(self, n: int) -> None:
        """Record that a page has drawn batch `n`."""
        with self._lock:
            self._acked = min(max(self._acked, n), self._n)

    def push(self, item: ListingItem) -> None:
        """Send a folder listing with the next batch."""
        with self._lock:
            self._listings[item["path"]] = item
            self._items.append(item)
        self._wake.set()

    def forget(self, path: str) -> None:
        """Drop a folder from later snapshots."""
        with self._lock:
            self._listings.pop(path, None)

    def page(self) -> Page:
        """Return the newest steps, at most 120 of them and 192 KB."""
        with self._lock:
            page = self._page(self._backwards() if self._transcript else ())
            return {"turns": page["turns"][::-1], "steps": page["steps"][::-1]}

    def between(self, first: tuple[int, int], last: tuple[int, int]) -> Page:
        """Return the steps from `first` to `last`, each turn and index, as far as one message carries them."""
        with self._lock:
            return self._page(self._forwards(first, last) if self._transcript else ())

    def _page(self, steps: Iterable[Step]) -> Page:
        views: list[StepView] = []
        turns: dict[int, TurnView] = {}
        size = 0
        for step in steps:
            view = step_view(step)
            size += size_of(view)
            if views and (size > MAX_BYTES * 3 // 4 or len(views) == PAGE_STEPS):
                break
            views.append(view)
            if step.turn not in turns:
                turns[step.turn] = self._facts.turn(step.turn)
                size += size_of(turns[step.turn])
        return {"turns": list(turns.values()), "steps": views}

    def _count_view(self) -> list[int]:
        turns = sorted(self._counts) if self._transcript else ()
        return [number for turn in turns for number in (turn, self._counts[turn])]

    def step(self, turn: int, index: int) -> Step:
        """Return one complete step."""
        with self._lock:
            return self._fold.step(turn, index)

    def steps(self) -> Iterator[Step]:
        """Yield the steps, newest first."""
        with self._lock:
            yield from self._backwards()

    @property
    def running(self) -> bool:
        """Whether the newest turn runs."""
        with self._lock:
            return bool(self._counts) and self._fold.turn(max(self._counts)).status == "running"

    def _backwards(self) -> Iterator[Step]:
        for turn in sorted(self._counts, reverse=True):
            for index in range(self._counts[turn] - 1, -1, -1):
                yield self._fold.step(turn, index)

    def _forwards(self, first: tuple[int, int], last: tuple[int, int]) -> Iterator[Step]:
        for turn in sorted(turn for turn in self._counts if first[0] <= turn <= last[0]):
            begin = first[1] if turn == first[0] else 0
            end = min(self._counts[turn], last[1] + 1) if turn == last[0] else self._counts[turn]
            for index in range(begin, end):
                yield self._fold.step(turn, index)

    def _on_folded(self, folded: list[Folded]) -> None:
        for one in folded:
            self._note_change(one)
        self._wake.set()

    def _on_events(self, events: list[Event]) -> None:
        if any(event.kind in _TELLS_HOME for event in events):
            self.look_again()
        if self._watch is not None:
            self._watch(events)
        self._wake.set()

    def _on_activity(self) -> None:
        with self._lock:
            self._activity_changed = True
        self.look_again()
        self._wake.set()

    def _on_question(self) -> None:
        with self._lock:
            self._question_changed = self._session_changed = True
        self._wake.set()

    def look_again(self) -> None:
        """Check whether the harness can start now, and when its sandbox ends: both change without events."""
        missing = missing_view(self._control)
        deadline = None if self._control is None else self._control.deadline
        with self._lock:
            if (missing, deadline) != (self._facts.missing, self._facts.deadline):
                self._facts.missing, self._facts.deadline, self._session_changed = missing, deadline, True
                self._wake.set()

    def _note_change(self, folded: Folded) -> None:
        event = folded.event
        for change in folded.changes:
            key = (change.turn, change.index)
            self._counts[change.turn] = max(self._counts.get(change.turn, 0), change.index + 1)
            if not self._transcript:
                continue
            if change.append is None:
                self._steps[key] = None
            elif (pieces := self._steps.setdefault(key, [])) is not None:
                pieces.append(change.append)
        if event.direction == "note" or event.kind == "session_info_update":
            self._session_changed = True
        self._settings_changed |= folded.options
        if (
            self._transcript
            and event.turn is not None
            and (event.direction == "note" or event.kind in ("usage_update", "response"))
        ):
            self._turns.add(event.turn)

    def _run(self, follows: bool) -> None:  # another view may have read the earlier events since `open`
        if not follows:
            self._read_back()
        while True:
            self._wake.wait()
            with self._lock:
                if not self._open:
                    return
                self._wake.clear()
                try:
                    self._flush()
                except Exception:  # the next change is sent all the same
                    log.exception("a widget of session %s could not send", self._source.record.id)
                pause = self._pause()
            time.sleep(pause)

    def _read_back(self) -> None:
        """Have the fold read the earlier events, again and again until it succeeds: live events follow them."""
        failed = False
        while self._open and not self._shared.whole:
            try:
                self._shared.complete(self._source.events)
            except StoreBusy:
                log.debug("the store is held; a widget of session %s asks again", self._source.record.id)
            except Exception:  # such as a full disk
                if not failed:
                    log.exception("a widget of session %s could not read it and tries again", self._source.record.id)
                failed = True
                time.sleep(_READ_AGAIN_SECONDS)
        self._follow()
        with self._lock:
            self._clear()
            self._n += 1
            self._send_snapshot(None, reset=True)

    def _pause(self) -> float:
        unacked = self._n - self._acked
        if not self._joined:
            return 0.4
        return 0.04 if unacked <= _WINDOW else 0.1 if unacked <= 600 else 1.0

    def _flush(self) -> None:
        """Send the changes. The caller holds the lock, so that every page receives the batches in order."""
        if not (self._steps or self._turns or self._items or self._facts_changed):
            return
        batches = [] if not self._joined or len(self._steps) > _BEHIND_STEPS else list(in_batches(self._drain()))
        if not 0 < len(batches) <= _BEHIND_BATCHES:
            self._clear()
            self._n += 1
            self._send_snapshot(None, reset=True)
            return
        for items in batches:
            self._n += 1
            batch: Batch = {"kind": "batch", "n": self._n, "now": _now(), "items": items}
            self._send(batch)
        if self._n - self._acked > _WINDOW and time.monotonic() - self._key_at > 3:
            self._send_snapshot(None)

    @property
    def _facts_changed(self) -> bool:
        return self._session_changed or self._settings_changed or self._activity_changed or self._question_changed

    def _clear(self) -> None:
        self._steps.clear()
        self._turns.clear()
        self._items.clear()
        self._session_changed = self._settings_changed = self._activity_changed = self._question_changed = False

    def _drain(self) -> list[Item]:
        items: list[Item] = []
        if self._session_changed:
            items.append({"type": "session", "session": self._facts.session()})
        if self._settings_changed:
            items.append({"type": "settings", "settings": self._facts.settings(), "commands": self._facts.commands()})
        if self._activity_changed:
            items.append({"type": "activity", "text": self._facts.activity()})
        if self._question_changed:
            items.append({"type": "cell_question", "question": self._facts.cell_question()})
        items.extend({"type": "turn", "turn": self._facts.turn(turn)} for turn in sorted(self._turns))
        for (turn, index), pieces in self._steps.items():
            step = self._fold.step(turn, index)
            if pieces is None:
                items.append({"type": "step", "step": step_view(step)})
            else:
                items.append(append_item(step, "".join(pieces)))
        items.extend(self._items)
        self._clear()
        return items

    def _send_snapshot(self, view: str | None, *, reset: bool = False) -> None:
        self._key_at = time.monotonic()
        snapshot: Snapshot = {
            "kind": "snapshot",
            "view": view,
            "reset": reset,
            "n": self._n,
            "now": _now(),
            "session": self._facts.session(),
            "settings": self._facts.settings(),
            "commands": self._facts.commands(),
            "activity": self._facts.activity(),
            "cell_question": self._facts.cell_question(),
            "counts": self._count_view(),
            "page": self.page(),
            "listings": list(self._listings.values()),
        }
        self._send(snapshot)


def _now() -> int:
    return int(time.time() * 1000)
