"""Writes pieces of files into the store: many files at once, which is several times faster than file by file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from session_widgets._store import import_queries
from session_widgets._store.importing.deriving import issue_row
from session_widgets._store.importing.pieces import Piece
from session_widgets._store.queries import Connection
from session_widgets._store.rows import Row


def current(connection: Connection, batch: Sequence[Piece]) -> list[Piece]:
    """Return the pieces whose file is in the store as it was when they were read: another import may be faster."""
    same = ("file_id", "watermark", "state", "sha256", "bytes")
    first = {piece.file.name: piece for piece in reversed(batch)}
    stored = {row["path"]: row for row in import_queries.files(connection, list(first))}
    new = [session for piece in batch if piece.first for session in piece.sessions.values()]
    existing = import_queries.existing(connection, new)
    for name, piece in first.items():
        before, now = piece.file.base, stored.get(name)
        if (now and {field: now[field] for field in same}) != (before and {field: before[field] for field in same}):
            piece.file.dropped = "another process imported it at the same time"
        elif piece.first and not existing.isdisjoint(set(piece.sessions.values()) - piece.known):
            piece.file.dropped = "another session has its id since: import it again"
    for piece in batch:
        if piece.file.dropped:
            piece.file.report.outcome, piece.file.report.reason = "skipped", piece.file.dropped
    return [piece for piece in batch if not piece.file.dropped]


def forget(connection: Connection, piece: Piece) -> None:
    """Delete what the store has of a file and its sessions, as far as the piece replaces it."""
    file, file_id = piece.file, piece.state["file_id"]
    if piece.first and file.base is not None:
        import_queries.forget_derived(connection, file.sessions.values())
        import_queries.forget_of_file(connection, file_id, ("lineage", "import_issues"))
        offset = file.base["watermark"] if file.report.outcome in {"grown", "unchanged"} else 0
        import_queries.forget_records(connection, file_id, offset)
    import_queries.forget_of_file(connection, file_id, ("source_files", "source_sessions"))


def put(connection: Connection, pieces: Sequence[Piece]) -> None:
    """Insert the rows of pieces: of many files at once, which is several times faster than file by file."""
    tables: dict[str, list[Row]] = {}
    sessions: dict[str, Row] = {}
    states: dict[int, Row] = {}
    names: dict[tuple[int, str], Row] = {}
    raw: list[tuple[int, int, int, int, str | None, str]] = []
    abandoned: list[tuple[str, frozenset[str]]] = []
    for piece in pieces:
        file_id: int = piece.state["file_id"]
        states[file_id] = piece.state
        for native, session in piece.sessions.items():
            names[file_id, session] = {"file_id": file_id, "session_id": session, "native_id": native}
        modified = datetime.fromtimestamp(piece.file.modified_ns / 1e9, UTC)
        sessions |= {row["session_id"]: row for row in piece.derivation.session_rows(file_id, modified)}
        for table, new in piece.tables.items():
            tables.setdefault(table, []).extend(new)
        raw += [(file_id, *row) for row in piece.raw]
        tables.setdefault("import_issues", []).extend(issue_row(file_id, *issue) for issue in piece.issues)
        if piece.last:
            tables.setdefault("lineage", []).extend(piece.derivation.lineage(file_id))
            abandoned += piece.derivation.abandoned().items()
    import_queries.forget_sessions(connection, sessions)
    import_queries.insert_raw(connection, raw)
    written: dict[str, dict[Any, Row]] = {"source_files": states, "source_sessions": names, "sessions": sessions}
    for table, rows in written.items():
        import_queries.insert(connection, table, list(rows.values()))
    for table, new in tables.items():
        import_queries.insert(connection, table, new)
    for piece in pieces:
        for offset, data in piece.not_text:
            import_queries.put_bytes(connection, piece.state["file_id"], offset, data)
    for session_id, uids in abandoned:
        import_queries.abandon(connection, session_id, uids)
