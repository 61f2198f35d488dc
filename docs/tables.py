"""Writes the tables of these pages that are made from code: `make docs`."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from session_widgets._sandboxes import get_provider, provider_names
from session_widgets._sessions.sandbox_info import FEATURES
from session_widgets._store.views import DOCUMENTED
from session_widgets._store.views.view import View
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


def sandboxes() -> str:
    """The table of providers: what each can do, and the options that it accepts."""
    providers = [get_provider(name, Path()) for name in provider_names()]
    options = sorted({option for provider in providers for option in provider.options})
    names = [f"`{provider.name}`" for provider in providers]
    rows = [
        [words, *("yes" if capability in provider.capabilities else "" for provider in providers)]
        for capability, words in FEATURES.items()
    ]
    rows += [[f"`{option}=`", *("yes" if option in one.options else "" for one in providers)] for option in options]
    table = [["", *names], ["---"] * (len(names) + 1), *(row for row in rows if any(row[1:]))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def written(page: str, table: str, what: str = "notes") -> str:
    """The text of a page with its table replaced."""
    text = (DOCS / page).read_text()
    begin, end = f"<!-- {what}: made by `make docs` -->\n", f"\n<!-- end of {what} -->"
    return re.sub(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", lambda _: table, text, flags=re.DOTALL)


DATA_MODEL = """# The data model

Made by `make docs` from `src/session_widgets/_store/views/`: the views of a store, each with its columns and a query.
`sw.store().sql(...)` runs them; [transcripts.md](transcripts.md) says how, and what the store holds.
Unknown is NULL, never 0. Times are `TIMESTAMPTZ` in UTC. Use `->` and `->>` on columns that hold JSON. A sum may mix
tokens of different scopes and qualities, and costs of different currencies: `usage_scope`, `usage_quality` and
`currency` beside it say so.
"""


def view_section(view: View) -> str:
    """The section of a view."""
    rows = [f"| {', '.join(f'`{name}`' for name in names.split(', '))} | {text} |" for names, text in view.columns]
    table = "\n".join(["| column | content |", "| --- | --- |", *rows])
    return f"## `{view.name}`\n\n{view.about}\n\n{table}\n\n```sql\n{view.example.strip()}\n```\n"


def data_model() -> str:
    """The page of all views."""
    names = ", ".join(f"[`{view.name}`](#{view.name})" for view in DOCUMENTED)
    return "\n".join([DATA_MODEL, f"{names}.\n", *map(view_section, DOCUMENTED)])


if __name__ == "__main__":
    (DOCS / "data-model.md").write_text(data_model())
    for page, table in tables().items():
        (DOCS / page).write_text(written(page, table))
    (DOCS / "sandboxes.md").write_text(written("sandboxes.md", sandboxes(), "providers"))
