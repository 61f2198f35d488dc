"""Derives the rows of a file's sessions from its records: at an import, and again at a rebuild."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath

from session_widgets._store import import_queries
from session_widgets._store.formats import format_named
from session_widgets._store.formats.contract import Entry, Format, Problem, Record, SessionFacts, Source
from session_widgets._store.importing.builder import SessionBuilder
from session_widgets._store.importing.files import NotJson, value_of
from session_widgets._store.queries import DERIVED, Connection
from session_widgets._store.rows import Row

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_ID = 100
AT_ONCE = 2_000
"""Records read at once for a rebuild."""


def session_id_of(native_id: str, path: str, taken: Callable[[str], bool]) -> str:
    """Return an id of the store for a program's own id: the same if it can be one and is free.

    Args:
        native_id: the program's own id: "django__x.traj".
        path: of the file, which tells two sessions of the same id apart.
        taken: whether another session has an id.
    """
    wanted = _NOT_IN_ID.sub("-", native_id).strip("-")[:_LONGEST_ID] or "session"
    if not taken(wanted):
        return wanted
    mark = hashlib.sha256(f"{path}\0{native_id}".encode("utf-8", "replace")).hexdigest()
    return next(name for length in range(8, 65) if not taken(name := f"{wanted}-{mark[:length]}"))


def source_of(path: str) -> Source:
    """Return what a format may know of a file's place."""
    place = PurePath(path)
    return Source(place.name.split(".", 1)[0] or place.name, place.parts[:-1])


@dataclass(slots=True)
class Derivation:
    """The rows of the sessions in one file, built from its entries.

    Args:
        format: of the file.
        path: of the file.
        file_id: of the file, which distinguishes its sessions from others of the same name.
        ids: ids of the store by native id; grows with new sessions.
        taken: whether another session has an id.
    """

    format: Format
    path: str
    ids: dict[str, str]
    taken: Callable[[str], bool]
    problems: list[Problem] = field(default_factory=list)
    builders: dict[str, SessionBuilder] = field(default_factory=dict)
    lines: int = 0
    _current: SessionBuilder | None = None

    def run(self, records: Iterable[Record]) -> Iterator[None]:
        """Read all records; yields after each entry."""
        rest = self._counted(records)
        try:
            for entry in self.format.read(rest, source_of(self.path)):
                self.feed(entry)
                yield
        except (RecursionError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            reason = f"the format {self.format.name} could not read on: {type(error).__name__}: {error}"
            self.problems.append(Problem(line=0, code="format_failed", detail=reason[:500]))
        for _ in rest:  # also records that the format did not want are kept
            yield
        for builder in self.builders.values():
            builder.finish()
        yield

    def _counted(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self.lines = record.line
            yield record

    def feed(self, entry: Entry) -> None:
        """Apply the next entry."""
        if isinstance(entry, Problem):
            self.problems.append(entry)
            return
        if isinstance(entry, SessionFacts):
            self._current = self._builder(entry.native_id)
        if self._current is not None:
            self._current.feed(entry)

    def _builder(self, native_id: str) -> SessionBuilder:
        builder = self.builders.get(native_id)
        if builder is None:
            if native_id not in self.ids:
                self.ids[native_id] = session_id_of(native_id, self.path, self.taken)
            builder = SessionBuilder(self.ids[native_id], native_id, self.format.name)
            self.builders[native_id] = builder
        return builder

    def rows(self) -> dict[str, list[Row]]:
        """Return the finished rows since the last call, by table."""
        rows: dict[str, list[Row]] = {}
        for builder in self.builders.values():
            for table, new in builder.taken().items():
                rows.setdefault(table, []).extend(new)
        return rows

    def session_rows(self, modified: datetime) -> list[Row]:
        """Return the rows of the sessions as far as they are known, without `origin`."""
        return [each.session_row(modified, self.lines) for each in self.builders.values()]

    def lineage(self) -> list[Row]:
        """Return the parents of the sessions, without the file's number."""
        return [
            {"session_id": each.session_id, "parent_native_id": each.parent[0], "kind": each.parent[1]}
            for each in self.builders.values()
            if each.parent is not None
        ]

    def abandoned(self) -> Mapping[str, frozenset[str]]:
        """Return the uids on abandoned branches by session."""
        return {each.session_id: each.abandoned for each in self.builders.values() if each.abandoned}


def issue_row(file_id: int, line: int, code: str, severity: str, detail: str) -> Row:
    """Return a row of `import_issues`."""
    return {"file_id": file_id, "line": line, "code": code, "severity": severity, "detail": detail}


Transaction = Callable[[], AbstractContextManager[Connection]]


def rebuild_file(transaction: Transaction, file_id: int) -> None:
    """Derive the rows of a file's sessions again from its records; only reading and writing hold the store.

    A file whose format this release does not have keeps its rows. So does a file that was imported again meanwhile.

    Args:
        transaction: begins one on the store's file.
        file_id: of the file.
    """
    with transaction() as connection:
        row = import_queries.file_by_id(connection, file_id)
        ids = import_queries.sessions_of(connection, file_id)
    kind = format_named(row["format"]) if row else None
    if row is None or kind is None:
        return
    derivation = Derivation(kind, row["path"], dict(ids), lambda _: False)
    for _ in derivation.run(_records(transaction, file_id, kind)):
        pass
    with transaction() as connection:
        if import_queries.file_by_id(connection, file_id) == row:
            _replace(connection, file_id, row, derivation)


def _records(transaction: Transaction, file_id: int, kind: Format) -> Iterator[Record]:
    after = 0
    while True:
        with transaction() as connection:
            page = import_queries.raw(connection, file_id, after, AT_ONCE)
        if not page:
            return
        after = page[-1][1] + 1
        for line, _, body, not_text in page:
            data = body.encode("utf-8", "surrogatepass") if not_text is None else not_text
            try:
                for value in kind.records(data) if kind.layout == "archive" else [value_of(data)]:
                    yield Record(line, value)
            except (NotJson, ValueError):
                continue


def _replace(connection: Connection, file_id: int, row: Row, derivation: Derivation) -> None:
    kept = frozenset(import_queries.sessions_of(connection, file_id).values())  # a deleted session stays deleted
    modified = datetime.fromtimestamp(row["modified_ns"] / 1e9, UTC)
    import_queries.forget_derived(connection, kept)
    import_queries.forget_of_file(connection, file_id, ("lineage",))
    origin = {"origin": f"{import_queries.ORIGIN}{file_id}"}
    sessions = [{**new, **origin} for new in derivation.session_rows(modified)]
    tables = {"sessions": sessions, **derivation.rows()}
    for table in DERIVED:
        import_queries.insert(connection, table, [new for new in tables.get(table, ()) if new["session_id"] in kept])
    lineage = [{**new, "file_id": file_id} for new in derivation.lineage() if new["session_id"] in kept]
    import_queries.insert(connection, "lineage", lineage)
    for session_id, uids in derivation.abandoned().items():
        import_queries.abandon(connection, session_id, uids)
