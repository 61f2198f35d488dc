"""A session played back."""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
from IPython.display import display, update_display

from session_widgets._store import store as open_store
from session_widgets._store.source import StoredSession
from session_widgets.errors import BadValue
from session_widgets.replaying import Moment, Recording
from session_widgets.transcript.records import Event
from session_widgets.widgets._base import STATIC
from session_widgets.widgets._parts import step_image, step_text
from session_widgets.widgets._replay_source import source_of
from session_widgets.widgets._replay_wire import MAX_ROWS, file_text_view, moment_view, replay_view, timeline
from session_widgets.widgets._rpc import Answer, Buffers, Operation, Rpc, pool
from session_widgets.widgets._static_html import static_html
from session_widgets.widgets._text import safe
from session_widgets.widgets._wire import step_view

if TYPE_CHECKING:
    from session_widgets._sessions import Session
    from session_widgets._store import Store
    from session_widgets._store.stored_transcript import StoredTranscript
    from session_widgets.transcript.sources import EventSource
    from session_widgets.transcript.transcript import Transcript

log = logging.getLogger(__name__)

_UID = re.compile(r"(?:[^/]+/)?(\d{1,9})/(\d{1,9})")
_TEXT_CHUNK = 256 * 1024
_PAGE = 5_000
_SLICE = 250
"""Events between which a page may ask for a moment."""
_PATIENCE = 1.0
"""Seconds that a cell waits for a session to be read, before it shows what there is."""
_TELL_SECONDS = 0.25
"""Least time between two messages about new events."""


class Replay(anywidget.AnyWidget):
    """Play a session back: its transcript, plan, commands and files as they were after each event.

    Live sessions, which it follows, stored ones and imports alike. It changes nothing.

    Args:
        session: the id of a session, a session, a transcript, or the path of a file of another program.
        at: where to begin: `seq` of an event, or the `step_uid` of a step ("parser/2/14"; "2/14" will do). Default: the
            first event; of a live session the latest one.
        store: with the session of an id. Default: `session_widgets.store()`.

    Attributes:
        seq: the event that the page shows; set it to go there.

    Raises:
        BadValue: `session` or `at` cannot be read, or a file does not hold exactly one session.
        SessionGone: the store has no such session.

    Example:
        >>> import session_widgets as sw
        >>> sw.Replay("parser", at="parser/2/14")  # doctest: +SKIP
    """

    _esm = STATIC / "replay.js"
    _css = STATIC / "replay.css"

    session_id = traitlets.Unicode().tag(sync=True)
    snapshot_id = traitlets.Unicode().tag(sync=True)
    seq = traitlets.Int(-1).tag(sync=True)

    def __init__(
        self,
        session: str | Path | Session | Transcript | StoredTranscript | EventSource,
        at: int | str | None = None,
        *,
        store: Store | None = None,
    ) -> None:
        source = source_of(session, store)
        self._source = source
        self._store = store
        self._lock = threading.RLock()
        self._recording = Recording(source.record.id)
        self._told_at = 0.0
        self._telling = False
        self._reading = True
        self._error: str | None = None
        self._shown = False
        self._read = threading.Event()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._begun = self._closed = False
        self._rpc = Rpc(self._operations(), self.send)
        super().__init__(session_id=source.record.id, snapshot_id=uuid.uuid4().hex)
        self.on_msg(self._receive)
        if at is not None:
            self.seek(at)

    def seek(self, at: int | str) -> None:
        """Go to an event or a step, in every view; blocks until the session is read.

        Args:
            at: `seq` of an event, or the `step_uid` of a step: the moment at which it is complete.

        Raises:
            BadValue: there is no such event or step.
        """
        self._follow(wait=True)
        with self._lock:
            self.seq = self._seq_of(at)

    def moment(self, seq: int) -> Moment:
        """Return the session as it was after an event; blocks until the session is read.

        Args:
            seq: of the event; the latest one at most.
        """
        self._follow(wait=True)
        with self._lock:
            return self._recording.at(seq)

    def close(self) -> None:
        """Follow the session no longer; the page keeps its content."""
        if "_rpc" in self.__dict__:  # ipywidgets closes collected widgets, even if __init__ refused its arguments
            with self._lock:
                self._closed = True
                unsubscribe, self._unsubscribe = self._unsubscribe, lambda: None
            unsubscribe()
        super().close()

    def _seq_of(self, at: int | str) -> int:
        recording = self._recording
        if isinstance(at, int):
            if not 0 <= at <= recording.last_seq:
                raise BadValue(f"the session has events 1 to {recording.last_seq}; got {at}.")
            return at
        try:
            return recording.ended(self._key_of(at))
        except KeyError:
            raise BadValue(
                f"there is no step {at!r:.200}; a step is named by its `step_uid` or 'turn/index'."
            ) from None

    def _key_of(self, uid: str) -> tuple[int, int]:
        """Return turn and index of a step; the program of an import has named it."""
        found = _UID.fullmatch(uid)
        if found:
            return int(found[1]), int(found[2])
        if not isinstance(self._source, StoredSession):
            raise KeyError(uid)
        query = "select turn, step from v_steps where session_id = ? and step_uid = ?"
        rows = (self._store or open_store()).sql(query, [self.session_id, uid]).fetchall()
        if not rows:
            raise KeyError(uid)
        return int(rows[0][0]), int(rows[0][1])

    def _operations(self) -> dict[str, Operation]:
        return {
            "timeline": self._timeline,
            "moment": self._moment,
            "rows": self._rows,
            "file": self._file,
            "text": self._text,
            "image": self._image,
        }

    def _timeline(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        have = [int(args.get(name, 0)) for name in ("clock", "steps", "marks", "pauses")]
        with self._lock:
            return Answer(*timeline(self._recording, *have))

    def _moment(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        with self._lock:
            return Answer(moment_view(self._recording, int(args["seq"]), int(args.get("before", 0))))

    def _rows(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        first = max(0, int(args["first"]))
        with self._lock:
            steps = self._recording.steps(int(args["seq"]), first, min(int(args["last"]) + 1, first + 4 * MAX_ROWS))
        return Answer([step_view(step) for step in steps])

    def _file(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        with self._lock:
            file = self._recording.file(str(args["path"]), int(args["seq"]))
        if file is None:
            raise BadValue(f"the transcript has not named {args['path']!r:.200} yet")
        return Answer(file_text_view(file))

    def _text(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        whole = step_text(self._step(args), str(args["part"]))
        offset = max(0, int(args["offset"]))
        return Answer({"text": safe(whole[offset : offset + _TEXT_CHUNK]), "offset": offset, "length": len(whole)})

    def _image(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        return Answer(None, (step_image(self._step(args), int(args["block"])),))

    def _step(self, args: Mapping[str, Any]) -> Any:
        with self._lock:
            return self._recording.step((int(args["turn"]), int(args["index"])), int(args["seq"]))

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Buffers) -> None:
        match content.get("kind"):
            case "hello":
                self._follow()
                self._tell()
            case "ping":
                pool().submit(self._look)
            case "rpc":
                self._rpc.call(content, buffers)
            case "cancel":
                self._rpc.cancel(content)

    def _follow(self, *, wait: bool = False) -> None:
        """Begin to read the session; later calls only wait, if they are to."""
        with self._lock:
            begin, self._begun = not self._begun, True
        if begin:
            threading.Thread(target=self._begin, name=f"replay-{self.session_id}", daemon=True).start()
        if wait:
            self._read.wait()

    def _begin(self) -> None:
        try:
            self._catch_up()
            if self._source.live:
                self._unsubscribe = self._source.subscribe(self._on_events, after=self._recording.last_seq)
                if self._closed:
                    self._unsubscribe()
        except Exception as error:  # such as a store that another process holds
            log.exception("session %s could not be read", self.session_id)
            self._error = f"The session could not be read: {error}"
        finally:
            self._reading = False
            self._read.set()
            self._tell()
            if self._shown:
                update_display(self._static(), raw=True, display_id=self.snapshot_id)

    def _catch_up(self) -> bool:
        """Read the events that are stored; return whether there were new ones."""
        grew = False
        while page := self._source.events(self._recording.last_seq, _PAGE):
            for first in range(0, len(page), _SLICE):
                with self._lock:
                    self._recording.feed(page[first : first + _SLICE])
                self._tell_soon()
            grew = True
        return grew

    def _look(self) -> None:
        """Read what another process has added to the session."""
        if self._reading or self._closed or self._source.live:
            return
        try:
            if self._catch_up():
                self._tell()
        except Exception:
            log.exception("session %s could not be read again", self.session_id)

    def _on_events(self, events: list[Event]) -> None:
        with self._lock:
            self._recording.feed(events)
        self._tell_soon()

    def _tell_soon(self) -> None:
        with self._lock:
            if self._telling:
                return
            self._telling = True
        timer = threading.Timer(max(0.0, self._told_at + _TELL_SECONDS - time.monotonic()), self._tell)
        timer.daemon = True
        timer.start()

    def _tell(self) -> None:
        with self._lock:
            self._telling, self._told_at = False, time.monotonic()
            record = self._recording.record or self._source.record
            begin = self.seq if self.seq >= 0 else self._recording.last_seq if self._source.live else None
            view = replay_view(
                record, self._recording, live=self._source.live, reading=self._reading, error=self._error, at=begin
            )
        self.send({"kind": "replay", "replay": view})

    def _ipython_display_(self) -> None:
        """Show the widget, with the static snapshot that the live widget hides."""
        self._follow()
        self._read.wait(_PATIENCE)
        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display((data or {}) | {"text/plain": ""}, metadata=metadata, raw=True)
        display(self._static(), raw=True, display_id=self.snapshot_id)
        self._shown = not self._read.is_set()

    def _static(self) -> dict[str, str]:
        with self._lock:
            recording = self._recording
            seq = self.seq if self.seq >= 0 else recording.last_seq
            record = recording.record or self._source.record
            steps = recording.steps(seq)
        where = (record.harness, f"replay, after event {seq:,} of {recording.last_seq:,}")
        html = static_html(record.title or record.id, where, reversed(steps), self.snapshot_id)
        return {"text/html": html, "text/plain": repr(self)}

    def __repr__(self) -> str:
        recording = self._recording
        return f"Replay({self.session_id!r}, {recording.last_seq} events, {len(recording.keys)} steps)"
