"""A session played back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import traitlets

from session_widgets.replaying import Moment
from session_widgets.widgets._base import STATIC, PageWidget
from session_widgets.widgets._playback import Place, Playback
from session_widgets.widgets._replay_source import source_of
from session_widgets.widgets._rpc import Operation
from session_widgets.widgets._static_html import static_html

if TYPE_CHECKING:
    from session_widgets._sessions import Session
    from session_widgets._store import Store
    from session_widgets._store.stored_transcript import StoredTranscript
    from session_widgets.transcript.sources import EventSource
    from session_widgets.transcript.transcript import Transcript

_PATIENCE = 1.0
"""Seconds that a cell waits for a session to be read, before it shows what there is."""


class Replay(PageWidget):
    """Play a session back: its transcript, plan, commands and files as they were after each event.

    Live sessions, which it follows, stored ones and imports alike. It writes nothing but the annotations that a person
    gives to steps there.

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
    seq = traitlets.Int(-1).tag(sync=True)

    def __init__(
        self,
        session: str | Path | Session | Transcript | StoredTranscript | EventSource,
        at: int | str | None = None,
        *,
        store: Store | None = None,
    ) -> None:
        source = source_of(session, store)
        self._playback = Playback(source, self.send, self._where, self._on_read)
        self._early = False
        self._aim = Place(-1)
        super().__init__(session_id=source.record.id)
        if at is not None:
            self.seek(at)

    def seek(self, at: int | str) -> None:
        """Go to an event or a step, in every view; blocks until the session is read.

        Args:
            at: `seq` of an event, or the `step_uid` of a step: the moment at which it is complete.

        Raises:
            BadValue: there is no such event or step.
        """
        self._aim = self._playback.place_of(at)
        self.seq = self._aim.seq

    def moment(self, seq: int) -> Moment:
        """Return the session as it was after an event; blocks until the session is read.

        Args:
            seq: of the event; the latest one at most.
        """
        return self._playback.moment(seq)

    def _where(self) -> Place:
        return self._aim if self._aim.seq == self.seq else Place(self.seq)

    def _operations(self) -> dict[str, Operation]:
        return self._playback.operations()

    def _hello(self, view: str) -> None:
        self._playback.hello()

    def _look(self) -> None:
        self._playback.look()

    def _end(self) -> None:
        self._playback.close()

    def _begin(self) -> None:
        self._playback.open()

    def _on_read(self) -> None:
        if self._early:
            self._renew_static()

    def _static(self) -> dict[str, str]:
        self._early = not self._playback.wait(_PATIENCE)  # the page loads meanwhile
        playback, recording = self._playback, self._playback.recording
        with playback.lock:
            seq = self.seq if self.seq >= 0 else recording.last_seq
            record, steps = playback.record, recording.steps(seq)
        where = (record.harness, f"replay, after event {seq:,} of {recording.last_seq:,}")
        html = static_html(record.title or record.id, where, reversed(steps), self.snapshot_id)
        return {"text/html": html, "text/plain": repr(self)}

    def __repr__(self) -> str:
        if self._playback.open():
            self._playback.wait(_PATIENCE)
        recording = self._playback.recording
        return f"Replay({self.session_id!r}, {recording.last_seq} events, {len(recording.keys)} steps)"
