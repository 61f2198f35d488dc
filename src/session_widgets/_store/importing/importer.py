"""Imports files: raw records and derived rows, in batches across files, so that live writers go first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from session_widgets._store import import_queries
from session_widgets._store.importing import writing
from session_widgets._store.importing.files import LARGEST_DOCUMENT, files_below, recognise
from session_widgets._store.importing.pieces import ChangedLines, DocumentReader, LinesReader, Piece, SourceFile
from session_widgets._store.importing.report import FileReport, ImportIssue, ImportReport
from session_widgets._store.importing.secrets import SecretFinder
from session_widgets._store.redaction import redactor
from session_widgets._store.rows import Row
from session_widgets.errors import BadValue, StoreBusy

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
        self._finder = SecretFinder(redactor(), replace=secrets == "redact")
        self._progress = progress
        self._report = ImportReport()
        self._taken: set[str] = set()
        self._batch: list[Piece] = []
        self._since = 0.0

    def run(self, path: Path) -> ImportReport:
        """Import a file, or every file below a directory."""
        paths = list(files_below(path))
        with self._store.looking() as connection:
            known = {row["path"]: row for row in import_queries.files(connection)}
            self._taken = import_queries.session_ids(connection)
        total = sum(_size(each) for each in paths)
        done = 0
        for each in paths:
            before = done
            for piece in self._pieces(each, known):
                done += piece.size
                self._add(piece)
                self._progress(min(done, total), total)
            done = max(done, before + _size(each))
        self._write()
        self._progress(total, total)
        return self._report

    def _pieces(self, path: Path, known: dict[str, Row]) -> Iterator[Piece]:
        """Decide what a file needs, and yield its rows."""
        name = str(path).encode("utf-8", "backslashreplace").decode()
        base = known.get(name)
        report = FileReport(name, "skipped")
        self._report.files.append(report)
        try:
            status = path.stat()
        except OSError as error:
            report.reason = f"it cannot be read: {error.strerror}"
            return
        report.bytes = status.st_size
        if base is not None and base["state"] == "complete":
            report.format = base["format"]
            if (base["bytes"], base["modified_ns"]) == (status.st_size, status.st_mtime_ns):
                report.outcome = "unchanged"
                return
        found, reason = recognise(path)
        if found is None:
            if base is not None:
                self._issue(report, 0, "replaced", "warning", f"{reason}; the store keeps what it had")
            report.reason = reason
            return
        report.format = found.name
        sessions: dict[str, str] = {}
        if base is not None:
            with self._store.looking() as connection:
                sessions = import_queries.sessions_of(connection, base["file_id"])
        file = SourceFile(path, name, found, report, status.st_size, status.st_mtime_ns, base, sessions)
        try:
            yield from self._read(file)
        except OSError as error:
            report.outcome, report.reason = "skipped", f"it cannot be read: {error.strerror}"

    def _read(self, file: SourceFile) -> Iterator[Piece]:
        if file.format.layout != "lines":
            yield from self._document(file)
        elif file.base is None or file.base["format"] != file.format.name:
            yield from self._lines(file, "new" if file.base is None else "rewritten")
        elif file.size < file.base["watermark"]:
            if self._lost_lines(file):
                file.report.outcome = "truncated"
                self._issue(file.report, 0, "truncated", "warning", "the file lost lines, which the store keeps")
            else:
                yield from self._lines(file, "rewritten")
        else:
            try:
                yield from self._lines(file, "grown")
            except ChangedLines:
                yield from self._lines(file, "rewritten")

    def _lost_lines(self, file: SourceFile) -> bool:
        """Whether the file is the beginning of what was imported from it."""
        assert file.base is not None
        after, left = 0, file.size
        with file.path.open("rb") as opened:
            while left > 0:
                with self._store.looking() as connection:
                    page = import_queries.raw(connection, file.base["file_id"], after, 2_000)
                for _, offset, body, not_text in page:
                    data = not_text if not_text is not None else body.encode()
                    opened.seek(offset)
                    part = opened.read(min(len(data), file.size - offset)) if offset < file.size else b""
                    if not data.startswith(part):
                        return False
                    after, left = offset + 1, file.size - offset - len(data) - 1
                if not page:
                    return False
        return True

    def _lines(self, file: SourceFile, outcome: Literal["new", "grown", "rewritten"]) -> Iterator[Piece]:
        file.report.outcome, file.report.secrets = outcome, 0
        known = file.base["watermark"] if file.base is not None and outcome == "grown" else 0
        work = LinesReader(file, known, self._finder, self._id_is_taken)
        with file.path.open("rb") as opened:
            yield from work.pieces(opened)

    def _document(self, file: SourceFile) -> Iterator[Piece]:
        file.report.outcome = "new" if file.base is None else "rewritten"
        if file.size > LARGEST_DOCUMENT:
            limit = LARGEST_DOCUMENT // 2**20
            file.report.outcome, file.report.reason = "skipped", f"a document above {limit} MB is not read"
            return
        yield from DocumentReader(file, 0, self._finder, self._id_is_taken).pieces(file.path.read_bytes())

    def _id_is_taken(self, session_id: str) -> bool:
        """Whether a session has this id; if not, it has it now."""
        if session_id in self._taken:
            return True
        self._taken.add(session_id)
        return False

    def _issue(self, report: FileReport, line: int, code: str, severity: str, detail: str) -> None:
        self._report.issues.append(ImportIssue(report.path, line, code, severity, detail))

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
            kept = writing.current(connection, batch)
            number = import_queries.next_file_id(connection)
            for piece in kept:
                if piece.file.base is None:
                    piece.state["file_id"], number = number, number + 1
                else:
                    piece.state["file_id"] = piece.file.base["file_id"]
                    writing.forget(connection, piece)
                piece.file.base = piece.state
            writing.put(connection, kept)
        return kept

    def _count(self, piece: Piece) -> None:
        report = piece.file.report
        report.records += len(piece.raw)
        report.sessions = tuple(piece.sessions.values())
        steps = piece.tables.get("steps", [])
        report.steps += len(steps)
        report.tool_calls += sum(row["kind"] == "tool_call" for row in steps)
        report.turns += len(piece.tables.get("turns", ()))
        report.llm_calls += len(piece.tables.get("llm_calls", ()))
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
    return Importer(store, secrets, progress or (lambda _, __: None)).run(found)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
