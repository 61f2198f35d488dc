"""An agent that says what it has cost so far: the amount is the prompt. Its total is the session's.

A prompt "AMOUNT ask" asks for a permission before its turn ends.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def say(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def update(**fields: Any) -> None:
    say({"method": "session/update", "params": {"sessionId": "a1", "update": fields}})


held: list[object] = []
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("method") is None:
        say({"id": held.pop(), "result": {"stopReason": "end_turn"}})
        continue
    if asked.get("id") is None:
        continue
    result: dict[str, Any] = {}
    if asked["method"] == "initialize":
        result = {"protocolVersion": 1, "agentInfo": {"name": "costing", "version": "1"}, "agentCapabilities": {}}
    elif asked["method"] == "session/new":
        result = {"sessionId": "a1", "models": {"currentModelId": "dear", "availableModels": []}}
    elif asked["method"] == "session/prompt":
        amount, _, asks = asked["params"]["prompt"][-1]["text"].partition(" ")
        update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": "ok"})
        update(sessionUpdate="usage_update", used=5, size=9, cost={"amount": float(amount), "currency": "USD"})
        if asks:
            held.append(asked["id"])
            option = {"optionId": "y", "name": "Yes", "kind": "allow_once"}
            params = {"sessionId": "a1", "toolCall": {"toolCallId": "t", "title": "May I?"}, "options": [option]}
            say({"id": 0, "method": "session/request_permission", "params": params})
            continue
        result = {"stopReason": "end_turn"}
    say({"id": asked["id"], "result": result})
