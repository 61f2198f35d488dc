"""Imported files and their lines."""

from __future__ import annotations

from session_widgets._store.views.view import View

VIEWS = (
    View(
        name="v_source_files",
        about="One row an imported file.",
        query="""
        select path, format, state, bytes, records, malformed, imported_at,
            (select list(s.session_id order by s.session_id) from source_sessions s
             where s.file_id = f.file_id) as sessions
        from source_files f""",
        columns=(
            ("path, format, bytes", ""),
            ("state", "`complete`, or `importing` after an interrupted import of a large file"),
            ("records, malformed", "number of records, and of those that are no JSON"),
            ("imported_at", "the latest import that changed it"),
            ("sessions", "list of its sessions' ids"),
        ),
        example="""
select format, count(*) as files, sum(bytes) as bytes, sum(malformed) as malformed from v_source_files group by all""",
    ),
    View(
        name="v_raw_records",
        about="One row a line of an imported file, or a whole document.",
        query="""
        select path, format, line, kind, body, not_text is null as is_text, byte_offset, byte_length
        from raw_records join source_files using (file_id)""",
        columns=(
            ("path, format, line", "`line` counts from 1"),
            ("kind", "the program's own kind of record; NULL for a malformed line"),
            ("body", "the text, without its line feed"),
            (
                "is_text",
                ("false if the line is no UTF-8: `body` then has replacement characters, and the store has the bytes"),
            ),
            ("byte_offset, byte_length", "place in the file"),
        ),
        example="""
select path, line, body from v_raw_records where kind is null order by path, line""",
    ),
    View(
        name="v_import_issues",
        about="One row a problem of an imported file, as of its latest import.",
        query="""
        select path, format, line, code, severity, detail from import_issues join source_files using (file_id)""",
        columns=(
            ("path, format, line", "`line` is 0 for the whole file"),
            ("code", "`malformed`, `unfinished_line`, `too_long`, `rewritten`, `format_failed`, or a format's own"),
            ("severity", "`info` or `warning`"),
            ("detail", ""),
        ),
        example="""
select code, severity, count(*) as issues from v_import_issues group by all order by issues desc""",
    ),
)
