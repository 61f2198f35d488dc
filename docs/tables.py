"""Writes the tables of these pages that are made from code: `make docs`."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from session_widgets.transcript.notes import NOTES, Note

DOCS = Path(__file__).parent


def fields_of(note: type[Note]) -> str:
    """The fields of a note, each with its remark."""
    said = [f"`{one.name}`" + (f" ({about})" if (about := one.metadata["about"]) else "") for one in fields(note)]
    return ", ".join(said)


def about(note: type[Note]) -> str:
    """What a note says."""
    return (note.__doc__ or "").split("\n", 1)[0].rstrip(".")


def tables() -> dict[str, str]:
    """Each table by the name of its page."""
    rows = [f"| `{note.kind}` | {about(note)} | {fields_of(note)} |" for note in NOTES]
    full = "\n".join(["| `kind` | meaning | fields |", "| --- | --- | --- |", *rows])
    kinds = [f"| `{note.kind}` | `{', '.join(one.name for one in fields(note))}` |" for note in NOTES]
    return {"transcripts.md": full, "architecture.md": "\n".join(["| note | payload |", "| --- | --- |", *kinds])}


def written(page: str, table: str) -> str:
    """The text of a page with its table replaced."""
    text = (DOCS / page).read_text()
    begin, end = "<!-- notes: made by `make docs` -->\n", "\n<!-- end of notes -->"
    return re.sub(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", lambda _: table, text, flags=re.DOTALL)


if __name__ == "__main__":
    for page, table in tables().items():
        (DOCS / page).write_text(written(page, table))
