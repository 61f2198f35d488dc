"""Writes pieces of files into the store: many files at once, which is several times faster than file by file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from session_widgets._store import import_queries
from session_widgets._store.columns import Columns, columns_of, joined
from session_widgets._store.importing.deriving import issue_row
from session_widgets._store.importing.pieces import Piece
from session_widgets._store.importing.report import FileReport
from session_widgets._store.queries import Connection
from session_widgets._store.rows import Row


@dataclass(slots=True)
class Target:
    """A file of an import as the store has it.

    Attributes:
        base: its row as of the plan or the last write.
        sessions: ids of the store by the program's own ids, as of the plan.
        dropped: why its pieces are not written.
    """

    report: FileReport
    base: Row | None
    sessions: Mapping[str, str]
    dropped: str | None = None


def current(connection: Connection, batch: Sequence[Piece], targets: Mapping[str, Target]) -> list[Piece]:
    """Return the pieces whose file is in the store as it was when they were read: another import may be faster."""
    same = ("file_id", "watermark", "state", "sha256", "bytes")
    first = {piece.name: piece for piece in reversed(batch)}
    stored = {row["path"]: row for row in import_queries.files(connection, list(first))}
    new = [session for piece in batch if piece.first for session in piece.sessions.values()]
    existing = import_queries.existing(connection, new)
    for name, piece in first.items():
        target, now = targets[name], stored.get(name)
        before = target.base
        if (now and {field: now[field] for field in same}) != (before and {field: before[field] for field in same}):
            target.dropped = "another process imported it at the same time"
        elif piece.first and not existing.isdisjoint(set(piece.sessions.values()) - piece.known):
            target.dropped = "another session has its id since: import it again"
    for name in first:
        target = targets[name]
        if target.dropped:
            target.report.outcome, target.report.reason = "skipped", target.dropped
    return [piece for piece in batch if not targets[piece.name].dropped]


def number(connection: Connection, pieces: Sequence[Piece], targets: Mapping[str, Target]) -> None:
    """Give the files of pieces their numbers, and delete what the store has of them as far as it is replaced."""
    unused = import_queries.next_file_id(connection)
    for piece in pieces:
        target = targets[piece.name]
        if target.base is None:
            piece.state["file_id"], unused = unused, unused + 1
        else:
            piece.state["file_id"] = target.base["file_id"]
            _forget(connection, piece, target)
        piece.state["imported_at"] = datetime.now(UTC)
        target.base = piece.state


def _forget(connection: Connection, piece: Piece, target: Target) -> None:
    file_id = piece.state["file_id"]
    if piece.first and target.base is not None:
        import_queries.forget_derived(connection, target.sessions.values())
        import_queries.forget_of_file(connection, file_id, ("lineage", "import_issues"))
        offset = target.base["watermark"] if piece.outcome in {"grown", "unchanged"} else 0
        import_queries.forget_records(connection, file_id, offset)
    import_queries.forget_of_file(connection, file_id, ("source_files", "source_sessions"))


def put(connection: Connection, pieces: Sequence[Piece]) -> None:
    """Insert the rows of numbered pieces."""
    tables: dict[str, list[Columns]] = {}
    sessions: dict[str, Row] = {}
    states: dict[int, Row] = {}
    names: dict[tuple[int, str], Row] = {}
    lineage: list[Row] = []
    issues: list[Row] = []
    abandoned: list[tuple[str, frozenset[str]]] = []
    for piece in pieces:
        file_id: int = piece.state["file_id"]
        states[file_id] = piece.state
        for native, session in piece.sessions.items():
            names[file_id, session] = {"file_id": file_id, "session_id": session, "native_id": native}
        origin = f"{import_queries.ORIGIN}{file_id}"
        sessions |= {row["session_id"]: {**row, "origin": origin} for row in piece.session_rows}
        for table, new in piece.tables.items():
            tables.setdefault(table, []).append(new)
        if piece.raw.count:
            of_file = {"file_id": np.full(piece.raw.count, file_id), **piece.raw.arrays}
            tables.setdefault("raw_records", []).append(Columns(piece.raw.count, of_file))
        issues += [issue_row(file_id, *issue) for issue in piece.issues]
        lineage += [{**row, "file_id": file_id} for row in piece.lineage]
        abandoned += piece.abandoned.items()
    import_queries.forget_sessions(connection, sessions)
    written: dict[str, dict[Any, Row]] = {"source_files": states, "source_sessions": names, "sessions": sessions}
    few = {**{table: list(rows.values()) for table, rows in written.items()}, "lineage": lineage}
    for table, rows in {**few, "import_issues": issues}.items():
        tables.setdefault(table, []).append(columns_of(rows))
    for table, parts in tables.items():
        import_queries.insert_columns(connection, table, joined(parts))
    for piece in pieces:
        for offset, data in piece.not_text:
            import_queries.put_bytes(connection, piece.state["file_id"], offset, data)
    for session_id, uids in abandoned:
        import_queries.abandon(connection, session_id, uids)
