"""A session of one harness, to which a test adds notes and updates one by one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from session_widgets._store.database import Store
from session_widgets.transcript.records import Draft
from tests.support.drafts import TS, note, opened, update

CLAUDE = {"name": "@zed-industries/claude-agent-acp", "version": "0.23.1"}
OPTIONS = [
    {"optionId": "y", "name": "Yes", "kind": "allow_once"},
    {"optionId": "n", "name": "No", "kind": "reject_once"},
]


class Story:
    """A session, event by event, one second apart."""

    def __init__(self, store: Store, **facts: Any) -> None:
        self.store = store
        self.number = 0
        self.add(opened(**facts))

    def add(self, draft: Draft) -> None:
        self.number += 1
        moment = TS + timedelta(seconds=self.number)
        self.store.append("s", [replace(draft, source_seq=self.number, source="k", ts=moment)])

    def note(self, kind: str, turn: int | None = None, **fields: Any) -> None:
        self.add(note(kind, 0, turn=turn, **fields))

    def agent(self, connection: str, info: dict[str, str] = CLAUDE, session: str = "a1", **said: Any) -> None:
        self.note("agent_started", connection=connection, agent_session_id=session, agent_info=info, **said)

    def begin(self, turn: int) -> None:
        self.note("turn_started", turn, prompt=[{"type": "text", "text": "go"}])

    def end(self, turn: int, status: str = "completed") -> None:
        self.note("turn_ended", turn, status=status)

    def cost(self, turn: int | None, amount: float, currency: str = "USD", **more: Any) -> None:
        self.add(update("usage_update", 0, turn=turn, cost={"amount": amount, "currency": currency}, **more))

    def envelope(self, direction: Any, method: str, kind: str, turn: int | None, **body: Any) -> None:
        self.add(Draft(direction, kind, json.dumps(body), "", 0, turn, TS, method))

    def answer(self, turn: int, **usage: int) -> None:
        self.envelope("in", "session/prompt", "response", turn, id=1, result={"stopReason": "end_turn", "usage": usage})

    def ask(self, turn: int, rpc_id: object, tool: str) -> None:
        params = {"toolCall": {"toolCallId": tool, "title": tool}, "options": OPTIONS}
        self.envelope("in", "session/request_permission", "request", turn, id=rpc_id, params=params)

    def decide(self, turn: int, request_id: str, option: str | None, by: str = "user") -> None:
        outcome = "cancelled" if option is None else "selected"
        chosen = {"outcome": outcome, "option_id": option, "decided_by": by}
        self.note("permission_decision", turn, request_id=request_id, **chosen)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, which are the same after everything was computed again."""
        found = self.store.sql(query).fetchall()
        self.store.rebuild()
        assert self.store.sql(query).fetchall() == found
        return found
