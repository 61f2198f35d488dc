"""An imported session is a source of events that fold to its steps, so that a chat draws it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from session_widgets._store.database import Store
from session_widgets._store.importing.events import ENDED
from session_widgets.transcript.fold import Fold
from tests.store.importing.claude import SESSION, Log, story, text, tool
from tests.store.importing.contents import RECORDED, rows

pytestmark = pytest.mark.slow

SAME = ("turn", "kind", "text", "title", "tool_kind", "tool_name", "content", "locations", "raw_input")


def said(step: Any) -> dict[str, Any]:
    """What a person reads of a step; an error is drawn as a notice, and a rejected call as a failed one."""
    values = {name: getattr(step, name) for name in SAME}
    if step.kind in {"notice", "error"}:
        values |= {"kind": "notice", "raw_input": None}
    if step.kind == "subagent":
        values |= {"title": None}
    return values | {"exit_code": step.exit_code, "status": step.status}


def shown(steps: Any) -> list[dict[str, Any]]:
    """The steps except the prompts, which come first in their turn, and what the end of the file is called."""
    return [said(step) for step in steps if step.kind != "user" and step.text != ENDED]


def fold_of(store: Store, session_id: str) -> Fold:
    source = store.source(session_id)
    assert not source.live
    fold = Fold(session_id)
    events = source.events()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert source.events(after=2, limit=3) == events[2:5]
    for event in events:
        fold.feed(event)
    return fold


@pytest.mark.parametrize("name", ["claude_code", "codex", "copilot", "gemini", "opencode", "pi", "qwen", "inspect"])
def test_the_events_fold_to_the_steps(store: Store, name: str) -> None:
    for session_id in store.import_(RECORDED / name).sessions:
        fold = fold_of(store, session_id)
        assert shown(fold.steps) == shown(store.steps(session_id))
        assert [fold.turn(turn).text for turn in fold.turns] == [turn.text for turn in store.turns(session_id)]


def test_a_story_with_a_subagent_a_rejection_and_a_compaction(store: Store, tmp_path: Path) -> None:
    log = story().user("c1", "So far ...", isCompactSummary=True)
    log.assistant("a7", "msg_7", tool("t7", "Task", prompt="Look around"))
    log.user("s1", "Look around", parent=None, isSidechain=True)
    log.assistant("s2", "msg_s", text("Nothing here."), isSidechain=True)
    log.result("r7", "t7", "Nothing here.", parent="a7").assistant("a8", "msg_8", text("Nothing."), stop="end_turn")
    (tmp_path / "a.jsonl").write_text(str(log))
    store.import_(tmp_path)
    fold = fold_of(store, SESSION)
    (agent,) = [step for step in fold.steps if step.kind == "subagent"]
    assert [(step.text, step.parent) for step in fold.steps if step.kind == "message" and step.turn == 2] == [
        ("Nothing here.", agent.index),
        ("Nothing.", None),
    ]
    assert [(step.kind, step.parent, step.text) for step in fold.steps if step.kind in {"subagent", "compaction"}] == [
        ("compaction", None, "So far ..."),
        ("subagent", None, "Look around"),
    ]
    assert [fold.turn(turn).status for turn in fold.turns] == ["completed", "cancelled"]


def test_a_compacted_store_keeps_its_imports(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(str(story()) + str(Log("other").user("u", "Hi")))
    store.import_(tmp_path / "a.jsonl")
    before = rows(store)
    store.compact()
    assert rows(store) == before
    assert store.import_(tmp_path / "a.jsonl").counts["files_unchanged"] == 1
    store.rebuild()
    assert rows(store) == before
