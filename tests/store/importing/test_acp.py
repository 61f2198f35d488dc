"""Recorded traffic of ACP reads alike, whether it was stored live or is imported as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from session_widgets._store.database import Store
from tests.support.acp_captures import drafts, scenarios
from tests.support.paths import CAPTURES

pytestmark = pytest.mark.slow

STEPS = """select turn, step, kind, status, text, title, tool_kind, failure, content, raw_input, raw_output, entries
           from v_steps where session_id = ? order by turn, step"""
TOOLS = "select command, exit_code, path from v_tool_calls where session_id = ? order by turn, step"
TURNS = """select turn, status, stop_reason, text, input_tokens, output_tokens, cached_read_tokens, usage_quality, model
           from v_turns where session_id = ? order by turn"""
NAMES = sorted(path.stem for path in CAPTURES.glob("*.ndjson"))


def read(store: Store, session_id: str) -> list[list[Any]]:
    return [store.sql(query, [session_id]).fetchall() for query in (STEPS, TOOLS, TURNS)]


@pytest.mark.parametrize("name", NAMES)
def test_an_imported_trace_reads_like_the_live_session(store: Store, tmp_path: Path, name: str) -> None:
    (lines,) = scenarios(CAPTURES / f"{name}.ndjson").values()
    store.append("live", drafts(lines))
    path = tmp_path / f"{name}.ndjson"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (imported,) = store.import_(path).sessions
    live, ours = read(store, "live"), read(store, imported)
    for mine in (live, ours):
        mine[0] = [row for row in mine[0] if row[1] or row[2] != "notice"]
    assert ours == live
    scopes = "select distinct usage_scope from v_turns where session_id = ? and input_tokens is not null"
    assert store.sql(scopes, [imported]).fetchall() == store.sql(scopes, ["live"]).fetchall()


@pytest.mark.parametrize("wrap", ["bare", "sdk"])
def test_bare_envelopes_and_those_of_the_sdk_are_read_too(store: Store, tmp_path: Path, wrap: str) -> None:
    (lines,) = scenarios(CAPTURES / "claude-rich.ndjson").values()
    path = tmp_path / "a.ndjson"
    if wrap == "bare":
        said = [line["msg"] for line in lines]
    else:
        sender = {"c2a": "client", "a2c": "agent"}
        said = [
            {"id": str(n), "eventIndex": n, "sessionId": "local-1", "createdAt": 1795226732316 + n,
             "sender": sender[line["dir"]], "payload": line["msg"]}
            for n, line in enumerate(lines)
        ]  # fmt: skip
    path.write_text("".join(json.dumps(each) + "\n" for each in said))
    (session_id,) = store.import_(path).sessions
    assert session_id == ("local-1" if wrap == "sdk" else "e497dd6e-a6a9-456e-9c4f-45b73c530849")
    query = "select harness, harness_version, workspace from v_sessions"
    assert store.sql(query).fetchall() == [("Claude Agent", "0.23.1", "/workspace")]
    query = "select kind, exit_code from v_tool_calls order by step"
    assert store.sql(query).fetchall() == [
        ("edit", None), ("read", None), ("edit", None), ("execute", 3), ("search", None),
    ]  # fmt: skip
    timed = store.sql(
        "select bool_and(started_at is not null), bool_or(started_at is not null) from v_steps"
    ).fetchall()
    assert timed == [(wrap == "sdk", wrap == "sdk")]
