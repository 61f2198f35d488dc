"""The SQL of imports: source files, raw records, and the rows derived from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from session_widgets._store.columns import Columns, columns_of
from session_widgets._store.queries import DERIVED, Connection, rows
from session_widgets._store.rows import Row

OF_FILES = ("raw_records", "import_issues", "lineage", "source_sessions", "source_files")
"""Tables with a `file_id`."""
ORIGIN = "import/"
"""Beginning of `sessions.origin` of an import."""
_CREATE = """
    create table if not exists store.source_files (
        file_id bigint not null, path varchar not null, format varchar not null, state varchar not null,
        bytes bigint not null, modified_ns bigint not null, watermark bigint not null, sha256 varchar not null,
        records bigint not null, malformed bigint not null, imported_at timestamptz not null);
    create table if not exists store.source_sessions (
        file_id bigint not null, session_id varchar not null, native_id varchar not null);
    create table if not exists store.raw_records (
        file_id bigint not null, line bigint not null, byte_offset bigint not null, byte_length bigint not null,
        kind varchar, body varchar not null using compression zstd, not_text blob);
    create table if not exists store.import_issues (
        file_id bigint not null, line bigint not null, code varchar not null, severity varchar not null,
        detail varchar);
    create table if not exists store.lineage (
        file_id bigint not null, session_id varchar not null, parent_native_id varchar not null,
        kind varchar not null)"""


def create(connection: Connection) -> None:
    """Create the tables of imports."""
    connection.execute(_CREATE)


def files(connection: Connection, paths: Sequence[str] | None = None) -> list[Row]:
    """Return the imported files, all or those of these paths."""
    query = "select * from store.source_files"
    if paths is None:
        return rows(connection, query)
    return rows(connection, f"{query} where path in (select unnest(?))", [list(paths)])


def file_ids(connection: Connection, session_id: str | None = None) -> list[int]:
    """Return the files of a session, or all files."""
    query = "select distinct file_id from store.source_sessions where session_id = ? order by file_id"
    if session_id is None:
        return [row[0] for row in connection.execute("select file_id from store.source_files order by all").fetchall()]
    return [row[0] for row in connection.execute(query, [session_id]).fetchall()]


def file_by_id(connection: Connection, file_id: int) -> Row | None:
    """Return an imported file by its number."""
    found = rows(connection, "select * from store.source_files where file_id = ?", [file_id])
    return found[0] if found else None


def next_file_id(connection: Connection) -> int:
    """Return an unused number of a file."""
    number: int = connection.execute("select coalesce(max(file_id), 0) + 1 from store.source_files").fetchall()[0][0]
    return number


def sessions_of(connection: Connection, file_id: int) -> dict[str, str]:
    """Return the sessions of a file by native id."""
    query = "select native_id, session_id from store.source_sessions where file_id = ?"
    return dict(connection.execute(query, [file_id]).fetchall())


def session_ids(connection: Connection) -> set[str]:
    """Return the ids of all sessions, live and imported."""
    return {row[0] for row in connection.execute("select session_id from store.sessions").fetchall()}


def existing(connection: Connection, session_ids: Iterable[str]) -> set[str]:
    """Return which of these ids are those of sessions."""
    query = "select session_id from store.sessions where session_id in (select unnest(?))"
    wanted = list(session_ids)
    return {row[0] for row in connection.execute(query, [wanted]).fetchall()} if wanted else set()


def is_import(connection: Connection, session_id: str) -> str | None:
    """Return the file that a session was imported from; None if it is no import."""
    query = """select f.path from store.source_sessions s join store.source_files f using (file_id)
               where s.session_id = ? limit 1"""
    found = connection.execute(query, [session_id]).fetchall()
    return str(found[0][0]) if found else None


def raw(connection: Connection, file_id: int, after: int, limit: int) -> list[tuple[int, int, str, bytes | None]]:
    """Return records of a file from a byte offset on: line, offset, text, and bytes if the record is not text."""
    return connection.execute(
        """select line, byte_offset, body, not_text from store.raw_records where file_id = ? and byte_offset >= ?
           order by byte_offset limit ?""",
        [file_id, after, limit],
    ).fetchall()


def raw_with_lengths(
    connection: Connection, file_id: int, after: int, limit: int
) -> list[tuple[int, int, int, str, bytes | None]]:
    """Return the same with the length in bytes after the offset: line, offset, length, text, bytes."""
    return connection.execute(
        """select line, byte_offset, byte_length, body, not_text from store.raw_records
           where file_id = ? and byte_offset >= ? order by byte_offset limit ?""",
        [file_id, after, limit],
    ).fetchall()


def forget_derived(connection: Connection, session_ids: Iterable[str]) -> None:
    """Delete the derived rows of sessions."""
    wanted = list(session_ids)
    for table in DERIVED if wanted else ():
        connection.execute(f"delete from store.{table} where session_id in (select unnest(?))", [wanted])  # noqa: S608


def forget_of_file(connection: Connection, file_id: int, tables: Iterable[str] = OF_FILES) -> None:
    """Delete rows of a file."""
    for table in tables:
        connection.execute(f"delete from store.{table} where file_id = ?", [file_id])  # noqa: S608


def forget_records(connection: Connection, file_id: int, offset: int) -> None:
    """Delete the records of a file from a byte offset on."""
    connection.execute("delete from store.raw_records where file_id = ? and byte_offset >= ?", [file_id, offset])


def forget_session(connection: Connection, session_id: str) -> None:
    """Delete what files hold of a session: with its last session a file is forgotten, and can be imported again."""
    ids = file_ids(connection, session_id)
    connection.execute("delete from store.source_sessions where session_id = ?", [session_id])
    connection.execute("delete from store.lineage where session_id = ?", [session_id])
    for file_id in ids:
        if not sessions_of(connection, file_id):
            forget_of_file(connection, file_id)


def forget_sessions(connection: Connection, session_ids: Iterable[str]) -> None:
    """Delete the rows of sessions in `sessions`."""
    connection.execute("delete from store.sessions where session_id in (select unnest(?))", [list(session_ids)])


def abandon(connection: Connection, session_id: str, uids: Iterable[str]) -> None:
    """Mark the steps of abandoned branches."""
    connection.execute(
        "update store.steps set active = false where session_id = ? and uid in (select unnest(?))",
        [session_id, list(uids)],
    )


def insert(connection: Connection, table: str, new: Sequence[Row]) -> None:
    """Insert rows with the same columns."""
    insert_columns(connection, table, columns_of(new))


def insert_columns(connection: Connection, table: str, new: Columns) -> None:
    """Insert rows that are given as columns."""
    if not new.count:
        return
    batch = new.arrays
    assert batch  # DuckDB finds the columns by the name of this variable
    names = ", ".join(batch)
    connection.execute(f"insert into store.{table} ({names}) select {names} from batch")  # noqa: S608


def put_bytes(connection: Connection, file_id: int, offset: int, data: bytes) -> None:
    """Store the bytes of a record that is no UTF-8."""
    connection.execute(
        "update store.raw_records set not_text = ? where file_id = ? and byte_offset = ?", [data, file_id, offset]
    )
