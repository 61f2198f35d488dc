"""The derived rows of a session again, from its events."""

from __future__ import annotations

from session_widgets.fold import Fold
from session_widgets.store import queries
from session_widgets.store.derive import Derivation
from session_widgets.store.queries import Connection
from session_widgets.store.rows import Row


def rebuild(connection: Connection, session_id: str) -> None:
    """Write the derived rows of a session again, from its events."""
    queries.delete_session(connection, session_id, queries.DERIVED)
    derivation, last, last_turn = Derivation(Fold(session_id)), 0, 0
    for batch in queries.every_event(connection, session_id):
        for event in batch:
            derivation.feed(event)
            last, last_turn = event.seq, max(last_turn, event.turn or 0)
        for table, written in derivation.written().items():
            queries.write(connection, table, written)
    if last:
        row = derivation.session(queries.origin(connection, session_id), last, last_turn)
        put_session(connection, row, None)


def put_session(connection: Connection, row: Row, before: Row | None) -> None:
    """Write the row of a session; `before` is how it stands in the table, if it does."""
    if before is None:
        queries.insert(connection, "sessions", [row])
    else:
        queries.update(connection, "sessions", ["session_id"], before, row)
