"""Imports files: raw records and derived rows, in batches across files, so that live writers go first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from session_widgets._store import import_queries
from session_widgets._store.importing import writing
from session_widgets._store.importing.files import files_below
from session_widgets._store.importing.pieces import Piece
from session_widgets._store.importing.reader_process import messages
from session_widgets._store.importing.reading import Finished, Plan, Wanted
from session_widgets._store.importing.report import FileReport, ImportIssue, ImportReport
from session_widgets._store.importing.writing import Target
from session_widgets._store.rows import Row
from session_widgets.errors import BadValue, StoreBusy
from session_widgets.ticker import Ticker

if TYPE_CHECKING:
    from session_widgets._store.connection import StoreFile

BATCH = 6 * 2**20
"""Bytes that one transaction writes, of many files or of a part of one: a fifth of a second."""
BATCH_SECONDS = 2.0
"""Seconds after which a batch is written, so that an interrupted import loses little."""

Secrets = Literal["keep", "redact"]
Progress = Callable[[int, int], object]


class Importer:
    """One import.

    Args:
        store: the store's file.
        secrets: "keep", or "redact" what looks like a secret.
        progress: called with the numbers of processed and of all bytes.
    """

    def __init__(self, store: StoreFile, secrets: Secrets, progress: Progress) -> None:
        self._store = store
        self._redact = secrets == "redact"
        self._progress = progress
        self._report = ImportReport()
        self._targets: dict[str, Target] = {}
        self._batch: list[Piece] = []
        self._since = 0.0

    def run(self, path: Path) -> ImportReport:
        """Import a file, or every file below a directory."""
        plan, total = self._plan(path)
        done = total - sum(each.size for each in plan.files)
        begun = 0
        with self._store.long_job():
            for message in messages(plan):
                if isinstance(message, Piece):
                    self._add(message)
                    begun += message.size
                    self._progress(min(done + begun, total), total)
                else:
                    done, begun = done + message.report.bytes, 0
                    self._finish(message)
            self._write()
        self._progress(total, total)
        return self._report

    def _plan(self, path: Path) -> tuple[Plan, int]:
        """Return what to read, and the bytes of all files."""
        total, wanted = 0, []
        with self._store.looking() as connection:
            known = {row["path"]: row for row in import_queries.files(connection)}
            taken = import_queries.session_ids(connection)
        for each in files_below(path):
            name = str(each).encode("utf-8", "backslashreplace").decode()
            base = known.get(name)
            report = FileReport(name, "skipped")
            self._report.files.append(report)
            try:
                status = each.stat()
            except OSError as error:
                report.reason = f"it cannot be read: {error.strerror}"
                continue
            report.bytes = status.st_size
            total += status.st_size
            if base is not None and base["state"] == "complete":
                report.format = base["format"]
                if (base["bytes"], base["modified_ns"]) == (status.st_size, status.st_mtime_ns):
                    report.outcome = "unchanged"
                    continue
            wanted.append(Wanted(each, name, status.st_size, status.st_mtime_ns, base))
            self._targets[name] = Target(report, base, {})
        return Plan([self._with_store(each) for each in wanted], frozenset(taken), self._redact), total

    def _with_store(self, wanted: Wanted) -> Wanted:
        """Return a file with what the store has of it."""
        if wanted.base is None:
            return wanted
        with self._store.looking() as connection:
            sessions = import_queries.sessions_of(connection, wanted.base["file_id"])
        self._targets[wanted.name].sessions = dict(sessions)
        lost = wanted.size < wanted.base["watermark"] and self._lost_lines(wanted.path, wanted.size, wanted.base)
        return replace(wanted, sessions=sessions, lost_lines=lost)

    def _finish(self, read: Finished) -> None:
        """Take over what was found out about a file."""
        self._report.issues += read.issues
        report, found = self._targets[read.report.path].report, read.report
        if self._targets[found.path].dropped is None:
            report.outcome, report.reason = found.outcome, found.reason
        report.format, report.malformed, report.secrets = found.format, found.malformed, found.secrets

    def _lost_lines(self, path: Path, size: int, base: Row) -> bool:
        """Whether the file is the beginning of what was imported from it."""
        after, left = 0, size
        try:
            opened = path.open("rb")
        except OSError:
            return False
        with opened:
            while left > 0:
                with self._store.looking() as connection:
                    page = import_queries.raw(connection, base["file_id"], after, 2_000)
                for _, offset, body, not_text in page:
                    data = not_text if not_text is not None else body.encode()
                    opened.seek(offset)
                    part = opened.read(min(len(data), size - offset)) if offset < size else b""
                    if not data.startswith(part):
                        return False
                    after, left = offset + 1, size - offset - len(data) - 1
                if not page:
                    return False
        return True

    def _add(self, piece: Piece) -> None:
        if not self._batch:
            self._since = time.monotonic()
        self._batch.append(piece)
        if sum(each.size for each in self._batch) >= BATCH or time.monotonic() - self._since > BATCH_SECONDS:
            self._write()

    def _write(self) -> None:
        """Write the batch in one transaction."""
        batch, self._batch = self._batch, []
        if not batch:
            return
        while True:
            try:
                kept = self._put(batch)
                break
            except StoreBusy as busy:
                if busy.pid != os.getpid():  # this process is still writing the batch before into the file
                    raise
        for piece in kept:
            self._count(piece)

    def _put(self, batch: list[Piece]) -> list[Piece]:
        with self._store.transaction(bulk=True) as connection:
            kept = writing.current(connection, batch, self._targets)
            writing.number(connection, kept, self._targets)
            writing.put(connection, kept)
        return kept

    def _count(self, piece: Piece) -> None:
        report = self._targets[piece.name].report
        count = {table: new.count for table, new in piece.tables.items()}
        report.records += piece.raw.count
        report.sessions = tuple(piece.sessions.values())
        report.steps += count.get("steps", 0)
        report.tool_calls += piece.tool_calls
        report.turns += count.get("turns", 0)
        report.llm_calls += count.get("llm_calls", 0)
        self._report.issues += [ImportIssue(report.path, *issue) for issue in piece.issues]


def import_path(store: StoreFile, path: str | Path, secrets: Secrets, progress: Progress | None) -> ImportReport:
    """Import a file, or every file below a directory.

    Raises:
        BadValue: there is no such path, or `secrets` is unknown.
    """
    if secrets not in {"keep", "redact"}:
        raise BadValue(f"secrets must be 'keep' or 'redact'; got {secrets!r}.")
    found = Path(os.path.realpath(Path(path).expanduser()))
    if not found.exists():
        raise BadValue(f"there is no file or directory {found}. Name the directory of a program's session files.")
    ticker = Ticker()
    try:
        return Importer(store, secrets, progress or _shown_by(ticker)).run(found)
    finally:
        ticker.show(None)


def _shown_by(ticker: Ticker) -> Progress:
    """Return a progress that a person sees, if the import takes longer than a second."""
    next_at = time.monotonic() + 1

    def show(done: int, total: int) -> None:
        nonlocal next_at
        if total and time.monotonic() >= next_at:
            next_at = time.monotonic() + 0.25
            ticker.show(f"Importing: {done / total:.0%} of {total / 1e6:,.0f} MB")

    return show
