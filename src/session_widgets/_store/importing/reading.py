"""Reads the files of an import; it needs nothing of the store but what the plan says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from session_widgets._store.importing.files import LARGEST_DOCUMENT, recognise
from session_widgets._store.importing.pieces import ChangedLines, DocumentReader, LinesReader, Piece, SourceFile
from session_widgets._store.importing.report import FileReport, ImportIssue
from session_widgets._store.importing.secrets import SecretFinder
from session_widgets._store.redaction import redactor
from session_widgets._store.rows import Row


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is not in the store, or has changed.

    Attributes:
        name: of the file as text, whatever its bytes.
        base: its row in the store.
        sessions: ids of the store by the program's own ids.
        lost_lines: whether it is the beginning of what was imported from it.
    """

    path: Path
    name: str
    size: int
    modified_ns: int
    base: Row | None = None
    sessions: dict[str, str] = field(default_factory=dict)
    lost_lines: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read.

    Attributes:
        taken: ids of the sessions in the store.
        redact: replace what looks like a secret.
    """

    files: Sequence[Wanted]
    taken: frozenset[str]
    redact: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A file was read as far as it can be: its report, without the numbers of what is written."""

    report: FileReport
    issues: list[ImportIssue]


def read(plan: Plan) -> Iterator[Piece | Finished]:
    """Read the files of a plan, in order: yield the pieces of each, then its report."""
    finder = SecretFinder(redactor(), replace=plan.redact)
    taken = set(plan.taken)
    for wanted in plan.files:
        one = _File(wanted, finder, taken)
        yield from one.pieces()
        yield Finished(one.report, one.issues)


class _File:
    def __init__(self, wanted: Wanted, finder: SecretFinder, taken: set[str]) -> None:
        self._wanted, self._finder, self._taken = wanted, finder, taken
        known = wanted.base["format"] if wanted.base and wanted.base["state"] == "complete" else None
        self.report = FileReport(wanted.name, "skipped", format=known, bytes=wanted.size)
        self.issues: list[ImportIssue] = []

    def pieces(self) -> Iterator[Piece]:
        """Decide what the file needs, and yield its rows."""
        wanted, report = self._wanted, self.report
        found, reason = recognise(wanted.path)
        if found is None:
            if wanted.base is not None:
                self._warn("replaced", f"{reason}; the store keeps what it had")
            report.reason = reason
            return
        report.format = found.name
        file = SourceFile(
            wanted.path, wanted.name, found, report, wanted.size, wanted.modified_ns, wanted.base, wanted.sessions
        )
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
            if self._wanted.lost_lines:
                file.report.outcome = "truncated"
                self._warn("truncated", "the file lost lines, which the store keeps")
            else:
                yield from self._lines(file, "rewritten")
        else:
            try:
                yield from self._lines(file, "grown")
            except ChangedLines:
                yield from self._lines(file, "rewritten")

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

    def _warn(self, code: str, detail: str) -> None:
        self.issues.append(ImportIssue(self.report.path, 0, code, "warning", detail))
