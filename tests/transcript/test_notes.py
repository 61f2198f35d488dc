"""Notes: written and read in one place, tolerant of other releases, and documented as they are."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import session_widgets
from session_widgets.transcript import notes
from session_widgets.transcript.notes import NOTES, FilesKept, Note, SessionChanged, read_note
from session_widgets.transcript.records import FileChange

DOCS = Path(__file__).parent.parent.parent / "docs"
SOURCES = Path(session_widgets.__file__).parent
SAMPLES: dict[str, Any] = {
    "files": (FileChange("a", "created", 3), FileChange("b", "deleted", None)),
    "status": "cancelled",
    "outcome": "selected",
    "arguments": {"a": [1]},
    "cpus": 0.5,
    "memory": 1 << 30,
    "seconds": 0.25,
    "ok": True,
    "confine": True,
    "handed_over": True,
    "env": ("A",),
    "skills": ("s",),
    "secrets": ("password",),
    "limits": {"total": 10},
    "mounts": {"/a": "/b"},
    "setup": ("true",),
    "ports": (8000,),
    "idle": 60,
    "lifetime": 60,
    "agent_info": {"name": "x"},
    "capabilities": {"loadSession": True},
    "modes": {"currentModeId": "a"},
    "models": {"currentModelId": "m"},
    "config": ({"id": "c"},),
    "commands": ({"name": "c"},),
    "prompt": ({"type": "text", "text": "go"},),
    "owner": {"pid": 1},
    "content": {"a": 1},
    "turn": 1,
    "size": 3,
    "left_out": ({"path": "a", "reason": "large"},),
    "left_out_count": 1,
    "snapshots": ("a-1",),
    "model_hosts": ("api.example.com",),
}


def sample(note: type[Note]) -> Note:
    samples = SAMPLES | ({"files": 2} if note is FilesKept else {})
    return note(**{one.name: samples.get(one.name, f"some {one.name}") for one in fields(note)})


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.kind)
def test_a_note_is_read_as_it_was_written(note: type[Note]) -> None:
    written = json.loads(json.dumps(sample(note).encode()))
    assert written.keys() == {one.name for one in fields(note)}
    assert read_note(note.kind, written) == sample(note)
    assert read_note(note.kind, written | {"a field of tomorrow": 1}) == sample(note)


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.kind)
@pytest.mark.parametrize("value", [None, 7, "x", [1, {"a": None}], {"a": 1}, True])
def test_values_of_any_type_do_no_harm(note: type[Note], value: Any) -> None:
    read = note.decode({one.name: value for one in fields(note)})
    hash(str(read.encode()))
    assert note.decode({}) == note.decode({"unknown": value})


def test_an_unknown_note_is_passed_over() -> None:
    assert read_note("note_of_tomorrow", {"a": 1}) is None


def test_a_change_says_what_it_leaves_and_what_it_takes_away() -> None:
    change = SessionChanged(model=None, title="x")
    assert change.encode() == {"title": "x", "model": None}
    assert SessionChanged.decode({"title": "x", "model": None}) == change


def test_no_other_file_names_a_kind_of_note() -> None:
    allowed = {SOURCES / "transcript" / "notes.py", SOURCES / "_store" / "migrations.py"}
    for path in SOURCES.rglob("*.py"):
        if path not in allowed:
            text = path.read_text()
            assert [note.kind for note in NOTES if f'"{note.kind}"' in text or f"'{note.kind}'" in text] == [], path


def test_each_note_is_listed_once() -> None:
    made = {one for one in vars(notes).values() if isinstance(one, type) and issubclass(one, Note) and one is not Note}
    assert made == set(NOTES)
    assert len({note.kind for note in NOTES}) == len(NOTES)


def test_the_tables_of_the_documentation_are_these() -> None:
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    for page, table in tables.tables().items():
        assert table in (DOCS / page).read_text(), f"docs/{page} is not up to date: make docs"
        assert tables.written(page, table) == (DOCS / page).read_text()
