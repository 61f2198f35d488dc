"""A session in which everything happens that numbers depend on, in any order: the same for the same chance."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from session_widgets.transcript.records import Draft
from tests.support.drafts import TS, note, opened, update

AGENTS = (
    {"name": "OpenCode", "version": "1.18.33"},
    {"name": "@zed-industries/claude-agent-acp", "version": "0.23.1"},
    {"name": "qwen-code", "version": "0.24.4"},
    {},
)
OPTIONS = [
    {"optionId": "y", "name": "Yes", "kind": "allow_once"},
    {"optionId": "n", "name": "No", "kind": "reject_always"},
]


def made_up(chance: random.Random, length: int) -> list[Draft]:
    """Return that many drafts: turns that end in all ways, late events, costs outside of turns, ids used again."""
    turn, running, connection = 0, False, "c0"
    drafts = [opened(harness="codex")]
    while len(drafts) < length:
        where = turn if running else chance.choice([None, turn or None])  # what comes after its turn's end is late
        draft: Draft
        match chance.randrange(14):
            case 0 if not running:
                turn, running = turn + 1, True
                draft = note("turn_started", 0, turn=turn, prompt=[{"type": "text", "text": "go"}])
            case 1 if running:
                running = False
                status = chance.choice(["completed", "completed", "cancelled", "failed"])
                draft = note("turn_ended", 0, turn=turn, status=status, files=[{"path": "a", "change": "created"}])
            case 2:
                connection, session = f"c{chance.randrange(3)}", chance.choice(["a1", "a2"])
                info, models = chance.choice(AGENTS), {"currentModelId": f"m{chance.randrange(3)}"}
                facts = {"agent_session_id": session, "agent_info": info, "models": models}
                draft = note("agent_started", 0, turn=chance.choice([None, where]), connection=connection, **facts)
            case 3 | 4:
                amount, currency = chance.choice([0, 0.1, 0.25, 1.5, 9e8, 2e12]), chance.choice(["USD", "USD", "EUR"])
                cost = {"amount": amount, "currency": currency}
                draft = update("usage_update", 0, turn=where, used=chance.choice([0, None, 9]), size=99, cost=cost)
            case 5:
                usage = {"inputTokens": chance.choice([0, 7, 2**62]), "outputTokens": chance.choice([0, 3])}
                text = {"type": "text", "text": chance.choice(["", "x"])}
                draft = update("agent_message_chunk", 0, turn=where, content=text, _meta={"usage": usage})
            case 6:
                result = {"stopReason": "end_turn", "usage": {"inputTokens": chance.choice([0, 5])}}
                draft = _envelope("session/prompt", "response", where, result=result)
            case 7:
                tool = {"toolCallId": f"t{chance.randrange(4)}", "title": "w"}
                params = {"toolCall": tool, "options": OPTIONS}
                draft = _envelope("session/request_permission", "request", where, id=chance.randrange(2), params=params)
            case 8:
                answer = {"outcome": chance.choice(["selected", "cancelled"]), "option_id": chance.choice("yn")}
                asked = f"{connection}/{chance.randrange(2)}"
                draft = note("permission_decision", 0, turn=where, request_id=asked, decided_by="user", **answer)
            case 9:
                status = chance.choice(["pending", "in_progress", "completed", "failed"])
                draft = update("tool_call_update", 0, turn=where, toolCallId=f"t{chance.randrange(4)}", status=status)
            case 10:
                draft = note("session_changed", 0, harness=chance.choice(["codex", "opencode"]))
            case 11:
                option = {"id": "m", "category": "model", "currentValue": f"o{chance.randrange(3)}", "options": []}
                draft = update("config_option_update", 0, turn=where, configOptions=[option])
            case 12:
                thread = {"threadStatus": {"type": chance.choice(["active", "systemError"])}}
                draft = update("session_info_update", 0, turn=where, _meta={"codex": thread})
            case _:
                draft = update("agent_message_chunk", 0, turn=where, content={"type": "text", "text": "x"})
        drafts.append(draft)
    return [
        replace(draft, source="k", source_seq=number, ts=TS + timedelta(seconds=number))
        for number, draft in enumerate(drafts, 1)
    ]


def _envelope(method: str, kind: str, turn: int | None, **body: Any) -> Draft:
    return Draft("in", kind, json.dumps(body), "", 0, turn, TS, method)
