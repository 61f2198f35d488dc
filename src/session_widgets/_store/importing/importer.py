"""Imports files: raw records and derived rows, in batches across files, so that live writers go first."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from session_widgets._store import import_queries
from session_widgets._store.formats.contract import Format, Record
from session_widgets._store.importing.deriving import Derivation, issue_row
from session_widgets._store.importing.files import (
    LARGEST_DOCUMENT,
    Line,
    NotJson,
    files_below,
    lines,
    recognise,
    value_of,
)
from session_widgets._store.importing.report import FileReport, ImportIssue, ImportReport
from session_widgets._store.queries import Connection
from session_widgets._store.redaction import Redactor, redactor
from session_widgets._store.rows import Row
from session_widgets.errors import BadValue

if TYPE_CHECKING:
    from session_widgets._store.connection import StoreFile

PIECE = 4 * 2**20
"""Bytes of a file after which its rows may be written."""
BATCH = 8 * 2**20
"""Bytes that one transaction writes, of many files or of a part of one: a few tenths of a second."""
BATCH_SECONDS = 2.0
"""Seconds after which a batch is written, so that an interrupted import loses little."""

Secrets = Literal["keep", "redact"]
Progress = Callable[[int, int], object]
RawRow = tuple[int, int, int, "str | None", str]


class _Changed(Exception):
    """The lines that were imported before are not those of the file any more."""


@dataclass(slots=True)
class _File:
    """A file of an import; `base` is its row in the store as of the plan or the last write."""

    path: Path
    name: str
    format: Format
    report: FileReport
    size: int
    modified_ns: int
    base: Row | None
    sessions: dict[str, str]
    before: Row | None = None
    dropped: bool = False


@dataclass(slots=True)
class _Piece:
    """The new rows of a file since its last piece."""

    file: _File
    first: bool
    last: bool
    size: int
    state: Row
    sessions: dict[str, str]
    known: frozenset[str]
    derivation: Derivation
    raw: list[RawRow]
    not_text: list[tuple[int, bytes]]
    tables: dict[str, list[Row]]
    issues: list[tuple[int, str, str, str]]


@dataclass(slots=True)
class Importer:
    """One import.

    Args:
        store: the store's file.
        secrets: "keep", or "redact" what looks like a secret.
        progress: called with the numbers of processed and of all bytes.
    """

    store: StoreFile
    secrets: Secrets
    progress: Progress
    report: ImportReport = field(default_factory=ImportReport)
    _taken: set[str] = field(default_factory=set)
    _batch: list[_Piece] = field(default_factory=list)
    _since: float = 0.0
    _redactor: Redactor = field(default_factory=redactor)

    def run(self, path: Path) -> ImportReport:
        """Import a file, or every file below a directory."""
        paths = list(files_below(path))
        with self.store.looking() as connection:
            known = import_queries.files(connection)
            self._taken = import_queries.session_ids(connection)
        total = sum(_size(each) for each in paths)
        done = 0
        for each in paths:
            before = done
            for piece in self._pieces(each, known):
                done += piece.size
                self._add(piece)
                self.progress(min(done, total), total)
            done = max(done, before + _size(each))
        self._write()
        self.progress(total, total)
        return self.report

    def _pieces(self, path: Path, known: dict[str, Row]) -> Iterator[_Piece]:
        """Decide what a file needs, and yield its rows."""
        name = str(path).encode("utf-8", "backslashreplace").decode()
        base = known.get(name)
        report = FileReport(name, "skipped")
        self.report.files.append(report)
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
            with self.store.looking() as connection:
                sessions = import_queries.sessions_of(connection, base["file_id"])
        file = _File(path, name, found, report, status.st_size, status.st_mtime_ns, base, sessions, base)
        try:
            yield from self._read(file)
        except OSError as error:
            report.outcome, report.reason = "skipped", f"it cannot be read: {error.strerror}"

    def _read(self, file: _File) -> Iterator[_Piece]:
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
            except _Changed:
                yield from self._lines(file, "rewritten")

    def _lost_lines(self, file: _File) -> bool:
        """Whether the file is the beginning of what was imported from it."""
        assert file.base is not None
        after, left = 0, file.size
        with file.path.open("rb") as opened:
            while left > 0:
                with self.store.looking() as connection:
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

    def _lines(self, file: _File, outcome: Literal["new", "grown", "rewritten"]) -> Iterator[_Piece]:
        file.report.outcome, file.report.secrets = outcome, 0
        known = file.base["watermark"] if file.base is not None and outcome == "grown" else 0
        work = _Lines(file, known, self)
        with file.path.open("rb") as opened:
            yield from work.pieces(opened)

    def _document(self, file: _File) -> Iterator[_Piece]:
        file.report.outcome = "new" if file.base is None else "rewritten"
        if file.size > LARGEST_DOCUMENT:
            limit = LARGEST_DOCUMENT // 2**20
            file.report.outcome, file.report.reason = "skipped", f"a document above {limit} MB is not read"
            return
        yield from _Document(file, 0, self).pieces(file.path.read_bytes())

    def id_is_taken(self, session_id: str) -> bool:
        """Whether a session has this id; if not, it has it now."""
        if session_id in self._taken:
            return True
        self._taken.add(session_id)
        return False

    def clean(self, text: str) -> tuple[str, bool]:
        """Return a text, redacted if that was asked, and whether it seems to have a secret."""
        if not self._redactor.suspects(text):
            return text, False
        plain = self._redactor.plain(text)
        return plain if self.secrets == "redact" else text, plain != text

    def _issue(self, report: FileReport, line: int, code: str, severity: str, detail: str) -> None:
        self.report.issues.append(ImportIssue(report.path, line, code, severity, detail))

    def _add(self, piece: _Piece) -> None:
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
        with self.store.transaction() as connection:
            kept = [piece for piece in batch if _is_current(connection, piece)]
            for piece in kept:
                self._put(connection, piece)
            merged: dict[str, list[Row]] = {}
            for piece in kept:
                for table, new in piece.tables.items():
                    merged.setdefault(table, []).extend(new)
            for table, new in merged.items():
                import_queries.insert(connection, table, new)
            for piece in kept:
                for session_id, uids in piece.derivation.abandoned().items() if piece.last else ():
                    import_queries.abandon(connection, session_id, uids)
        for piece in kept:
            self._count(piece)

    def _put(self, connection: Connection, piece: _Piece) -> None:
        """Write a piece's records and the state of its file; its rows are added to `tables` of the piece."""
        file, state = piece.file, piece.state
        if file.base is None:
            state["file_id"] = import_queries.next_file_id(connection)
        else:
            state["file_id"] = file.base["file_id"]
        file_id: int = state["file_id"]
        if piece.first and file.base is not None:
            import_queries.forget_derived(connection, file.sessions.values())
            old = ("lineage", "import_issues") if file.report.outcome == "grown" else (
                "lineage", "import_issues", "raw_records")  # fmt: skip
            import_queries.forget_of_file(connection, file_id, old)
            import_queries.forget_records(connection, file_id, file.base["watermark"])
        import_queries.insert_raw(connection, file_id, piece.raw)
        for offset, data in piece.not_text:
            import_queries.put_bytes(connection, file_id, offset, data)
        modified = datetime.fromtimestamp(file.modified_ns / 1e9, UTC)
        sessions = piece.derivation.session_rows(file_id, modified)
        connection.execute(
            "delete from store.sessions where session_id in (select unnest(?))",
            [[row["session_id"] for row in sessions]],
        )
        import_queries.insert(connection, "sessions", sessions)
        import_queries.insert(connection, "import_issues", [issue_row(file_id, *issue) for issue in piece.issues])
        if piece.last:
            import_queries.insert(connection, "lineage", piece.derivation.lineage(file_id))
        import_queries.put_file(connection, state, piece.sessions)
        file.base = state

    def _count(self, piece: _Piece) -> None:
        report = piece.file.report
        report.records += len(piece.raw)
        report.sessions = tuple(piece.sessions.values())
        steps = piece.tables.get("steps", [])
        report.steps += len(steps)
        report.tool_calls += sum(row["kind"] == "tool_call" for row in steps)
        report.turns += len(piece.tables.get("turns", ()))
        report.llm_calls += len(piece.tables.get("llm_calls", ()))
        self.report.issues += [ImportIssue(report.path, *issue) for issue in piece.issues]


def _is_current(connection: Connection, piece: _Piece) -> bool:
    """Whether the store has the file as it had it when the piece was read: another import may have been faster."""
    file = piece.file
    stored = import_queries.file(connection, file.name)
    same = ("file_id", "watermark", "state", "sha256", "bytes")
    before = None if file.base is None else {name: file.base[name] for name in same}
    if file.dropped or (None if stored is None else {name: stored[name] for name in same}) != before:
        file.dropped = True
        file.report.outcome, file.report.reason = "skipped", "another process imported it at the same time"
        return False
    new = [session for session in piece.sessions.values() if session not in piece.known] if piece.first else []
    if import_queries.existing(connection, new):
        file.dropped = True
        file.report.outcome, file.report.reason = "skipped", "another session has its id since: import it again"
        return False
    return True


class _Reading:
    """The rows of a file under construction."""

    def __init__(self, file: _File, known: int, importer: Importer) -> None:
        self._file, self._known, self._importer = file, known, importer
        self._raw: list[RawRow] = []
        self._not_text: list[tuple[int, bytes]] = []
        self._issues: list[tuple[int, str, str, str]] = []
        self._hash = hashlib.sha256()
        self._watermark = 0
        self._records = self._malformed = self._bytes = self._new = 0
        self._first = True
        self._sessions = frozenset(file.sessions.values())
        self._derivation = Derivation(file.format, file.name, file.sessions, importer.id_is_taken)

    def _keep(self, line: int, offset: int, data: bytes) -> bytes:
        """Keep a record as it is, or redacted; return what the format may read."""
        self._records += 1
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("utf-8", "replace")
            if self._importer.secrets == "keep":
                self._not_text.append((offset, data))
        kept, secret = self._importer.clean(text)
        self._file.report.secrets += secret
        if offset >= self._known:
            self._raw.append((line, offset, len(data), None, kept))
            self._bytes += len(data)
            self._new += 1
        return data if kept is text else kept.encode()

    def _name(self, value: object) -> None:
        """Add the kind of the record that was kept last."""
        if self._raw:
            line, offset, length, _, text = self._raw[-1]
            self._raw[-1] = (line, offset, length, self._file.format.kind(value), text)

    def _refuse(self, line: int, code: str, detail: str) -> None:
        self._malformed += 1
        self._issues.append((line, code, "warning", detail))

    def _take(self, state: Literal["importing", "complete"]) -> _Piece:
        file, derivation = self._file, self._derivation
        row = {
            "file_id": None,
            "path": file.name,
            "format": file.format.name,
            "state": state,
            "bytes": file.size,
            "modified_ns": file.modified_ns,
            "watermark": self._watermark,
            "sha256": self._hash.hexdigest(),
            "records": self._records,
            "malformed": self._malformed,
            "imported_at": datetime.now(UTC),
        }
        file.report.malformed = self._malformed
        for problem in derivation.problems:
            self._issues.append((problem.line, problem.code, problem.severity, problem.detail))
        derivation.problems.clear()
        piece = _Piece(
            file, self._first, state == "complete", self._bytes, row, dict(derivation.ids), self._sessions, derivation,
            self._raw, self._not_text, derivation.rows(), self._issues,
        )  # fmt: skip
        self._raw, self._not_text, self._issues, self._bytes, self._first = [], [], [], 0, False
        return piece


class _Lines(_Reading):
    """A file of lines."""

    def pieces(self, opened: BinaryIO) -> Iterator[_Piece]:
        """Yield the rows in pieces.

        Raises:
            _Changed: the lines before the watermark are not those that were imported.
        """
        for _ in self._derivation.run(self._records_of(opened)):
            if self._bytes >= PIECE and self._watermark >= self._known:
                yield self._take("importing")
        if self._watermark < self._known:
            raise _Changed
        if self._file.report.outcome == "rewritten" and self._file.before is not None:
            self._issues.append((0, "rewritten", "info", "its earlier lines had changed: they were replaced"))
        if self._file.report.outcome == "grown" and not self._new:
            self._file.report.outcome = "unchanged"
        yield self._take("complete")

    def _records_of(self, opened: BinaryIO) -> Iterator[Record]:
        for line in lines(opened, self._file.size):
            if line.offset == self._known and self._known:
                self._check()
            data = self._keep(line.number, line.offset, line.data)
            record = self._decode(line, data)
            if line.ended:
                self._hash.update(line.data + b"\n")
                self._watermark = line.offset + len(line.data) + 1
            if record is not None:
                yield record
        if self._known and self._watermark == self._known:
            self._check()

    def _check(self) -> None:
        base = self._file.base
        if base is None or self._hash.hexdigest() != base["sha256"]:
            raise _Changed

    def _decode(self, line: Line, data: bytes) -> Record | None:
        if not data.strip():
            return None
        if line.part:
            self._refuse(line.number, "too_long", "the line is longer than 64 MB: it is kept, and not interpreted")
            return None
        try:
            value = value_of(data)
        except NotJson as error:
            if line.ended:
                self._refuse(line.number, "malformed", str(error))
            else:
                self._issues.append((line.number, "unfinished_line", "info", "the last line is not complete"))
            return None
        self._name(value)
        return Record(line.number, value)


class _Document(_Reading):
    """A file that is one document or archive."""

    def pieces(self, data: bytes) -> Iterator[_Piece]:
        """Yield the rows."""
        kept = self._keep(1, 0, data)
        self._hash.update(data)
        self._watermark = len(data)
        if self._file.base is not None and self._file.base["sha256"] == self._hash.hexdigest():
            self._file.report.outcome = "unchanged"
            return
        for _ in self._derivation.run(self._records_of(kept)):
            pass
        yield self._take("complete")

    def _records_of(self, data: bytes) -> Iterator[Record]:
        archive = self._file.format.layout == "archive"
        try:
            for value in self._file.format.records(data) if archive else [value_of(data)]:
                yield Record(1, value)
        except (NotJson, ValueError) as error:
            self._refuse(1, "malformed", str(error))


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
