"""Checks a store on a copy, which blocks no writer."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from session_widgets._store import querying
from session_widgets._store.checking import rebuilt, rows
from session_widgets._store.checking.report import CheckReport, Finding
from session_widgets._store.connection import StoreFile
from session_widgets.errors import StoreBusy, StoreError

Progress = Callable[[int, int], object]


def check(file: StoreFile, progress: Progress) -> CheckReport:
    """Verify a store.

    Raises:
        StoreBusy: the file was not free within 10 s.
        StoreError: there is no room for a copy.
    """
    report = CheckReport(str(file.path))
    try:
        with file.alone() as deadline, file.attached_to_read(deadline):
            copy = querying.copy_attached(file)
    except StoreBusy:
        raise
    except (StoreError, duckdb.Error) as error:
        report.add("file", "the file can be opened", 0, [Finding("file", file.path.name, str(error), rows.RESTORE)])
        return report
    if copy is None:
        raise StoreError(f"there is no room for a copy of {file.path}, which a check needs. Free some space.")

    def look(connection: duckdb.DuckDBPyConnection) -> CheckReport:
        if rows.check_file(connection, file.path, report):
            rows.check_events(connection, report)
            rows.check_imports(connection, report)
            rows.check_references(connection, report)
            rebuilt.check_derived(connection, report, progress)
        else:
            report.left_out.append("everything else: the file is damaged")
        return report

    return querying.on_copy(file, copy, look, "kept")
