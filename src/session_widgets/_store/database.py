"""The store: one object per file and process."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from session_widgets._store import (
    annotation_queries,
    append,
    compacting,
    forking,
    import_queries,
    queries,
    rebuilding,
)
from session_widgets._store.checking.check import check
from session_widgets._store.checking.report import CheckReport
from session_widgets._store.exporting.exporter import Exporter, ExportReport
from session_widgets._store.exporting.redacting import SecretHits
from session_widgets._store.importing.importer import Secrets, import_path
from session_widgets._store.importing.report import ImportReport
from session_widgets._store.location import home_of, locate
from session_widgets._store.source import StoredSession
from session_widgets._store.stored_sessions import StoredSessions
from session_widgets.model import check_session_id
from session_widgets.transcript.records import Draft, Event, Json, TurnRecord

Progress = Callable[[int, int], object]

_open: dict[tuple[int, Path], Store] = {}
_opening = threading.Lock()


class Store(StoredSessions):
    """Transcripts in one DuckDB file; made by `store()`.

    Thread-safe. The file is attached for each commit and each query and then detached, so kernels, the command
    line and backups share it while turns stream.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._ledger = append.Ledger(self._file)
        self._exporter = Exporter(self, self._file)
        self._closed = False

    @property
    def home(self) -> Path:
        """Directory of the files of this store's sessions: workspaces and sandboxes."""
        return home_of(self.path)

    @property
    def closed(self) -> bool:
        """Whether `close()` was called; `store()` opens the file again, as a new object."""
        return self._closed

    def __repr__(self) -> str:
        return f"<Store {str(self.path)!r}>"

    def append(self, session_id: str, drafts: Sequence[Draft]) -> list[Event]:
        """Commit drafts in one transaction, with the derived tables, and return them as events.

        Args:
            session_id: the session of the drafts.
            drafts: in order; a draft whose `(source, source_seq)` the session already has is skipped.

        Returns:
            The new events, in order, with `seq` following the last one without a gap.

        Raises:
            BadValue: the id or a payload is malformed.
            StoreBusy: another process held the file for 10 s.
            StoreError: the commit failed, for example because the disk is full; nothing was stored.
        """
        return self._ledger.append(session_id, drafts)

    def start_turn(
        self,
        session_id: str,
        prompt: Sequence[Json],
        *,
        idempotency_key: str | None = None,
        owner: Json,
        source: str,
        source_seq: int,
        ts: datetime,
        more: Callable[[int, int], Sequence[Draft]] = lambda _turn, _seq: (),
    ) -> tuple[TurnRecord, list[Event]]:
        """Begin the next turn of a session: the `turn_started` note, and the row that blocks other turns.

        Args:
            session_id: the session.
            prompt: ACP content blocks, the user's own words.
            idempotency_key: a turn that was started with the same key is returned instead of a second one.
            owner: who runs the turn: `pid`, `host`, `process`, `started`.
            source: of the note, as in `Draft`.
            source_seq: of the note, as in `Draft`.
            ts: when the call was made.
            more: called in the transaction with the turn's number and the `seq` of the session's latest event; returns
                what is stored in the same commit.

        Returns:
            The turn, and the events; no event if the turn existed.

        Raises:
            SessionBusy: another turn is running; the message has its number, owner and start.
            SessionGone: the store has no event of this session.
        """
        started = self._ledger.start_turn(
            session_id,
            prompt,
            idempotency_key=idempotency_key,
            owner=owner,
            source=source,
            source_seq=source_seq,
            ts=ts,
            more=more,
        )
        if started is not None:
            return started
        return next(turn for turn in self.turns(session_id) if turn.idempotency_key == idempotency_key), []

    def source(self, session_id: str) -> StoredSession:
        """Return a session as a source of its events; raise `SessionGone` if it has none."""
        return StoredSession(self, check_session_id(session_id))

    def fork_session(self, session_id: str, turn: int, new_id: str, drafts: Sequence[Draft]) -> None:
        """Create a session with the events of another one up to the end of a turn, in one transaction.

        Args:
            session_id: the other one.
            turn: its last turn in the new session; it has ended.
            new_id: of the new session.
            drafts: further events of the new session.

        Raises:
            SessionConflict: the new session exists.
            SessionGone: the other session, or its turn, does not exist.
        """
        check_session_id(new_id)
        with self._file.transaction() as connection:
            forking.fork(connection, check_session_id(session_id), turn, new_id, drafts)
            self._ledger.forget()

    def delete_session(self, session_id: str) -> None:
        """Delete all rows of a session; the text stays in free blocks until `compact()`."""
        check_session_id(session_id)
        with self._file.transaction() as connection:
            queries.delete_session(connection, session_id, ("events", *queries.DERIVED))
            annotation_queries.forget_session(connection, session_id)
            import_queries.forget_session(connection, session_id)
            self._ledger.forget()

    def import_(self, path: str | Path, *, secrets: Secrets = "keep", progress: Progress | None = None) -> ImportReport:
        """Import the sessions of other programs from their files; formats are recognised by content.

        A file that was imported before is read again only if it changed: new lines are added, a rewritten file
        replaces its rows. Other processes use the store meanwhile. An interrupted import leaves complete batches, and
        the next one continues.

        Args:
            path: a file, or a directory of any depth.
            secrets: "keep" lines as they are (they are on this machine already), or "redact" what looks like a secret.
            progress: called with the numbers of processed and of all bytes. Default: a line below the cell, or in the
                terminal, once it takes longer than a second.

        Returns:
            Counts, one row a file (`.df()`), and `.issues`. A file that cannot be imported is a row with its reason.

        Raises:
            BadValue: there is no such path.
            StoreBusy: another process held the store for 10 s; what was written stays.
            StoreError: the store could not be written; batches written before stay.

        Example:
            >>> store().import_("~/.claude/projects").counts  # doctest: +SKIP
        """
        return import_path(self._file, path, secrets, progress)

    def import_path(self, session_id: str) -> str | None:
        """Return the file that a session was imported from; None for a session of ours."""
        check_session_id(session_id)
        with self._file.looking() as connection:
            return import_queries.is_import(connection, session_id)

    def export(self, session_id: str, format: str, path: str | Path, *, redact: bool = True) -> ExportReport:
        """Write a session, live or imported, to a file of another program's format.

        Args:
            session_id: of the session.
            format: "atif", "inspect-eval", "claude-code", "codex", "otel", "acp", "html", or "parquet" (`path` is a
                folder). The format of an import writes the file that it was imported from.
            path: of the new file; an older one is replaced.
            redact: replace what looks like a secret. With False, the file of an import is the same byte for byte, if it
                was imported with `secrets="keep"`.

        Returns:
            Size, what was replaced (`.hits`), and what the format could not hold (`.left_out`).

        Raises:
            BadValue: there is no such format, or an archive has a secret that cannot be replaced in it.
            SessionGone: the store has no such session.

        Example:
            >>> store().export("parser", "atif", "parser.json")  # doctest: +SKIP
        """
        return self._exporter.export(check_session_id(session_id), format, Path(path).expanduser(), redact=redact)

    def export_preview(self, session_id: str, format: str = "html") -> SecretHits:
        """Return what looks like a secret in an export, and would be replaced; nothing is written.

        Returns:
            Each hit with its place, shape, first characters and length, never whole; `.df()`.

        Raises:
            BadValue: there is no such format.
            SessionGone: the store has no such session.

        Example:
            >>> store().export_preview("parser")  # doctest: +SKIP
        """
        return self._exporter.preview(check_session_id(session_id), format)

    def to_html(self, session_id: str, path: str | Path, *, redact: bool = True) -> ExportReport:
        """Write a session as one HTML file that needs no network and has no script; see `export`.

        Example:
            >>> store().to_html("parser", "parser.html")  # doctest: +SKIP
        """
        return self.export(session_id, "html", path, redact=redact)

    def rebuild(self, session_id: str | None = None, *, progress: Progress | None = None) -> None:
        """Compute the derived tables again from the events, session by session, while others use the store.

        All rows of a session change in one transaction. The next call continues an interrupted rebuild of all
        sessions.

        Args:
            session_id: one session; None for all.
            progress: called with the numbers of processed and of all events, about once a second.
        """
        if session_id is not None:
            check_session_id(session_id)
        rebuilding.rebuild_in_pieces(self._file.transaction, session_id, progress or _quietly, self._ledger.forget)

    def check(self, *, progress: Progress | None = None) -> CheckReport:
        """Verify the whole store on a copy, beside other users of it; nothing is changed.

        It reads every row, compares the numbers of the events, the lines of imported files with their hashes, and all
        derived rows with those of a rebuild, and looks for rows that refer to something that is not there.

        Args:
            progress: called with the numbers of compared and of all events and lines.

        Returns:
            `.ok`; `.checks`, what was verified; `.findings`, what is wrong, where, and what to do; `.df()`.

        Raises:
            StoreBusy: another process held the file for 10 s.
            StoreError: there is no room for a copy.

        Example:
            >>> store().check()  # doctest: +SKIP
        """
        return check(self._file, progress or _quietly)

    def compact(self, *, progress: Progress | None = None) -> None:
        """Rewrite the file without deleted data, which stays readable in it until then.

        Other processes wait meanwhile, about a second per 50 MB; running turns continue afterwards. It needs as much
        free space as the rows take, beside the store. If it is killed, the old file or the new one remains, complete.

        Args:
            progress: called with the numbers of copied and of all rows.

        Raises:
            StoreBusy: another process held the file for 10 s.
            StoreError: it could not be written, for example because the disk is full; the store was not changed.
        """
        compacting.compact(self._file, progress or _quietly)

    def close(self) -> None:
        """Detach the file and close the store. `store()` opens it again, as a new object."""
        with _opening:
            _open.pop((os.getpid(), self.path), None)
            if not self._closed:
                self._closed = True
                self._file.close()


def _quietly(_: int, __: int) -> None:
    pass


def open_store(path: str | Path | None = None) -> Store:
    """Return the one store of this process for a file."""
    real = locate(path)
    with _opening:
        return _open.setdefault((os.getpid(), real), Store(real))


@atexit.register
def _close_all() -> None:
    for (pid, _), store in list(_open.items()):
        if pid == os.getpid():
            store.close()
