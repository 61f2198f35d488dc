"""What a replay shows: a session by its id or object, its events, or a saved file of another program."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from session_widgets._sessions.opening import opened
from session_widgets._store import Store
from session_widgets._store import store as open_store
from session_widgets._store.source import StoredSession
from session_widgets._store.stored_transcript import StoredTranscript
from session_widgets.errors import BadValue
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Event, SessionRecord
from session_widgets.transcript.sources import EventSource
from session_widgets.transcript.transcript import Transcript


class Recorded:
    """Events in memory: an `EventSource` that is not live."""

    live = False

    def __init__(self, record: SessionRecord, events: Sequence[Event]) -> None:
        self.record = record
        self._events = list(events)

    def events(self, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with `seq` above `after`, at most `limit` of them."""
        later = [event for event in self._events if event.seq > after]
        return later if limit is None else later[:limit]

    def subscribe(self, callback: Callable[[list[Event]], None], after: int = 0) -> Callable[[], None]:
        """Call `callback` once with the events after `after`."""
        callback(self.events(after))
        return lambda: None


def source_of(given: Any, store: Store | None) -> EventSource:
    """Return the events to replay.

    Args:
        given: the id of a session, a session, a transcript, an event source, or the path of a saved file.
        store: with the session of an id. Default: the default store.

    Raises:
        BadValue: it is none of these, or a file does not hold exactly one session.
        SessionGone: the store has no such session.
    """
    if isinstance(given, Path) or (isinstance(given, str) and ("/" in given or "." in given)):
        return _saved(Path(given).expanduser())
    if isinstance(given, Transcript):
        return _of_transcript(given)
    if isinstance(given, str | StoredTranscript):
        session_id = given if isinstance(given, str) else given.session_id
        home = open_store() if store is None else store
        return opened(home, session_id) or StoredSession(home, session_id)
    if all(hasattr(given, name) for name in ("record", "events", "subscribe")):
        source: EventSource = given
        return source
    raise BadValue(
        "a replay shows the id of a session, a session, a transcript or the path of a file; "
        f"got {type(given).__name__}."
    )


def _of_transcript(transcript: Transcript) -> Recorded:
    fold = Fold(transcript.session_id)
    for event in transcript.events:
        fold.feed(event)
    record = fold.session()
    if record is None:
        raise BadValue(f"the transcript of {transcript.session_id!r} does not begin with the session's first event.")
    return Recorded(record, transcript.events)


def _saved(path: Path) -> Recorded:
    """Read a file by way of a store of its own, which is then removed."""
    with tempfile.TemporaryDirectory(prefix="session-widgets-replay-") as folder:
        store = Store(Path(folder) / "replay.duckdb")
        try:
            report = store.import_(path)
            names = [record.id for record in store.sessions()]
            if len(names) != 1:
                reason = next((file.reason for file in report.files if file.reason), None)
                why = reason or f"it has {len(names)} sessions; import it and choose one of them by its id"
                raise BadValue(f"{str(path)!r} cannot be replayed: {why}.")
            source = store.source(names[0])
            return Recorded(source.record, source.events())
        finally:
            store.close()
