"""The page's side of a replay in Python: reads a session's events, and answers what a page requests of a moment."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from session_widgets._sessions import Session
from session_widgets._store.source import StoredSession
from session_widgets.errors import BadValue
from session_widgets.replaying import KeptAll, Moment, Recording
from session_widgets.transcript.notes import FilesKept
from session_widgets.transcript.records import Event, SessionRecord, Step
from session_widgets.widgets._annotations import Annotations
from session_widgets.widgets._parts import answer_image, answer_text, step_key
from session_widgets.widgets._replay_files import KeptInStore
from session_widgets.widgets._replay_wire import (
    FIRST_BYTES,
    MAX_ROWS,
    MomentView,
    TimelineView,
    file_text_view,
    moment_view,
    replay_view,
    timeline,
)
from session_widgets.widgets._rpc import Answer, Buffers, Operation, pool
from session_widgets.widgets._wire import step_view

if TYPE_CHECKING:
    from session_widgets.transcript.sources import EventSource

log = logging.getLogger(__name__)

_PAGE = 5_000
_SLICE = 250
"""Events between which a page may ask for a moment."""
_TELL_SECONDS = 0.25
"""Least time between two messages about new events."""
_First = tuple[MomentView | None, TimelineView | None, tuple[bytes, ...]]
_NOTHING: _First = (None, None, ())


class Place(NamedTuple):
    """An event to show, -1 for where a replay begins; and which of the steps that it changed."""

    seq: int
    step: tuple[int, int] | None = None


class Playback:
    """A session that is read once, and followed if it is live; for any number of pages.

    Args:
        source: of the session's events.
        send: sends one message with its buffers to every page.
        where: returns what the pages show; None before there can be one.
        read: called when the session has been read, or could not be.
    """

    def __init__(
        self,
        source: EventSource,
        send: Callable[[Any, list[bytes]], None],
        where: Callable[[], Place | None],
        read: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._send, self._where, self._on_read = send, where, read
        self.lock = threading.RLock()
        self.recording = Recording(source.record.id, _kept(source))
        self.reading = True
        self._told_at = 0.0
        self._telling = False
        self._owed = True  # the next message has the moment with which a page begins
        self._error: str | None = None
        self._read = threading.Event()
        self._annotations = Annotations(source)
        self._new: queue.SimpleQueue[list[Event]] = queue.SimpleQueue()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._begun = self._closed = False

    @property
    def session_id(self) -> str:
        """Id of the session."""
        return self.recording.session_id

    @property
    def record(self) -> SessionRecord:
        """The session as of the latest event that was read."""
        return self.recording.record or self._source.record

    def place_of(self, at: int | str) -> Place:
        """Return where a moment is; blocks until the session is read.

        Args:
            at: `seq` of an event, or the `step_uid` of a step: the moment at which it is complete.

        Raises:
            BadValue: there is no such event or step.
        """
        self.wait()
        with self.lock:
            recording = self.recording
            if isinstance(at, int):
                if not 0 <= at <= recording.last_seq:
                    raise BadValue(f"the session has events 1 to {recording.last_seq}; got {at}.")
                return Place(at)
            try:
                key = self._key_of(at)
                return Place(recording.ended(key), key)
            except KeyError:
                raise BadValue(
                    f"there is no step {at!r:.200}; a step is named by its `step_uid` or 'turn/index'."
                ) from None

    def moment(self, seq: int) -> Moment:
        """Return the session as it was after an event; blocks until the session is read."""
        self.wait()
        with self.lock:
            return self.recording.at(seq)

    def _key_of(self, uid: str) -> tuple[int, int]:
        """Return turn and index of a step; the program of an import has named it."""
        if key := step_key(uid):
            return key
        if not isinstance(self._source, StoredSession):
            raise KeyError(uid)
        query = "select turn, step from v_steps where session_id = ? and step_uid = ?"
        rows = self._source.store.sql(query, [self.session_id, uid]).fetchall()
        if not rows:
            raise KeyError(uid)
        return int(rows[0][0]), int(rows[0][1])

    def operations(self) -> dict[str, Operation]:
        """Return the operations of a page, by name."""
        return {
            "timeline": self._timeline,
            "moment": self._moment,
            "rows": self._rows,
            "file": self._file,
            **self._annotations.operations(),
            "text": lambda args, _: answer_text(self._step(args), args),
            "image": lambda args, _: answer_image(self._step(args), args),
        }

    def _timeline(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        have = [int(args.get(name, 0)) for name in ("clock", "steps", "marks", "pauses")]
        with self.lock:
            return Answer(*timeline(self.recording, *have))

    def _moment(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        step = args.get("step")
        wanted = (int(step[0]), int(step[1])) if step else None
        with self.lock:
            return Answer(moment_view(self.recording, int(args["seq"]), int(args.get("before", 0)), wanted))

    def _rows(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        first = max(0, int(args["first"]))
        with self.lock:
            steps = self.recording.steps(int(args["seq"]), first, min(int(args["last"]) + 1, first + 4 * MAX_ROWS))
        return Answer([step_view(step) for step in steps])

    def _file(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        with self.lock:
            file = self.recording.file(str(args["path"]), int(args["seq"]))
        if file is None:
            raise BadValue(f"the transcript has not named {args['path']!r:.200} yet")
        return Answer(file_text_view(file))

    def _step(self, args: Mapping[str, Any]) -> Step:
        with self.lock:
            return self.recording.step((int(args["turn"]), int(args["index"])), int(args["seq"]))

    def open(self) -> bool:
        """Begin to read the session, and return True; later calls do nothing."""
        with self.lock:
            begin, self._begun = not self._begun, True
        if begin:
            threading.Thread(target=self._begin, name=f"replay-{self.session_id}", daemon=True).start()
        return begin

    def wait(self, seconds: float | None = None) -> bool:
        """Begin to read the session, and wait until it is read; return whether it is."""
        self.open()
        return self._read.wait(seconds)

    def hello(self) -> None:
        """Send a page that has opened the session and the moment with which it begins; returns at once."""
        self.open()
        with self.lock:
            self._owed = True
        pool().submit(self.tell)

    def close(self) -> None:
        """Follow the session no longer."""
        with self.lock:
            self._closed = True
            unsubscribe, self._unsubscribe = self._unsubscribe, lambda: None
        unsubscribe()

    def _begin(self) -> None:
        try:
            self._catch_up()
            if self._source.live:
                self._unsubscribe = self._source.subscribe(self._on_events, after=self.recording.last_seq)
                if self._closed:
                    self._unsubscribe()
        except Exception as error:  # such as a store that another process holds
            log.exception("session %s could not be read", self.session_id)
            self._error = f"The session could not be read: {error}"
        finally:
            self.reading = False
            self._read.set()
            self.tell()
            self._on_read()

    def _catch_up(self) -> bool:
        """Read the events that are stored; return whether there were new ones."""
        grew = False
        while page := self._source.events(self.recording.last_seq, _PAGE):
            for first in range(0, len(page), _SLICE):
                with self.lock:
                    self.recording.feed(page[first : first + _SLICE])
                self._tell_soon()
            grew = True
        return grew

    def look(self) -> None:
        """Read what another process has added to the session."""
        if self.reading or self._closed or self._source.live:
            return
        try:
            if self._catch_up():
                self.tell()
        except Exception:
            log.exception("session %s could not be read again", self.session_id)

    def _on_events(self, events: list[Event]) -> None:
        """Take new events; they are fed on the pool, because kept files may be read then."""
        self._new.put(events)
        pool().submit(self._feed)

    def _feed(self) -> None:
        try:
            with self.lock, suppress(queue.Empty):
                while True:
                    self.recording.feed(self._new.get_nowait())
        except Exception:
            log.exception("new events of session %s could not be replayed", self.session_id)
        self._tell_soon()

    def _tell_soon(self) -> None:
        with self.lock:
            if self._telling:
                return
            self._telling = True
        timer = threading.Timer(max(0.0, self._told_at + _TELL_SECONDS - time.monotonic()), self.tell)
        timer.daemon = True
        timer.start()

    def tell(self) -> None:
        """Send every page how far the session is read; with the first moment if a page waits for it."""
        with self.lock:
            self._telling, self._told_at = False, time.monotonic()
            place = self._where()
            if place is None:
                return
            at, step = place
            begin = at if at >= 0 else self.recording.last_seq if self._source.live else None
            view = replay_view(
                self.record,
                self.recording,
                live=self._source.live,
                reading=self.reading,
                error=self._error,
                at=begin,
                step=step,
            )
            moment, head, numbers = self._first(1 if begin is None else begin, step) if self._owed else _NOTHING
        self._send({"kind": "replay", "replay": view, "moment": moment, "timeline": head}, list(numbers))

    def _first(self, seq: int, step: tuple[int, int] | None) -> _First:
        """Return the moment with which a page begins, and the time line with its numbers if it is short.

        Nothing if the moment is not read yet, or too large: then the page requests it, as it does a long time line.
        """
        seq = max(seq, 1)
        if self.recording.last_seq < seq:
            return _NOTHING
        self._owed = False
        try:
            moment = moment_view(self.recording, seq, 0, step)
        except Exception:
            log.exception("event %d of session %s cannot be shown", seq, self.session_id)
            return _NOTHING  # the page requests it, and shows the error
        room = FIRST_BYTES - len(json.dumps(moment))
        if room < 0:
            return _NOTHING
        head, numbers = timeline(self.recording, 0, 0, 0, 0)
        return (moment, head, numbers) if sum(map(len, numbers)) <= room else (moment, None, ())


def _kept(source: EventSource) -> Callable[[FilesKept], KeptAll | None]:
    """Return what reads the kept files of a session of a store; those of other events are unknown."""
    if isinstance(source, StoredSession | Session):
        return KeptInStore(source.store, source.record)
    return lambda _: None
