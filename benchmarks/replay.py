"""A replay of 50,000 steps: reading it once, then going to any of its events."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime, timedelta

from benchmarks.figures import Figure, Reference, percentile
from session_widgets.replaying import Recording
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Event
from session_widgets.widgets._replay_wire import moment_view

TURNS, STEPS = 50, 1_000
SEEKS = 300
AIM = 0.05
TS = datetime(2026, 11, 21, 9, tzinfo=UTC)


def measure(runs: int) -> list[Figure]:
    """Measure the read in each run, and the time of a seek, whose 95th percentile is the figure."""
    events = _events()
    reads, seeks, bytes_sent = [], [], 0
    for number in range(runs):
        began = time.perf_counter()
        recording = Recording("s")
        recording.feed(events)
        reads.append(time.perf_counter() - began)
        chance, before, took = random.Random(number), 0, []
        for _ in range(SEEKS):
            seq = chance.randrange(1, recording.last_seq + 1)
            began = time.perf_counter()
            answer = json.dumps(moment_view(recording, seq, before))
            took.append(time.perf_counter() - began)
            before, bytes_sent = seq, max(bytes_sent, len(answer))
        seeks.append(percentile(took, 95))
    steps = f"{len(recording.keys):,} steps, {len(events):,} events"
    return [
        Figure("replay, seek to any event, p95", "s", seeks, AIM, remark=f"{steps}; {bytes_sent:,} bytes at most"),
        Figure("replay, read once", "s", reads, beside=Reference("the fold alone", [_folded(events)]), remark=steps),
    ]


def _folded(events: list[Event]) -> float:
    fold, began = Fold("s"), time.perf_counter()
    for event in events:
        fold.feed(event)
    return time.perf_counter() - began


def _events() -> list[Event]:
    made: list[Event] = []

    def add(turn: int | None, direction: str, kind: str, payload: dict[str, object]) -> None:
        ts = TS + timedelta(seconds=len(made))
        method = None if direction == "note" else "session/update"
        made.append(Event("s", len(made) + 1, turn, ts, direction, method, kind, payload))  # type: ignore[arg-type]  # literals above

    def update(turn: int, update: str, /, **fields: object) -> None:
        params = {"update": {"sessionUpdate": update, **fields}}
        add(turn, "in", update, {"method": "session/update", "params": params})

    add(None, "note", "session_opened", {"harness": "demo", "sandbox": "local", "workspace": "/w", "title": "long"})
    for turn in range(1, TURNS + 1):
        add(turn, "note", "turn_started", {"prompt": [{"type": "text", "text": f"part {turn}"}]})
        for number in range(1, STEPS, 2):
            update(turn, "agent_message_chunk", content={"type": "text", "text": f"step {number} " * 20})
            name = f"{turn}.{number}"
            kind = ("execute", "edit", "read", "search")[number // 2 % 4]
            said = {"command": f"ls {number}"} if kind == "execute" else {"file_path": f"/w/{number % 200}.py"}
            said |= {"content": f"text {name}\n" * 40} if kind == "edit" else {}
            update(turn, "tool_call", toolCallId=name, title=name, kind=kind, status="in_progress", rawInput=said)
            out = {"type": "content", "content": {"type": "text", "text": f"line of {name}\n" * 20}}
            update(turn, "tool_call_update", toolCallId=name, status="completed", content=[out])
        add(turn, "note", "turn_ended", {"status": "completed", "files": []})
    return made
