"""A list of sessions that reads well at a prompt and in a cell."""

from __future__ import annotations

from html import escape

from session_widgets.model import SessionRecord
from session_widgets.text import one_line

_COLUMNS = ("session", "title", "status", "turns", "harness", "sandbox", "updated")


class SessionList(list[SessionRecord]):
    """Sessions, newest first."""

    def __repr__(self) -> str:
        if not self:
            return "no sessions yet"
        table = [_COLUMNS, *map(_cells, self)]
        widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        if not self:
            return "<p>no sessions yet</p>"
        head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
        rows = ("".join(f"<td>{escape(cell)}</td>" for cell in _cells(record)) for record in self)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(record: SessionRecord) -> tuple[str, ...]:
    facts = (record.id, record.title or "", record.status, str(record.turns), record.harness, record.sandbox)
    return (*(one_line(fact, 60) for fact in facts), f"{record.updated_at.astimezone():%Y-%m-%d %H:%M}")
