"""Group commit: the only writer of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from session_widgets._store import import_queries, queries
from session_widgets._store.connection import StoreFile
from session_widgets._store.derive import Derivation
from session_widgets._store.payload import clean, decode, encode
from session_widgets._store.queries import Connection
from session_widgets._store.rebuilding import put_session
from session_widgets._store.rows import Row, state_of
from session_widgets.errors import SessionBusy, SessionConflict, SessionGone
from session_widgets.model import check_session_id
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.notes import TurnStarted
from session_widgets.transcript.records import Draft, Event, Json, TurnRecord
from session_widgets.transcript.state import FoldState

SESSIONS_IN_MEMORY = 64


@dataclass(slots=True)
class _Live:
    """Cached state of a session as of `last_seq`.

    Attributes:
        row: its row in `sessions`, if it has one.
        attachment: of the file; the cache is valid while the file stays attached.
    """

    origin: str
    last_seq: int
    last_turn: int
    sources: dict[str, int]
    derivation: Derivation
    row: Row | None = None
    attachment: int = 0


class Ledger:
    """Assigns `seq` to events, and updates the derived tables in the same transaction."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        self._live: dict[str, _Live] = {}

    def append(self, session_id: str, drafts: Sequence[Draft]) -> list[Event]:
        """Commit drafts in one transaction; return the events that are new.

        Raises:
            BadValue: a payload is no JSON object.
            StoreError: nothing of the batch is stored.
        """
        check_session_id(session_id)
        cleaned = _clean(drafts)
        if not cleaned:
            return []
        first, _ = cleaned[0]
        with self._transaction(session_id) as connection:
            live = self._catch_up(connection, session_id, f"{first.source}/{first.source_seq}")
            return self._commit(connection, session_id, live, cleaned)

    def start_turn(
        self,
        session_id: str,
        prompt: Sequence[Json],
        *,
        idempotency_key: str | None,
        owner: Json,
        source: str,
        source_seq: int,
        ts: datetime,
        more: Callable[[int, int], Sequence[Draft]],
    ) -> tuple[TurnRecord, list[Event]] | None:
        """Begin the next turn and return it with its events; None if a turn with this key exists."""
        check_session_id(session_id)
        note = TurnStarted(prompt=prompt, idempotency_key=idempotency_key, owner=owner)
        with self._transaction(session_id) as connection:
            if idempotency_key is not None and queries.has_turn(connection, session_id, idempotency_key):
                return None
            live = self._catch_up(connection, session_id, f"{source}/{source_seq}")
            if live.derivation.runs(live.last_turn) and (row := queries.first_running_turn(connection, session_id)):
                raise SessionBusy(_who_runs(row))
            if live.last_seq == 0:
                raise SessionGone(f"session {session_id!r} was deleted. Open a new one with open_session().")
            turn = live.last_turn + 1
            draft = Draft("note", note.kind, encode(note.encode()), source, source_seq, turn, ts)
            drafts = [draft, *more(turn, live.last_seq)]
            events = self._commit(connection, session_id, live, _clean(drafts))
            return self._live[session_id].derivation.fold.turn(turn), events

    def forget(self) -> None:
        """Drop the cached state; the next append reads it again."""
        self._live.clear()

    def _transaction(self, session_id: str) -> AbstractContextManager[Connection]:
        """Open a transaction; if it fails, drop the state that it changed in memory."""
        return self._file.transaction(undo=lambda: self._live.pop(session_id, None))

    def _commit(
        self, connection: Connection, session_id: str, live: _Live, cleaned: Sequence[tuple[Draft, Json]]
    ) -> list[Event]:
        fresh = _unknown(connection, session_id, live, cleaned)
        if not fresh:
            return []
        live = self._reach_back(connection, session_id, live, fresh)
        first = live.last_seq + 1
        queries.insert_events(connection, session_id, first, [draft for draft, _ in fresh])
        events = [
            Event(session_id, seq, draft.turn, draft.ts, draft.direction, draft.method, draft.kind, payload)
            for seq, (draft, payload) in enumerate(fresh, first)
        ]
        for event in events:
            _take(live, event)
        for table, written in live.derivation.written().items():
            queries.write(connection, table, written)
        row = live.derivation.session(live.origin, live.last_seq, live.last_turn)
        put_session(connection, row, live.row)
        live.row = row
        live.derivation.forget_before(live.last_turn)
        return events

    def _catch_up(self, connection: Connection, session_id: str, origin: str) -> _Live:
        """Return the state of a session as of its last event, a new one with this origin if it has none."""
        live = self._live.pop(session_id, None)
        if live is None or live.attachment != self._file.attachment:
            live = self._read_on(connection, session_id, origin, live)
            live.attachment = self._file.attachment
        self._live[session_id] = live
        if len(self._live) > SESSIONS_IN_MEMORY:
            del self._live[next(iter(self._live))]
        return live

    @staticmethod
    def _read_on(connection: Connection, session_id: str, origin: str, live: _Live | None) -> _Live:
        """Return the state of a session after reading the events that other processes appended."""
        place = queries.place(connection, session_id)
        if place is not None and place[0].startswith(import_queries.ORIGIN):
            path = import_queries.is_import(connection, session_id)
            raise SessionConflict(
                f"session {session_id!r} was imported from {path}: it can be read, and not be continued here. "
                "Open a session with another id."
            )
        if place is None:
            live = _Live(origin, 0, 0, {}, Derivation(Fold(session_id)))
        elif live is None or live.origin != place[0] or live.last_seq > place[1]:
            live = load(connection, session_id)
        elif live.last_seq < place[1]:
            live.row = queries.session(connection, session_id)
            live.sources |= queries.sources(connection, session_id, live.last_seq)
            for batch in queries.every_event(connection, session_id, live.last_seq):
                for event in batch:
                    _take(live, event)
                live.derivation.written()
        return live

    def _reach_back(
        self, connection: Connection, session_id: str, live: _Live, fresh: Sequence[tuple[Draft, Json]]
    ) -> _Live:
        """Return the session loaded from the oldest turn of the drafts, if memory does not have that turn."""
        turns = {draft.turn for draft, _ in fresh if draft.turn is not None and draft.turn <= live.last_turn}
        if missing := [turn for turn in turns if not live.derivation.knows(turn)]:
            live = load(connection, session_id, since=min(missing))
            live.attachment = self._file.attachment
            self._live[session_id] = live
        return live


def load(connection: Connection, session_id: str, since: int | None = None) -> _Live:
    """Read a session's state from its oldest running turn, or from turn `since` if that is older."""
    row = queries.session(connection, session_id)
    assert row is not None
    context, after, first_turn = state_of(row["context"]), row["last_seq"], row["turns"] + 1
    if begin := queries.first_running_turn(connection, session_id):
        context, after, first_turn = state_of(begin["context"]), begin["first_seq"] - 1, begin["turn"]
    if since is not None and since < first_turn:
        context, after, first_turn = FoldState(), 0, since
        if older := queries.turn(connection, session_id, since):
            context, after = state_of(older["context"]), older["first_seq"] - 1
    derivation = Derivation(Fold(session_id, context), first_turn)
    for batch in queries.every_event(connection, session_id, after):
        for event in batch:
            derivation.feed(event)
        derivation.written()
    sources = queries.sources(connection, session_id)
    return _Live(row["origin"], row["last_seq"], row["turns"], sources, derivation, row)


def _take(live: _Live, event: Event) -> None:
    live.derivation.feed(event)
    live.last_seq = event.seq
    if event.turn is not None:
        live.last_turn = max(live.last_turn, event.turn)


def _unknown(
    connection: Connection, session_id: str, live: _Live, cleaned: Sequence[tuple[Draft, Json]]
) -> list[tuple[Draft, Json]]:
    """Return the drafts that the store does not have, each once."""
    late = [(d.source, d.source_seq) for d, _ in cleaned if d.source_seq <= live.sources.get(d.source, 0)]
    seen = queries.held(connection, session_id, late) if late else set()
    fresh = []
    for draft, payload in cleaned:
        name = (draft.source, draft.source_seq)
        if name not in seen:
            seen.add(name)
            fresh.append((draft, payload))
            live.sources[draft.source] = max(live.sources.get(draft.source, 0), draft.source_seq)
    return fresh


def _clean(drafts: Sequence[Draft]) -> list[tuple[Draft, Json]]:
    cleaned = zip(drafts, clean([draft.payload for draft in drafts]), strict=True)
    return [
        (draft if text == draft.payload else replace(draft, payload=text), payload)
        for draft, (text, payload) in cleaned
    ]


def _who_runs(row: dict[str, Any]) -> str:
    owner = decode(row["owner"]) or {}
    who = f"process {owner.get('process') or 'unknown'} (pid {owner.get('pid')}) on {owner.get('host')}"
    return (
        f"turn {row['turn']} of session {row['session_id']} is running, owned by {who}, since "
        f"{row['started_at']:%Y-%m-%d %H:%M:%S %Z}. Wait for it, cancel() it, or steer() it."
    )
