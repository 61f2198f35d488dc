"""Recorded traffic of real harnesses, folded."""

from __future__ import annotations

import random
from typing import Any

from session_widgets.transcript.envelopes import block_text
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Event
from session_widgets.transcript.steps import FINAL_STATUSES
from tests.support.acp_captures import events as recorded
from tests.support.acp_captures import scenarios
from tests.support.paths import CAPTURES, shared


def folded(events: list[Event]) -> Fold:
    fold = Fold(events[0].session_id)
    for event in events:
        fold.feed(event)
    return fold


def lines(fold: Fold) -> list[tuple[int, str, str, str | None]]:
    return [(step.turn, step.kind, step.status, step.text or step.title) for step in fold.steps]


def test_claude_rich() -> None:
    fold = folded(recorded(scenarios(CAPTURES / "claude-rich.ndjson")["rich"]))
    assert lines(fold)[1:] == [
        (1, "thought", "completed", "Let me think about this."),
        (1, "tool_call", "completed", "Write a.txt"),  # asked for before the tool call came
        (1, "message", "completed", "I will write the file."),
        (1, "plan", "completed", None),
        (1, "tool_call", "completed", "Read a.txt"),
        (1, "tool_call", "completed", "Edit a.txt"),
        (1, "tool_call", "failed", "cat a.txt; echo oops >&2; exit 3"),
        (1, "tool_call", "completed", 'grep "three" /workspace'),
        (1, "message", "completed", "All done: RICH_FINAL"),
    ]
    write, plan, edit = fold.step(1, 2), fold.step(1, 4), fold.step(1, 6)
    assert write.raw_input == {"file_path": "/workspace/a.txt", "content": "one\ntwo\n"}
    assert write.content[0]["type"] == "diff"
    assert write.raw_output == "File created successfully at: /workspace/a.txt"
    assert write.permission is not None
    assert write.permission.request_id == "connection-1/0"
    assert (write.permission.outcome, write.permission.option_id) == ("selected", "allow")
    assert [entry["status"] for entry in plan.entries] == ["completed", "in_progress"]
    assert edit.locations == ({"path": "/workspace/a.txt", "line": 1},)
    turn = fold.turn(1)
    assert turn.text == "I will write the file.\n\nAll done: RICH_FINAL"
    assert (turn.status, turn.stop_reason) == ("completed", "end_turn")
    assert turn.usage.context_used is None, "`used: null` is unknown, not zero"
    assert (turn.usage.context_size, turn.usage.input_tokens, turn.usage.cost) == (200_000, None, None)
    assert turn.usage.quality == "placeholder", "0 tokens of a turn in which a model answered are unknown, not zero"


def test_gemini_never_announces_its_tool_call() -> None:
    fold = folded(recorded(scenarios(CAPTURES / "gemini-basic.ndjson")["basic"]))
    assert [kind for _, kind, _, _ in lines(fold)] == ["user", "message", "tool_call", "message"]
    tool = fold.step(1, 2)
    assert (tool.status, tool.tool_kind, tool.title) == ("completed", "edit", "Writing to marker.txt")
    assert tool.permission is not None
    assert tool.permission.option_id == "proceed_once"


def test_codex_leaves_a_call_open_after_a_cancel() -> None:
    fold = folded(recorded(scenarios(CAPTURES / "codex-cancel.ndjson")["cancel"]))
    tool = next(step for step in fold.steps if step.kind == "tool_call")
    assert (tool.turn, tool.status) == (1, "cancelled")
    assert (fold.turn(1).status, fold.turn(2).status) == ("cancelled", "completed")


def captured() -> list[tuple[str, list[dict[str, Any]]]]:
    found = [
        (f"{path.stem}/{name}", entries)
        for path in sorted(shared("contracts/acp-captures").rglob("*.ndjson"))
        for name, entries in scenarios(path).items()
    ]
    assert len(found) > 50
    return found


def test_every_capture_folds_and_nothing_stays_open() -> None:
    for name, entries in captured():
        events = recorded(entries)
        fold = folded(events)
        assert fold.turns, name
        assert not fold.pending, name
        for step in fold.steps:
            assert step.status in FINAL_STATUSES, (name, step)
            assert step.kind in {"tool_call", "plan"} or step.text, (name, step)
            assert step.first_seq <= step.last_seq <= len(events), name
        for turn in fold.turns:
            live = [e for e in events if e.turn == turn and e.kind == "agent_message_chunk"]
            said = "".join(block_text(event.payload["params"]["update"]["content"]) for event in live)
            folded_text = "".join(s.text or "" for s in fold.steps if s.turn == turn and s.kind == "message")
            assert folded_text == said, name


def test_a_turn_can_be_folded_again_from_its_context() -> None:
    for name, entries in captured():
        events = recorded(entries)
        whole = Fold("capture")
        contexts = {}
        for place, event in enumerate(events):
            if event.turn is not None and event.turn not in contexts:
                contexts[event.turn] = (whole.state, place)
            whole.feed(event)
        for turn, (context, place) in contexts.items():
            again = Fold("capture", context)
            for event in events[place:]:
                again.feed(event)
            assert again.turn(turn) == whole.turn(turn), name
            assert again.permissions(turn) == whole.permissions(turn), name
            assert again.steps == tuple(s for s in whole.steps if s.turn >= turn), name
            assert again.session() == whole.session(), name


def test_looking_in_between_changes_nothing() -> None:
    for name, entries in captured():
        events = recorded(entries)
        chance, fold = random.Random(name), Fold("capture")
        for event in events:
            fold.feed(event)
            if chance.random() < 0.3:
                assert fold.steps == folded(events[: event.seq]).steps, name
        assert fold.steps == folded(events).steps, name
