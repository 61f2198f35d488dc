"""Compares the derived rows of a store with what its events and imported lines give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

from session_widgets._store import rebuilding
from session_widgets._store.checking.report import CheckReport, Finding
from session_widgets._store.checking.rows import REBUILD
from session_widgets._store.formats import format_named
from session_widgets._store.importing import deriving
from session_widgets._store.queries import DERIVED, Connection
from session_widgets.printing import plural

AT_ONCE = 50_000
"""Events or lines after which the rows are compared."""
_READ = ("events", "raw_records", "source_files", "source_sessions")
_COMPARED = (*DERIVED, "lineage")


def check_derived(connection: Connection, report: CheckReport, progress: Callable[[int, int], object]) -> None:
    """Derive all rows again into memory, and compare them with those of the file attached as `kept`."""
    connection.execute("attach ':memory:' as store")
    for name in _READ:
        connection.execute(f"create view store.{name} as from kept.{name}")
    for name in _COMPARED:
        connection.execute(f"create table store.{name} as from kept.{name} limit 0")
    found: list[Finding] = []
    sessions: set[str] = set()
    done, since, total = 0, 0, _total(connection)
    batch: list[str] = []
    unknown: dict[str, int] = {}
    for ids, size, rebuild in _work(connection, unknown):
        rebuild()
        batch += ids
        done, since = done + size, since + size
        if since >= AT_ONCE:
            found += _differences(connection, batch)
            sessions.update(batch)
            batch, since = [], 0
            progress(done, total)
    found += _differences(connection, batch)
    sessions.update(batch)
    progress(total, total)
    report.add("derived", "rows equal those of a rebuild from events and imported lines", len(sessions), found)
    report.left_out += [
        f"{plural(count, 'file')} of the format {name}, which is not installed" for name, count in unknown.items()
    ]


def _total(connection: Connection) -> int:
    query = "select (select count(*) from kept.events) + (select count(*) from kept.raw_records)"
    total: int = connection.execute(query).fetchall()[0][0]
    return total


def _work(connection: Connection, unknown: dict[str, int]) -> Iterator[tuple[list[str], int, Callable[[], object]]]:
    """Yield the sessions of each file and each live session, the number of their records, and what derives them."""
    live = "select session_id, count(*) from kept.events group by session_id order by session_id"
    for session_id, size in connection.execute(live).fetchall():
        yield [session_id], size, lambda name=session_id: rebuilding.rebuild(connection, name)  # type: ignore[misc]
    files = connection.execute(
        """select f.file_id, any_value(f.format), any_value(f.records), list(s.session_id) from kept.source_files f
           join kept.source_sessions s using (file_id) where f.state = 'complete'
           group by f.file_id order by f.file_id"""
    ).fetchall()
    for file_id, name, size, ids in files:
        if format_named(name) is None:
            unknown[name] = unknown.get(name, 0) + 1
            continue
        yield ids, size, lambda file=file_id: deriving.rebuild_file(lambda: nullcontext(connection), file)  # type: ignore[misc]


def _differences(connection: Connection, batch: list[str]) -> list[Finding]:
    """Compare the rows of sessions, and empty the tables in memory."""
    faults: dict[str, list[str]] = {}
    for name in _COMPARED:
        kept = f"from kept.{name} where session_id in (select unnest($ids))"
        query = f"""select session_id, count(*) from (
            ({kept} except all from store.{name}) union all (from store.{name} except all {kept}))
            group by session_id"""  # noqa: S608 - names of our own tables
        for session_id, count in connection.execute(query, {"ids": batch}).fetchall():
            faults.setdefault(session_id, []).append(f"{plural(count, 'row')} of {name}")
        connection.execute(f"truncate store.{name}")
    return [
        Finding("derived", session_id, f"{', '.join(what)} differ from a rebuild", REBUILD.format(session_id))
        for session_id, what in sorted(faults.items())
    ]
