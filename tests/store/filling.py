"""Sessions in a store, and everything that the store then holds."""

from __future__ import annotations

from typing import Any

from session_widgets._store.database import Store
from tests.support.drafts import TABLES, chunk, note, opened, rows_of, update

VIEWS = ("v_sessions", "v_turns", "v_events", "v_steps", "v_tool_calls", "v_permissions")


def fill(store: Store, session: str, text: str = "") -> None:
    tool = {"toolCallId": "t", "title": "run", "rawInput": {"command": "ls"}, "status": "completed"}
    store.append(
        session,
        [
            opened(),
            note("turn_started", 2, turn=1, prompt=[{"type": "text", "text": "hello"}]),
            *(chunk(number, text or f"{session} {number} ") for number in range(1, 12)),
            update("tool_call", 12, **tool),
            note("turn_ended", 3, turn=1, status="completed", files=[{"path": "a", "change": "created", "size": 1}]),
            note("turn_started", 4, turn=2, prompt=[]),
            chunk(13, "still running", turn=2),
        ],
    )


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the derived tables and of the views."""
    return rows_of(store, (*TABLES, *VIEWS))
