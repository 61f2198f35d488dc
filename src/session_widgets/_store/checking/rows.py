"""Checks by SQL: the file itself, its events, its imported lines, and what refers to something else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from session_widgets._store.checking.report import CheckReport, Finding
from session_widgets._store.formats import format_named
from session_widgets._store.importing.files import NotJson, value_of
from session_widgets._store.migrations import LATEST
from session_widgets._store.queries import Connection
from session_widgets.printing import plural

AT_ONCE = 2_000
"""Lines read at once."""
RESTORE = "Put a copy of the store from a backup in its place; store().export writes what can still be read"
REBUILD = "store().rebuild({!r}) computes its rows again"
IMPORT = "Import the file again"

_EVENTS = (
    (
        "select session_id, count(*), min(seq), max(seq) from kept.events group by session_id "
        "having min(seq) <> 1 or max(seq) <> count(*) or count(distinct seq) <> count(*)",
        "its {} events are numbered {} to {}, with gaps or repeats",
        RESTORE,
    ),
    (
        "select session_id, count(*) from (select session_id from kept.events group by session_id, source, source_seq "
        "having count(*) > 1) group by session_id",
        "{} numbers of a source are stored twice",
        RESTORE,
    ),
    (
        "select session_id, count(*) from kept.events where not json_valid(payload) group by session_id",
        "the payload of {} events is no JSON",
        RESTORE,
    ),
    (
        "select session_id, max(seq), any_value(s.last_seq) from kept.events e left join kept.sessions s using "
        "(session_id) group by session_id having max(seq) is distinct from any_value(s.last_seq)",
        "its last event is {}, its row says {}",
        REBUILD,
    ),
)
"""Queries of sessions, what is wrong with each, and the remedy."""
_REFERENCES = (
    (
        "annotations",
        "select session_id, count(*) from kept.annotations a where not exists (from kept.steps s where "
        "s.session_id = a.session_id and coalesce(s.uid, s.session_id || '/' || s.turn || '/' || s.step) = a.step_uid) "
        "or until_uid is not null and not exists (from kept.steps s where s.session_id = a.session_id and "
        "coalesce(s.uid, s.session_id || '/' || s.turn || '/' || s.step) = a.until_uid) group by session_id",
        "{} annotations name a step that it does not have",
        "Remove them with store().remove_annotations(ids), or import the file again that had the step",
    ),
    (
        "scores",
        "select session_id, count(*) from kept.scores s anti join kept.sessions using (session_id) group by session_id",
        "{} scores are of a session that the store does not have",
        "Remove them with store().remove_scores(session, name), or import the session again",
    ),
    (
        "derived rows",
        "select session_id, count(*) from (select session_id from kept.sessions union all "
        "select session_id from kept.steps union all select session_id from kept.turns) "
        "anti join (select session_id from kept.events union all select session_id from kept.source_sessions) "
        "using (session_id) group by session_id",
        "{} rows have neither events nor an imported file",
        "store().delete_session({!r}) deletes them",
    ),
    (
        "imported lines",
        "select 'file ' || file_id, count(*) from kept.raw_records anti join kept.source_files using (file_id) "
        "group by all",
        "{} lines belong to no imported file",
        RESTORE,
    ),
    (
        "imports",
        "select coalesce(any_value(f.path), 'file ' || s.file_id), count(*) from kept.source_sessions s "
        "left join kept.source_files f using (file_id) left join kept.sessions e using (session_id) "
        "where f.file_id is null or e.session_id is null group by s.file_id",
        "{} of its sessions have no row",
        IMPORT,
    ),
)
_UNFINISHED = "select path from kept.source_files where state <> 'complete' order by path"


def check_file(connection: Connection, path: Path, report: CheckReport) -> bool:
    """Read every block of every table, and compare the file's format; false if a table cannot be read."""
    tables = connection.execute("select table_name from duckdb_tables() where database_name = 'kept' order by all")
    names = [name for (name,) in tables.fetchall()]
    found: list[Finding] = []
    rows = 0
    for name in names:
        try:
            query = f"select count(*), bit_xor(hash(t)) from kept.{name} t"  # noqa: S608 - names of our own tables
            rows += connection.execute(query).fetchall()[0][0]
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            found.append(Finding("file", name, f"the table cannot be read: {reason}", RESTORE))
    readable = not found
    version = connection.execute("select max(version) from kept.schema_version").fetchall()[0][0]
    if version != LATEST:
        found.append(Finding("file", path.name, f"its format is {version}, not {LATEST}", "Open it with store()"))
    if "rebuilding" in names:
        found.append(Finding("file", "rebuilding", "a rebuild was interrupted", "store().rebuild() completes it"))
    report.add("file", f"format {version}; every row of {plural(len(names), 'table')} can be read", rows, found)
    return readable


def check_events(connection: Connection, report: CheckReport) -> None:
    """Compare the numbers of the events of each session."""
    found = [each for check in _EVENTS for each in _findings(connection, "events", *check)]
    count = connection.execute("select count(*) from kept.events").fetchall()[0][0]
    report.add("events", "numbered 1, 2, 3, ... in each session; none twice; JSON", count, found)


def check_references(connection: Connection, report: CheckReport) -> None:
    """Look for rows that refer to a session, step or file that is not there."""
    found = [each for check in _REFERENCES for each in _findings(connection, *check)]
    tables = ("annotations", "scores", "sessions", "source_sessions")
    counts = [connection.execute(f"select count(*) from kept.{name}").fetchall()[0][0] for name in tables]  # noqa: S608
    report.add("references", "sessions, steps and files that rows name are there", sum(counts), found)


def check_imports(connection: Connection, report: CheckReport) -> None:
    """Decode the kept lines of imported files, and compare them with the hash of the file."""
    found: list[Finding] = []
    files = connection.execute(
        "select file_id, path, format, watermark, sha256, records from kept.source_files order by path"
    ).fetchall()
    redacted = 0
    for file_id, path, name, watermark, digest, records in files:
        lines = _Lines(connection, file_id, watermark, whole=_is_whole(name))
        redacted += lines.redacted
        found += [Finding("imports", path, what, IMPORT) for what in lines.faults(digest, records)]
    for (path,) in connection.execute(_UNFINISHED).fetchall():
        found.append(Finding("imports", path, "its import was interrupted", f"{IMPORT}: it continues"))
    report.add("imports", "lines decode, have no gaps, and equal the hash of the imported file", len(files), found)
    if redacted:
        report.left_out.append(f"the hash of {plural(redacted, 'file')}: secrets in their lines were replaced")


def _findings(connection: Connection, check: str, query: str, what: str, remedy: str) -> Iterator[Finding]:
    for where, *numbers in connection.execute(f"{query} order by all").fetchall():
        yield Finding(check, where, what.format(*numbers), remedy.format(where))


def _is_whole(name: str) -> bool:
    """Whether a file of this format is one record: a document or an archive."""
    known = format_named(name)
    return known is not None and known.layout != "lines"


class _Lines:
    """The kept lines of one file, read once."""

    def __init__(self, connection: Connection, file_id: int, watermark: int, *, whole: bool) -> None:
        self.redacted = False
        self._hash = hashlib.sha256()
        self._watermark, self._whole = watermark, whole
        self._count = self._gaps = self._undecodable = 0
        self._end = 0
        self._held: bytes | None = None
        after = -1
        while page := connection.execute(
            """select line, byte_offset, byte_length, kind, body, not_text from kept.raw_records
               where file_id = ? and byte_offset > ? order by byte_offset limit ?""",
            [file_id, after, AT_ONCE],
        ).fetchall():
            for _, offset, length, kind, body, not_text in page:
                self._take(offset, length, kind, body, not_text)
            after = page[-1][1]
        self._settle(self._end < self._watermark)

    def faults(self, digest: str, records: int) -> Iterator[str]:
        """Yield what is wrong."""
        if self._count != records:
            yield f"the store has {self._count:,} of its {records:,} lines"
        if self._gaps:
            yield f"{plural(self._gaps, 'line')} do not follow the one before"
        if self._undecodable:
            yield f"{plural(self._undecodable, 'line')} that were JSON are none"
        if not self._gaps and not self.redacted and self._hash.hexdigest() != digest:
            yield "its lines do not have the hash of the imported file"

    def _take(self, offset: int, length: int, kind: str | None, body: str, not_text: bytes | None) -> None:
        data = body.encode("utf-8", "surrogatepass") if not_text is None else not_text
        self._count += 1
        self._settle(offset == self._end + 1)
        if offset not in {self._end, self._end + 1} or (self._count == 1 and offset != 0):
            self._gaps += 1
        self.redacted = self.redacted or len(data) != length
        if kind is not None and not self._whole and not _decodes(data):
            self._undecodable += 1
        self._held, self._end = data, offset + length

    def _settle(self, ended: bool) -> None:
        """Count the line before in the hash, with its line feed if it has one; a part of a long line has none."""
        if self._held is not None and (ended or self._whole):
            self._hash.update(self._held if self._whole else self._held + b"\n")
        self._held = None


def _decodes(data: bytes) -> bool:
    try:
        value_of(data)
    except NotJson:
        return False
    return True
