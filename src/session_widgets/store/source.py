"""A session as the store holds it, read like a live one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from session_widgets.errors import SessionGone
from session_widgets.transcript.records import Event, SessionRecord

if TYPE_CHECKING:
    from session_widgets.store.database import Store

PAGE = 5_000


class StoredSession:
    """The events of a session up to now: an `EventSource` that is not live.

    Args:
        store: that holds it.
        session_id: whose events.

    Raises:
        SessionGone: the store holds nothing of it.
    """

    live = False

    def __init__(self, store: Store, session_id: str) -> None:
        self._store = store
        record = store.session(session_id)
        if record is None:
            raise SessionGone(f"the store holds no session {session_id!r}. Its sessions are store().sessions().")
        self.record: SessionRecord = record

    def events(self, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with `seq` above `after`, at most `limit` of them, oldest first."""
        return self._store.events(self.record.id, after, limit)

    def subscribe(self, callback: Callable[[list[Event]], None], after: int = 0) -> Callable[[], None]:
        """Hand `callback` every event after `after`, before this returns; there are no others."""
        while page := self.events(after, PAGE):
            callback(page)
            after = page[-1].seq
        return lambda: None
