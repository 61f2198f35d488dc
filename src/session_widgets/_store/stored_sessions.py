"""What sessions and views read of a store: events, notes, records, turns and steps, and places to go on from."""

from __future__ import annotations

from typing import TypeVar

import duckdb

from session_widgets._store import append, queries
from session_widgets._store.kept_files import kept
from session_widgets._store.listing import SessionList
from session_widgets._store.rows import Row, read_session, read_step, read_turn, state_of
from session_widgets._store.stored_data import StoredData
from session_widgets.errors import BadValue
from session_widgets.model import check_session_id
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.notes import AgentStopped, FilesKept, Note, SandboxStopped
from session_widgets.transcript.records import Event, FileChange, Json, SessionRecord, Step, TurnRecord
from session_widgets.transcript.state import FoldState

N = TypeVar("N", bound=Note)


class StoredSessions(StoredData):
    """A store's sessions; base of `Store`."""

    def events(self, session_id: str, after: int = 0, limit: int | None = None, turn: int | None = None) -> list[Event]:
        """Return the events of a session with `seq` above `after`, at most `limit` of them, oldest first."""
        check_session_id(session_id)
        if limit is not None and limit < 0:
            raise BadValue(f"limit must be None or a number of events from 0; got {limit}.")
        with self._file.looking() as connection:
            return queries.events(connection, session_id, after, limit, turn)

    def last_seq(self, session_id: str) -> int:
        """Return the `seq` of the newest event of a session, 0 if it has none."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            found = queries.place(connection, session_id)
        return found[1] if found else 0

    def last_note(self, session_id: str, kind: type[N]) -> N | None:
        """Return the newest note of a kind, None if there is none."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            payload = queries.last_note(connection, session_id, kind.kind)
        return None if payload is None else kind.decode(payload)

    def kept_files(self, session_id: str) -> list[FilesKept]:
        """Return the snapshots of a session's files, oldest first, without the deleted ones.

        A snapshot is missing if another process had begun the next turn before its note was stored: the files may be
        those of that turn.
        """
        check_session_id(session_id)
        with self._file.looking() as connection:
            return kept(queries.kept_files(connection, session_id))

    def sent_answer(self, session_id: str, request_id: str) -> Json | None:
        """Return the answer to a request of the agent that was stored before it was sent; None without one."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            return queries.sent_answer(connection, session_id, request_id)

    def agent_end(self, session_id: str) -> AgentStopped | SandboxStopped | None:
        """Return the note of the latest agent's end, None if it was not recorded."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            return queries.agent_end(connection, session_id)

    def sent_prompt(self, session_id: str, turn: int) -> Json | None:
        """Return the `session/prompt` request of a turn as it was sent last, None if it was not sent."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            return queries.sent_prompt(connection, session_id, turn)

    def setting_events(self, session_id: str) -> list[Event]:
        """Return the latest agent's events about its settings, for `AgentOptions`."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            return queries.setting_events(connection, session_id)

    def last_source_seq(self, session_id: str, source: str) -> int:
        """Return the session's highest `source_seq` of a source, 0 if none."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            return queries.sources(connection, session_id).get(source, 0)

    def session(self, session_id: str) -> SessionRecord | None:
        """Return a session; None if it was never opened, or deleted."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            row = queries.session(connection, session_id)
        return read_session(row) if row else None

    def fold_state(self, session_id: str) -> FoldState:
        """Return the state of a fold that continues after the last event of a session."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            row = queries.session(connection, session_id)
        return state_of(row["context"]) if row else FoldState()

    def turn_begin(self, session_id: str, turn: int) -> tuple[FoldState, int]:
        """Return the state of a fold that repeats a turn, and the `seq` before the turn's first event.

        Raises:
            KeyError: the store has no such turn.
        """
        check_session_id(session_id)
        with self._file.looking() as connection:
            row = queries.turn(connection, session_id, turn)
        if row is None:
            raise KeyError(turn)
        return state_of(row["context"]), row["first_seq"] - 1

    def turns(self, session_id: str) -> list[TurnRecord]:
        """Return the turns of a session; a running turn up to its committed events."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            rows = queries.turns(connection, session_id)
            changes = queries.file_changes(connection, session_id)
            running = self._running(connection, session_id, rows)
        files: dict[int, list[FileChange]] = {}
        for row in changes:
            files.setdefault(row["turn"], []).append(FileChange(row["path"], row["change"], row["size"]))
        ended = {row["turn"]: read_turn(row, tuple(files.get(row["turn"], ()))) for row in rows}
        if running is not None:
            ended |= {turn: running.turn(turn) for turn in running.turns}
        return [ended[turn] for turn in sorted(ended)]

    def steps(self, session_id: str, turn: int | None = None) -> list[Step]:
        """Return the steps of a session, or of one turn; of a running turn with their text so far."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            rows = queries.steps(connection, session_id, turn)
            running = self._running(connection, session_id, queries.turns(connection, session_id))
        live = [s for s in running.steps if turn in {None, s.turn}] if running else []
        alive = set(running.turns) if running else set()
        return [read_step(row) for row in rows if row["turn"] not in alive] + live

    def sessions(self) -> SessionList:
        """Return all sessions, newest first; a notebook draws them as a table."""
        with self._file.looking() as connection:
            rows = queries.sessions(connection)
        return SessionList(record for row in rows if (record := read_session(row)))

    @staticmethod
    def _running(connection: duckdb.DuckDBPyConnection, session_id: str, turns: list[Row]) -> Fold | None:
        if any(row["status"] == "running" for row in turns):
            return append.load(connection, session_id).derivation.fold
        return None
