"""A stored session, read like a live one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from session_widgets._store.importing.events import events_of
from session_widgets.errors import SessionGone
from session_widgets.transcript.records import Event, SessionRecord

if TYPE_CHECKING:
    from session_widgets._store.database import Store

PAGE = 5_000


class StoredSession:
    """The stored events of a session: an `EventSource` that is not live.

    Args:
        store: of the session.
        session_id: of the session.

    Raises:
        SessionGone: the store has no event of it.
    """

    live = False

    def __init__(self, store: Store, session_id: str) -> None:
        self.store = store
        record = store.session(session_id)
        if record is None:
            raise SessionGone(f"the store holds no session {session_id!r}. Its sessions are store().sessions().")
        self.record: SessionRecord = record
        self._made: list[Event] | None = None

    def events(self, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with `seq` above `after`, at most `limit` of them, oldest first.

        Those of an import are made from its steps.
        """
        if self.record.status == "imported":
            if self._made is None:
                name = self.record.id
                self._made = events_of(self.record, self.store.turns(name), self.store.steps(name))
            return self._made[after : None if limit is None else after + limit]
        return self.store.events(self.record.id, after, limit)

    def subscribe(self, callback: Callable[[list[Event]], None], after: int = 0) -> Callable[[], None]:
        """Call `callback` with every event after `after`, before this returns; no others follow."""
        while page := self.events(after, PAGE):
            callback(page)
            after = page[-1].seq
        return lambda: None
