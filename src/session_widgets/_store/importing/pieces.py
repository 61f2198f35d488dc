"""Reads one file in pieces: its records as they are, and the rows derived from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from session_widgets._store.columns import Columns, column_of, columns_of
from session_widgets._store.formats.contract import Format, Record
from session_widgets._store.importing.deriving import Derivation
from session_widgets._store.importing.files import Line, NotJson, lines, value_of
from session_widgets._store.importing.report import FileReport, Outcome
from session_widgets._store.importing.secrets import SecretFinder
from session_widgets._store.rows import Row

PIECE = 4 * 2**20
"""Bytes of a file after which its rows may be written."""
TOGETHER = 2**20
"""Bytes of lines that are looked through for secrets at once."""

RAW = ("line", "byte_offset", "byte_length", "kind", "body")
RawRow = tuple[int, int, int, "str | None", str]
"""The columns `RAW`."""


class ChangedLines(Exception):
    """The lines that were imported before are not those of the file any more."""


@dataclass(slots=True)
class SourceFile:
    """A file to be read; `base` is its row in the store as of the plan."""

    path: Path
    name: str
    format: Format
    report: FileReport
    size: int
    modified_ns: int
    base: Row | None
    sessions: dict[str, str]


@dataclass(slots=True)
class Piece:
    """The new rows of a file since its last piece.

    Attributes:
        name: of the file.
        outcome: of the file so far.
        first: whether it is the first of the file; `last` likewise.
        size: bytes of its lines.
        state: the row of the file, without its number and without the time of the import.
        sessions: ids of the store by the program's own ids; `known` are those that the store had before.
        session_rows: the sessions as far as they are known, without `origin`.
        lineage: their parents, without the file's number.
        abandoned: uids on abandoned branches by session.
        tool_calls: number of its steps that are tool calls.
    """

    name: str
    outcome: Outcome
    first: bool
    last: bool
    size: int
    state: Row
    sessions: dict[str, str]
    known: frozenset[str]
    session_rows: list[Row]
    lineage: list[Row]
    abandoned: Mapping[str, frozenset[str]]
    raw: Columns
    not_text: list[tuple[int, bytes]]
    tables: dict[str, Columns]
    tool_calls: int
    issues: list[tuple[int, str, str, str]]


class _Reader:
    """The rows of a file under construction.

    Args:
        file: to be read.
        known: bytes at its beginning whose records the store has.
        finder: of secrets.
        taken: whether a session has an id.
    """

    def __init__(self, file: SourceFile, known: int, finder: SecretFinder, taken: Callable[[str], bool]) -> None:
        self._file, self._known, self._finder = file, known, finder
        self._raw: list[RawRow] = []
        self._not_text: list[tuple[int, bytes]] = []
        self._issues: list[tuple[int, str, str, str]] = []
        self._hash = hashlib.sha256()
        self._watermark = 0
        self._signs: tuple[bytes, ...] = ()
        self._records = self._malformed = self._bytes = self._new = 0
        self._first = True
        self._sessions = frozenset(file.sessions.values())
        self._derivation = Derivation(file.format, file.name, file.sessions, taken)

    def _keep(self, line: int, offset: int, data: bytes) -> bytes:
        """Keep a record as it is, or redacted; return what the format may read."""
        self._records += 1
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("utf-8", "replace")
            if not self._finder.replaces:
                self._not_text.append((offset, data))
        kept, secret = self._finder.clean(data, text, self._signs)
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

    def _take(self, state: Literal["importing", "complete"]) -> Piece:
        file, derivation = self._file, self._derivation
        row = {
            "path": file.name,
            "format": file.format.name,
            "state": state,
            "bytes": file.size,
            "modified_ns": file.modified_ns,
            "watermark": self._watermark,
            "sha256": self._hash.hexdigest(),
            "records": self._records,
            "malformed": self._malformed,
        }
        last = state == "complete"
        file.report.malformed = self._malformed
        for problem in derivation.problems:
            self._issues.append((problem.line, problem.code, problem.severity, problem.detail))
        derivation.problems.clear()
        rows = derivation.rows()
        piece = Piece(
            name=file.name,
            outcome=file.report.outcome,
            first=self._first,
            last=last,
            size=self._bytes,
            state=row,
            sessions=dict(derivation.ids),
            known=self._sessions,
            session_rows=derivation.session_rows(datetime.fromtimestamp(file.modified_ns / 1e9, UTC)),
            lineage=derivation.lineage() if last else [],
            abandoned=derivation.abandoned() if last else {},
            raw=_raw_columns(self._raw),
            not_text=self._not_text,
            tables={table: columns_of(new) for table, new in rows.items() if new},
            tool_calls=sum(row["kind"] == "tool_call" for row in rows.get("steps", ())),
            issues=self._issues,
        )
        self._raw, self._not_text, self._issues, self._bytes, self._first = [], [], [], 0, False
        return piece


class LinesReader(_Reader):
    """A file of lines."""

    def pieces(self, opened: BinaryIO) -> Iterator[Piece]:
        """Yield the rows in pieces.

        Raises:
            ChangedLines: the lines before the watermark are not those that were imported.
        """
        for _ in self._derivation.run(self._records_of(opened)):
            if self._bytes >= PIECE and self._watermark >= self._known:
                yield self._take("importing")
        if self._watermark < self._known:
            raise ChangedLines
        if self._file.report.outcome == "rewritten":
            self._issues.append((0, "rewritten", "info", "its earlier lines had changed: they were replaced"))
        if self._file.report.outcome == "grown" and not self._new:
            self._file.report.outcome = "unchanged"
        yield self._take("complete")

    def _records_of(self, opened: BinaryIO) -> Iterator[Record]:
        unchecked = self._known > 0
        for line in self._looked_through(lines(opened, self._file.size)):
            if unchecked and line.offset >= self._known:
                self._check(line.offset)
                unchecked = False
            data = self._keep(line.number, line.offset, line.data)
            record = self._decode(line, data)
            if line.ended:
                self._hash.update(line.data + b"\n")
                self._watermark = line.offset + len(line.data) + 1
            if record is not None:
                yield record
        if unchecked and self._watermark >= self._known:
            self._check(self._watermark)

    def _looked_through(self, found: Iterator[Line]) -> Iterator[Line]:
        size, some = 0, []
        for line in found:
            some.append(line)
            size += len(line.data)
            if size >= TOGETHER:
                yield from self._some(some)
                size, some = 0, []
        yield from self._some(some)

    def _some(self, some: Sequence[Line]) -> Iterator[Line]:
        self._signs = self._finder.signs_in(b"\n".join(line.data for line in some))
        yield from some

    def _check(self, offset: int) -> None:
        """Compare the lines before an offset with those that were imported, which end at the watermark."""
        base = self._file.base
        if base is None or offset != self._known or self._hash.hexdigest() != base["sha256"]:
            raise ChangedLines

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


class DocumentReader(_Reader):
    """A file that is one document or archive."""

    def pieces(self, data: bytes) -> Iterator[Piece]:
        """Yield the rows."""
        self._signs = self._finder.signs_in(data)
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


def _raw_columns(new: Sequence[RawRow]) -> Columns:
    arrays = dict(zip(RAW, map(column_of, zip(*new, strict=True)), strict=False))
    return Columns(len(new), arrays)
