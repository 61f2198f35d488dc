"""Each record as a row, column by column, and the record that is read back: no store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from session_widgets._store import rows
from session_widgets._store.payload import encode
from session_widgets.transcript.permissions import PermissionRecord
from session_widgets.transcript.records import (
    FileChange,
    PermissionOption,
    PermissionState,
    SessionRecord,
    Step,
    TurnRecord,
    Usage,
)
from session_widgets.transcript.state import FoldState

T0 = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
T1, T2 = T0 + timedelta(seconds=1), T0 + timedelta(seconds=2)
SESSION = SessionRecord(
    "s", "codex", "docker", "/w", T0, T1, title="t", model="m", mode="plan", effort="high", sandbox_ref="docker:1",
    sandbox_running=True, launch="l", connection="c1", agent_session_id="a1", turns=3, status="idle", attachment="sync",
    mount_report="r", title_by_agent=True, forked_from="p", forked_at_turn=4, confine=True,
)  # fmt: skip
STATE = FoldState(
    session=SESSION,
    connection="c1",
    agent_session_id="a1",
    agent="Codex 1",
    model="m",
    asked_model=("7", "n"),
    totals={"USD": Decimal("1.25")},
    outside=(("codex", "USD", Decimal("0.5")), ("", "", Decimal(2))),
)
USAGE = Usage(
    input_tokens=1, output_tokens=2, cached_read_tokens=3, cached_write_tokens=4, thought_tokens=5, total_tokens=6,
    context_used=7, context_size=8, cost=0.75, currency="USD", scope="turn", quality="final", remark="x",
)  # fmt: skip
TOKENS = {
    "input_tokens": 1,
    "output_tokens": 2,
    "cached_read_tokens": 3,
    "cached_write_tokens": 4,
    "thought_tokens": 5,
    "total_tokens": 6,
}
ABOUT = {"usage_scope": "turn", "usage_quality": "final", "usage_remark": "x"}
FILES = (FileChange("a", "created", 3),)
TURN = TurnRecord(
    "s", 2, "completed", ({"type": "text", "text": "go"},), T0, ended_at=T1, text="said", stop_reason="end_turn",
    usage=USAGE, files=FILES, tier="warm", durable_at=T2, durability_error="d", error="e", idempotency_key="k",
    owner={"pid": 1}, harness="codex", model="m", waited_s=1.5, failure="no_answer",
)  # fmt: skip
OPTIONS = (PermissionOption("y", "Yes", "allow_once"), PermissionOption("n", "No", "reject_once"))
ASKED = PermissionState("c1/0", OPTIONS, "selected", "n", "user", "why")
STEP = Step(
    "s", 2, 4, "tool_call", 8, 9, T0, T1, "completed", text="x", tool_call_id="t", title="run", tool_kind="execute",
    tool_name="shell",
    parent=3,
    content=({"type": "content"},), locations=({"path": "a"},), raw_input={"command": "ls -l"}, raw_output={"o": 1},
    entries=({"content": "e"},), permission=ASKED, waited_s=0.5, failure="rejected", exit_code=3,
)  # fmt: skip


def read(value: Any) -> Any:
    return None if value is None else orjson.loads(value)


def test_a_session() -> None:
    row = rows.session_row("s", STATE, "kernel/1", 12, 5)
    assert row == {
        "session_id": "s",
        "origin": "kernel/1",
        "last_seq": 12,
        "context": encode(STATE),
        "harness": "codex",
        "sandbox": "docker",
        "workspace": "/w",
        "title": "t",
        "model": "m",
        "mode": "plan",
        "effort": "high",
        "status": "idle",
        "sandbox_ref": "docker:1",
        "connection": "c1",
        "agent_session_id": "a1",
        "turns": 5,
        "created_at": T0,
        "updated_at": T1,
        "forked_from": "p",
        "forked_at_turn": 4,
    }
    assert rows.read_session(row) == SESSION
    assert rows.state_of(row["context"]) == STATE
    empty = rows.session_row("s", FoldState(), "o", 1, 0)
    assert empty == {"session_id": "s", "origin": "o", "last_seq": 1, "context": encode(FoldState()), "turns": 0}
    assert rows.read_session(empty) is None
    assert rows.state_of(empty["context"]) == FoldState()


def test_a_turn() -> None:
    row = rows.turn_row(TURN, 8, STATE)
    assert row == {
        "session_id": "s",
        "turn": 2,
        "first_seq": 8,
        "context": encode(STATE),
        "status": "completed",
        "prompt": '[{"type":"text","text":"go"}]',
        "text": "said",
        "stop_reason": "end_turn",
        "error": "e",
        "tier": "warm",
        "started_at": T0,
        "ended_at": T1,
        "durable_at": T2,
        "durability_error": "d",
        "idempotency_key": "k",
        "owner": '{"pid":1}',
        **TOKENS,
        "cost": "0.75",
        "currency": "USD",
        **ABOUT,
        "context_used": 7,
        "context_size": 8,
        "harness": "codex",
        "model": "m",
        "waited_s": 1.5,
        "failure": "no_answer",
    }
    assert rows.read_turn({**row, "cost": Decimal("0.75")}, FILES) == TURN
    running = replace(TURN, ended_at=None, owner=None, usage=Usage(), files=())
    row = rows.turn_row(running, 8, STATE)
    assert (row["text"], row["ended_at"], row["owner"], row["cost"]) == (None, None, None, None)
    assert rows.read_turn(row, ()) == replace(running, text="")


def test_a_step() -> None:
    row = rows.step_row(STEP)
    assert {name: read(row.pop(name)) for name in ("content", "locations", "raw_input", "raw_output", "entries")} == {
        "content": [{"type": "content"}],
        "locations": [{"path": "a"}],
        "raw_input": {"command": "ls -l"},
        "raw_output": {"o": 1},
        "entries": [{"content": "e"}],
    }
    assert read(row.pop("permission")) == {
        "request_id": "c1/0",
        "options": [
            {"id": "y", "name": "Yes", "kind": "allow_once"},
            {"id": "n", "name": "No", "kind": "reject_once"},
        ],
        "outcome": "selected",
        "option_id": "n",
        "decided_by": "user",
        "reason": "why",
    }
    assert row == {
        "session_id": "s",
        "turn": 2,
        "step": 4,
        "kind": "tool_call",
        "status": "completed",
        "text": "x",
        "tool_call_id": "t",
        "title": "run",
        "tool_kind": "execute",
        "tool_name": "shell",
        "parent": 3,
        "command": "ls -l",
        "exit_code": 3,
        "permission_outcome": "rejected",
        "first_seq": 8,
        "last_seq": 9,
        "started_at": T0,
        "ended_at": T1,
        "waited_s": 0.5,
        "failure": "rejected",
    }
    assert rows.read_step(rows.step_row(STEP)) == STEP


def test_a_step_that_is_no_call() -> None:
    step = replace(STEP, kind="message", raw_output=None, permission=None)
    row = rows.step_row(step)
    assert (row["command"], row["raw_output"], row["permission"], row["permission_outcome"]) == (None,) * 4
    assert rows.read_step(row) == step
    assert rows.step_row(replace(step, raw_input=None))["raw_input"] is None


@pytest.mark.parametrize(
    ("option", "outcome", "kind"),
    [("n", "rejected", "reject_once"), ("y", "allowed", "allow_once"), ("z", "allowed", None)],
)
def test_a_permission(option: str, outcome: str, kind: str | None) -> None:
    state = replace(ASKED, option_id=option)
    row = rows.permission_row("s", PermissionRecord(2, 4, 8, T0, state, T1))
    assert [each["id"] for each in read(row.pop("options"))] == ["y", "n"]
    assert row == {
        "session_id": "s",
        "asked_seq": 8,
        "request_id": "c1/0",
        "turn": 2,
        "step": 4,
        "requested_at": T0,
        "decided_at": T1,
        "outcome": outcome,
        "option_id": option,
        "option_kind": kind,
        "decided_by": "user",
        "reason": "why",
    }


def test_what_was_counted_in_a_turn() -> None:
    where = {"session_id": "s", "turn": 2, "harness": "codex", "model": "m", "ended_at": T1}
    whole = {"llm_call_id": "s/2", **where, **TOKENS, "cost": "0.75", "currency": "USD", **ABOUT}
    assert rows.llm_call_rows(TURN, {}) == [whole]
    assert rows.llm_call_rows(TURN, {"USD": Decimal("0.75")}) == [whole]
    nothing = replace(TURN, usage=Usage(context_used=5))
    assert rows.llm_call_rows(nothing, {}) == []
    (row,) = rows.llm_call_rows(nothing, {"": Decimal(1)})
    assert (row["llm_call_id"], row["input_tokens"], row["cost"]) == ("s/2", None, None)
    assert len(rows.llm_call_rows(replace(TURN, usage=Usage(thought_tokens=0)), {})) == 1


def test_costs_in_several_currencies_have_a_row_each() -> None:
    costs = {"USD": Decimal("0.75"), "": Decimal(2), "EUR": Decimal("3.5")}
    found = rows.llm_call_rows(TURN, costs)
    where = {"session_id": "s", "turn": 2, "harness": "codex", "model": "m", "ended_at": T1}
    nothing = dict.fromkeys((*TOKENS, *ABOUT))
    by_id = {row["llm_call_id"]: row for row in found}
    first = found[0]
    assert first["llm_call_id"] == "s/2"
    assert {name: first[name] for name in (*TOKENS, *ABOUT)} == {**TOKENS, **ABOUT}
    assert {(row["currency"], row["cost"]) for row in found} == {("USD", "0.75"), (None, "2.0"), ("EUR", "3.5")}
    for row in found[1:]:
        assert row["llm_call_id"] == f"s/2/{row['currency'] or ''}"
        assert {name: row[name] for name in nothing} == nothing
    assert all({name: row[name] for name in where} == where for row in found)
    assert len(by_id) == 3
    assert len(rows.llm_call_rows(TURN, dict(list(costs.items())[:2]))) == 2


def test_what_was_spent_in_no_turn() -> None:
    fixed = {
        "session_id": "s",
        "turn": None,
        "model": None,
        **dict.fromkeys(TOKENS),
        "usage_scope": "session",
        "usage_quality": "none",
        "usage_remark": "the agent reported this cost in no turn",
        "ended_at": None,
    }
    assert rows.outside_rows("s", STATE) == [
        {"llm_call_id": "s/outside/codex/USD", "harness": "codex", "cost": "0.5", "currency": "USD", **fixed},
        {"llm_call_id": "s/outside//", "harness": None, "cost": "2.0", "currency": None, **fixed},
    ]
    assert rows.outside_rows("s", FoldState()) == []


def test_a_file_that_a_turn_changed() -> None:
    assert rows.file_change_row(TURN, FILES[0]) == {
        "session_id": "s",
        "turn": 2,
        "path": "a",
        "change": "created",
        "size": 3,
    }
