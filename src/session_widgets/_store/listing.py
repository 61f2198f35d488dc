"""A list of sessions with a readable `repr`, at a prompt and in a cell."""

from __future__ import annotations

from session_widgets.printing import html_table, one_line, text_table
from session_widgets.transcript.records import SessionRecord

_COLUMNS = ("session", "title", "status", "turns", "harness", "sandbox", "updated")


class SessionList(list[SessionRecord]):
    """Sessions, newest first."""

    def __repr__(self) -> str:
        return text_table(_COLUMNS, [_cells(record) for record in self]) if self else "no sessions yet"

    def _repr_html_(self) -> str:
        return html_table(_COLUMNS, [_cells(record) for record in self]) if self else "<p>no sessions yet</p>"


def _cells(record: SessionRecord) -> tuple[str, ...]:
    facts = (record.id, record.title or "", record.status, str(record.turns), record.harness, record.sandbox)
    return (*(one_line(fact, 60) for fact in facts), f"{record.updated_at.astimezone():%Y-%m-%d %H:%M}")
