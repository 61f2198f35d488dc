"""Sessions in the store, made from their tool calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import session_widgets as sw
from tests.support.drafts import note, opened, update


def tool(kind: str, raw_input: dict[str, Any], status: str = "completed", **facts: Any) -> dict[str, Any]:
    return {"kind": kind, "rawInput": raw_input, "status": status, **facts}


def store_session(session_id: str, root: str, *calls: dict[str, Any], error: str | None = None, size: int = 3) -> None:
    """A session of one turn with these tool calls."""
    drafts = [
        opened(workspace=root),
        note("agent_started", 0, connection="c1", cwd=root),
        note("turn_started", 0, turn=1, prompt=[{"type": "text", "text": "go"}]),
        *(
            update("tool_call", 0, toolCallId=f"t{n}", title=f"call {n}", **facts)
            for n, facts in enumerate(calls)
        ),
        note(
            "turn_ended", 0, turn=1, status="failed" if error else "completed", error=error,
            files=[{"path": "a.py", "change": "modified", "size": size}],
        ),
    ]  # fmt: skip
    sw.store().append(session_id, [replace(draft, source="k", source_seq=n) for n, draft in enumerate(drafts, 1)])


def edit(root: str, old: str, new: str) -> dict[str, Any]:
    return tool("edit", {"file_path": f"{root}/a.py", "old_string": old, "new_string": new})


def store_run(session_id: str, calls: list[str], *, turns: int = 1) -> None:
    drafts = [opened(harness="demo")]
    for turn in range(1, turns + 1):
        at = turn * 100
        drafts.append(note("turn_started", at, turn=turn, prompt=[{"type": "text", "text": "go"}]))
        drafts += [
            update("tool_call", at + n, turn=turn, toolCallId=f"{turn}.{n}", title="t", kind="execute", status=status)
            for n, status in enumerate(calls, 1)
        ]
        drafts.append(note("turn_ended", at + 50, turn=turn, status="completed", stop_reason="end_turn"))
    sw.store().append(session_id, drafts)
