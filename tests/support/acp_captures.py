"""Recorded ACP traffic as the events that a session would have stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from session_widgets.transcript.envelopes import permission_request_id
from session_widgets.transcript.records import Draft, Event

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def scenarios(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of a capture file by scenario."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        found.setdefault(entry["scenario"], []).append(entry)
    return found


def drafts(lines: list[dict[str, Any]]) -> list[Draft]:
    """One scenario as drafts, with the notes that session_widgets would have added."""
    return list(_Recorder().record(lines))


def events(lines: list[dict[str, Any]], session_id: str = "capture") -> list[Event]:
    """One scenario as committed events."""
    return [
        Event(session_id, seq, d.turn, d.ts, d.direction, d.method, d.kind, json.loads(d.payload))
        for seq, d in enumerate(drafts(lines), 1)
    ]


@dataclass
class _Recorder:
    """Numbers turns, names connections, and tells replays from live updates."""

    turn: int = 0
    running: bool = False
    phase: object = ()
    connection: str = ""
    methods: dict[tuple[str, str], str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    ts: datetime = START

    def record(self, lines: list[dict[str, Any]]) -> Iterator[Draft]:
        phases: dict[object, list[dict[str, Any]]] = {}
        for line in lines:
            phases.setdefault(line.get("phase"), []).append(line)
        yield self.note("session_opened", harness="capture", sandbox="local", workspace="/workspace", title="a capture")
        for line in lines:
            self.ts += timedelta(milliseconds=10)
            if line.get("phase") != self.phase:
                yield from self.end("failed", error="the agent process was replaced")
                self.phase, self.connection = line.get("phase"), f"connection-{len(self.counts)}"
                facts = _started(phases[self.phase])
                yield self.note("agent_started", connection=self.connection, tier="fresh", harness="capture", **facts)
            yield from self.envelope(line["dir"], line["msg"])
        yield from self.end("failed", error="the recording stopped")

    def envelope(self, way: str, message: dict[str, Any]) -> Iterator[Draft]:
        method, kind = message.get("method"), "notification"
        key = (way, json.dumps(message.get("id")))
        if method is None:
            asked = ("c2a" if way == "a2c" else "a2c", key[1])
            method, kind = self.methods.pop(asked, None), "error" if "error" in message else "response"
        elif "id" in message:
            self.methods[key], kind = method, "request"
        elif method == "session/update":
            kind = message["params"]["update"]["sessionUpdate"]
        if way == "c2a" and method == "session/prompt" and kind == "request":
            yield from self.end("completed")
            self.turn, self.running = self.turn + 1, True
            owner = {"pid": 1, "host": "here", "process": "test", "started": START.isoformat()}
            yield self.note("turn_started", prompt=message["params"]["prompt"], idempotency_key=None, owner=owner)
        yield self.draft("out" if way == "c2a" else "in", method, kind, message)
        if way == "c2a" and method == "session/request_permission" and kind == "response":
            outcome = message["result"]["outcome"]
            yield self.note(
                "permission_decision",
                request_id=permission_request_id(self.connection, message["id"]),
                outcome=outcome["outcome"],
                option_id=outcome.get("optionId"),
                decided_by="user",
            )
        if way == "a2c" and method == "session/prompt":
            stop = message.get("result", {}).get("stopReason")
            status = "failed" if kind == "error" else "cancelled" if stop == "cancelled" else "completed"
            yield from self.end(status, stop_reason=stop)

    def end(self, status: str, **fields: Any) -> Iterator[Draft]:
        if self.running:
            files = [{"path": "a.txt", "change": "created", "size": 3}]
            yield self.note("turn_ended", status=status, files=files, **fields)
            self.running = False

    def note(self, kind: str, **fields: Any) -> Draft:
        return self.draft("note", None, kind, fields)

    def draft(self, direction: Any, method: str | None, kind: str, payload: dict[str, Any]) -> Draft:
        source = self.connection if direction == "in" else "kernel:test"
        self.counts[source] = self.counts.get(source, 0) + 1
        turn = self.turn if self.running else None
        return Draft(direction, kind, json.dumps(payload), source, self.counts[source], turn, self.ts, method)


def _started(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What an agent said of itself until its session was ready."""
    facts: dict[str, Any] = {"agent_session_id": None, "agent_info": {}, "config": [], "modes": {}, "models": {}}
    asked: dict[str, dict[str, Any]] = {}
    for line in lines:
        message = line["msg"]
        if line["dir"] == "c2a" and message.get("method", "").split("/")[-1] in {"initialize", "new", "load", "resume"}:
            asked[json.dumps(message.get("id"))] = message["params"]
        if line["dir"] == "c2a" and message.get("method") == "session/prompt":
            break
        params = asked.get(json.dumps(message.get("id"))) if line["dir"] == "a2c" else None
        if params is not None and "result" in message:
            result = message["result"]
            facts["agent_info"] = result.get("agentInfo") or facts["agent_info"]
            facts["agent_session_id"] = result.get("sessionId") or params.get("sessionId") or facts["agent_session_id"]
            for name, acp in (("config", "configOptions"), ("modes", "modes"), ("models", "models")):
                facts[name] = result.get(acp) or facts[name]
    return facts
