"""Copies a session's events up to the end of a turn into a new session, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from session_widgets._store import queries, rebuilding
from session_widgets._store.payload import clean
from session_widgets._store.queries import Connection
from session_widgets.errors import SessionConflict, SessionGone
from session_widgets.transcript.records import Draft


def fork(connection: Connection, session_id: str, turn: int, new_id: str, drafts: Sequence[Draft]) -> None:
    """Create a session with the events of another one.

    Args:
        connection: inside a transaction.
        session_id: of the other one.
        turn: its last turn in the new session; it has ended.
        new_id: of the new one.
        drafts: further events of the new session.

    Raises:
        SessionConflict: the new session exists.
        SessionGone: the other session, or its turn, does not exist.
    """
    if queries.place(connection, new_id) is not None:
        raise SessionConflict(f"session {new_id!r} exists. Use another id.")
    end = queries.end_of_turn(connection, session_id, turn)
    if end is None:
        raise SessionGone(f"session {session_id!r} has no ended turn {turn} in this store.")
    last = queries.copy_events(connection, session_id, new_id, end, turn)
    cleaned = [text for text, _ in clean([draft.payload for draft in drafts])]
    further = [replace(draft, payload=text) for draft, text in zip(drafts, cleaned, strict=True)]
    queries.insert_events(connection, new_id, last + 1, further)
    rebuilding.rebuild(connection, new_id)
