"""Computes the derived rows of a session again from its events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count

from session_widgets._store import import_queries, queries
from session_widgets._store.derive import Derivation
from session_widgets._store.importing import deriving
from session_widgets._store.queries import Connection
from session_widgets._store.rows import Row
from session_widgets.transcript.fold import Fold
from session_widgets.version import __version__

AT_ONCE = 10_000
"""Events derived while the file is held; about a second."""

Progress = Callable[[int, int], object]
Transaction = Callable[[], AbstractContextManager[Connection]]
_numbers = count(1)


def rebuild(connection: Connection, session_id: str) -> None:
    """Write the derived rows of a session again, from its events, inside the caller's transaction."""
    queries.delete_session(connection, session_id, queries.DERIVED)
    pieces = _Pieces(session_id)
    pieces.finish(connection)


def rebuild_in_pieces(
    transaction: Transaction, session_id: str | None, progress: Progress, forget: Callable[[], object]
) -> None:
    """Rebuild one session or all, and release the file in between.

    A session's rows change in one transaction. The file stores the list of remaining sessions, so that the next call
    continues an interrupted rebuild.

    Args:
        transaction: begins one on the store's file.
        session_id: one session; None for all.
        progress: called with the numbers of processed and of all events.
        forget: called inside each transaction that changes rows.
    """
    with transaction() as connection:
        todo = {session_id} if session_id is not None else queries.rebuilding(connection, __version__)
        sizes = dict.fromkeys(sorted(todo), 0) | queries.event_counts(connection, todo)
        files = import_queries.file_ids(connection, session_id)
        if files and session_id is not None:
            sizes = {}
    done, total = 0, sum(sizes.values())
    for file_id in files:
        deriving.rebuild_file(transaction, file_id)
    for each, size in sizes.items():
        for seen in _rebuild(transaction, each, forget):
            progress(min(done + seen, total), total)
        done += size
    with transaction() as connection:
        if session_id is None:
            queries.rebuilt_all(connection)
            forget()


def _rebuild(transaction: Transaction, session_id: str, forget: Callable[[], object]) -> Iterator[int]:
    """Derive the rows in pieces in memory, then replace the old ones; yield the number of processed events."""
    pieces, staging, origin = _Pieces(session_id), f"staging_{next(_numbers)}", None
    full = True
    while full:
        with transaction() as connection:
            if origin is None:
                queries.make_staging(connection, staging)
                origin = queries.origin(connection, session_id)
            full = pieces.take(connection, staging) == AT_ONCE
        yield pieces.seen
    with transaction() as connection:
        queries.rebuilt(connection, session_id)
        if queries.origin(connection, session_id) == origin:  # else it was deleted meanwhile
            queries.take_staged(connection, staging, session_id)
            pieces.finish(connection)
        forget()
    with transaction() as connection:
        connection.execute(f"detach database if exists {staging}")


class _Pieces:
    """A session's derivation, event by event."""

    def __init__(self, session_id: str) -> None:
        self.seen = 0
        self._session_id = session_id
        self._derivation = Derivation(Fold(session_id))
        self._last = self._last_turn = 0

    def take(self, connection: Connection, into: str) -> int:
        """Derive from the next events and write the rows; return the number of events."""
        events = queries.events(connection, self._session_id, self._last, AT_ONCE)
        for event in events:
            self._derivation.feed(event)
            self._last, self._last_turn = event.seq, max(self._last_turn, event.turn or 0)
        for table, written in self._derivation.written().items():
            queries.write(connection, table, written, into)
        self.seen += len(events)
        return len(events)

    def finish(self, connection: Connection) -> None:
        """Derive from all remaining events, and write the row of the session."""
        while self.take(connection, "store") == AT_ONCE:
            pass
        if self._last:
            origin = queries.origin(connection, self._session_id)
            assert origin is not None
            put_session(connection, self._derivation.session(origin, self._last, self._last_turn), None)


def put_session(connection: Connection, row: Row, before: Row | None) -> None:
    """Write the row of a session; `before` is its current row, if any."""
    if before is None:
        queries.insert(connection, "sessions", [row])
    else:
        queries.update(connection, "sessions", ["session_id"], before, row)
