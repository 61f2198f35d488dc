"""Formats of programs that do not run here: files written by hand after real ones, which `test_tokens.py` has."""

from __future__ import annotations

import json
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from session_widgets._store.database import Store
from session_widgets._store.formats import inspect_log
from tests.store.importing.contents import RECORDED, rows

pytestmark = pytest.mark.slow

CALLS = """select c.kind, c.failure, c.exit_code, c.command from v_tool_calls c order by session_id, turn, step"""
STEPS = "select kind, text from v_steps where kind not in ('tool_call', 'plan') order by session_id, turn, step"
TURNS = """select turn, status, stop_reason, input_tokens, cached_read_tokens, output_tokens, cost, usage_quality
           from v_turns order by session_id, turn"""
COST = Decimal


def test_atif(store: Store) -> None:
    store.import_(RECORDED / "atif")
    query = "select session_id, harness, harness_version, model from v_sessions order by 1"
    assert store.sql(query).fetchall() == [
        ("atif-1", "my-agent", "1.0", "some-model"),
        ("atif-1-sub", "my-agent", "1.0", None),
    ]
    assert store.sql(TURNS).fetchall() == [
        (1, "completed", None, 70, 160, 25, COST("0.003"), "final"),
        (1, "completed", None, 10, None, 1, None, "final"),
    ]
    assert store.sql(STEPS).fetchall() == [
        ("notice", "Be good."), ("user", "Write it"), ("thought", "Which file?"), ("message", "I write"),
        ("message", "written"), ("user", "Look"), ("message", "Nothing"),
    ]  # fmt: skip
    assert store.sql(CALLS).fetchall() == [("execute", None, None, "echo hello > a.txt")]
    assert store.sql("select session_id, parent_session_id from v_lineage").fetchall() == [("atif-1-sub", "atif-1")]


def test_swe_agent(store: Store) -> None:
    report = store.import_(RECORDED / "swe_agent")
    assert report.sessions == ("django__x-1",)
    assert store.sql(TURNS).fetchall() == [(1, "completed", None, 1000, None, 50, COST("0.5"), "final")]
    assert store.sql("select usage_scope, model from v_llm_calls").fetchall() == [("session", None)]
    assert store.sql(CALLS).fetchall() == [
        ("read", None, None, "open a.py"), ("execute", None, None, "python a.py"), ("execute", None, None, "submit"),
    ]  # fmt: skip
    query = "select status, content ->> '$[0].content.text' from v_tool_calls order by step"
    assert store.sql(query).fetchall() == [("completed", "x = 1"), ("completed", "it ran"), ("unfinished", None)]
    query = "select bool_and(started_at is null), bool_and(ended_at is null) from v_steps"
    assert store.sql(query).fetchall() == [(True, True)], "the file has no times"
    assert all(step.started_at is not None for step in store.steps("django__x-1"))


def test_an_edit_of_swe_agent_has_the_file_that_was_open_and_its_refusal(store: Store, tmp_path: Path) -> None:
    done = [
        ("create a.py", "[File: /w/a.py (1 lines total)]\n1:"),
        ("edit 1:1\nx = (\nend_of_edit", "Your proposed edit has introduced new syntax error(s)."),
        ("edit 1:1\nx = 1\nend_of_edit", "[File: /w/a.py (1 lines total)]\n1:x = 1\n(Open file: /w/a.py)"),
        ("python a.py", "\nEXECUTION TIMED OUT\n(Open file: /w/a.py)"),
    ]
    steps = [{"action": action, "observation": seen, "state": '{"working_dir": "/w"}'} for action, seen in done]
    (tmp_path / "run.traj").write_text(json.dumps({"trajectory": steps, "info": {"exit_status": "submitted"}}))
    store.import_(tmp_path)
    assert store.sql("select path_rel, failure from v_tool_calls order by step").fetchall() == [
        ("a.py", None), ("a.py", "error"), ("a.py", None), (None, "timeout"),
    ]  # fmt: skip
    assert store.sql("select path, edits from v_files").fetchall() == [("a.py", 3)]


def test_mini_swe_agent(store: Store) -> None:
    store.import_(RECORDED / "mini_swe_agent")
    assert store.sql(TURNS).fetchall() == [(1, "failed", None, None, None, None, COST("0.25"), "final")]
    assert store.sql("select error, harness_version from v_turns join v_sessions using (session_id)").fetchall() == [
        ("LimitsExceeded", "1.14")
    ]
    assert store.sql(CALLS).fetchall() == [("execute", "exit_code", 1, "cat a.py")]


def test_openhands(store: Store) -> None:
    store.import_(RECORDED / "openhands")
    assert store.sql(TURNS).fetchall() == [(1, "completed", "end_turn", 80, 140, 15, COST("0.0025"), "final")]
    assert store.sql("select count(*), sum(cache_write_tokens) from v_llm_calls").fetchall() == [(2, 30)]
    assert store.sql(STEPS).fetchall() == [
        ("notice", "Be good."), ("user", "Write it"), ("thought", "Which file?"), ("message", "I write"),
        ("message", "written"),
    ]  # fmt: skip
    assert store.sql(CALLS).fetchall() == [("execute", "exit_code", 3, "exit 3")]


def test_codex_exec(store: Store) -> None:
    store.import_(RECORDED / "codex_exec")
    assert store.sql(TURNS).fetchall() == [(1, "completed", "end_turn", 40, 60, 7, None, "final")]
    assert store.sql("select usage_scope from v_llm_calls").fetchall() == [("turn",)]
    assert store.sql(CALLS).fetchall() == [("execute", "exit_code", 3, "bash -lc 'exit 3'"), ("edit", None, None, None)]
    assert store.sql("select files[1].path, files[1].change from v_turns").fetchall() == [("a.txt", "created")]
    assert store.sql("select entries ->> '$[0].status' from v_steps where kind = 'plan'").fetchall() == [("completed",)]


def eval_of(log: Path, to: Path, **more: str) -> Path:
    """The log as an `.eval` archive."""
    said = json.loads(log.read_text())
    samples = said.pop("samples")
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(said))
        for number, sample in enumerate(samples):
            archive.writestr(f"samples/{number}.json", json.dumps(sample))
        for name, text in more.items():
            archive.writestr(name, text)
    return to


@pytest.mark.parametrize("kind", ["inspect-json", "inspect-eval"])
def test_inspect(store: Store, tmp_path: Path, kind: str) -> None:
    log = RECORDED / "inspect" / "log.json"
    path = log if kind == "inspect-json" else eval_of(log, tmp_path / "log.eval")
    report = store.import_(path)
    assert (report.files[0].format, len(report.sessions)) == (kind, 2)
    assert store.sql("select title, model from v_sessions order by title").fetchall() == [
        ("adding 1/1", "openai/some-model"), ("adding 1/2", "openai/some-model"),
    ]  # fmt: skip
    query = f"select * exclude (session_id) from ({TURNS.replace('turn,', 'session_id, turn,', 1)})"
    assert sorted(store.sql(query).fetchall()) == [
        (1, "completed", "end_turn", 210, 60, 18, None, "final"),
        (1, "failed", None, 10, None, 1, None, "final"),
    ]
    query = """select llm_call_id, agent_id, model_requested, input_uncached_tokens, usage_scope, duration_s
               from v_llm_calls order by 1"""
    assert store.sql(query).fetchall() == [
        ("ev/1/2/openai/some-model", None, None, 10, "session", None),
        ("m1", None, "openai/some-model", 40, "call", 1.5),
        ("m2", None, "openai/some-model", 120, "call", None),
        ("m3", "scorer", "openai/some-model", 50, "call", None),
    ]
    assert store.sql("select command, content ->> '$[0].content.text' from v_tool_calls").fetchall() == [
        ("echo 2", "attached")
    ]
    before = rows(store)
    store.rebuild()
    assert rows(store) == before
    assert store.import_(path).counts["files_unchanged"] == 1


@pytest.mark.parametrize("kind", ["otel-document", "otel"])
def test_opentelemetry(store: Store, tmp_path: Path, kind: str) -> None:
    path = RECORDED / "otel" / "spans.json"
    if kind == "otel":
        path = tmp_path / "spans.jsonl"
        said = json.loads((RECORDED / "otel" / "spans.json").read_text())
        spans = said["resourceSpans"][0]["scopeSpans"][0]["spans"]
        one = {"resourceSpans": [{"scopeSpans": [{"spans": spans[:2]}]}]}
        said["resourceSpans"][0]["scopeSpans"][0]["spans"] = spans[2:]
        path.write_text(json.dumps(said) + "\n" + json.dumps(one) + "\n")
    report = store.import_(path)
    assert (report.files[0].format, report.sessions, report.issues) == (kind, ("conv-1",), [])
    assert store.sql("select harness from v_sessions").fetchall() == [("my-agent",)]
    assert store.sql(TURNS).fetchall() == [(1, "completed", "end_turn", 150, 100, 14, None, "final")]
    assert store.sql(STEPS).fetchall() == [("user", "Write it"), ("message", "I write"), ("message", "written")]
    assert store.sql(CALLS).fetchall() == [("execute", "error", None, "exit 3")]
    query = "select llm_call_id, provider, model, model_requested, duration_s from v_llm_calls order by 1"
    assert store.sql(query).fetchall() == [
        ("r1", "openai", "some-1", "some", 1.0),
        ("r2", "openai", "some-1", "some", 1.0),
    ]


def test_an_archive_that_would_unpack_to_gigabytes_is_a_stated_reason(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_log, "LARGEST", 100_000)
    bomb = eval_of(RECORDED / "inspect" / "log.json", tmp_path / "bomb.eval", zeros="0" * 200_000)
    report = store.import_(bomb)
    assert [(issue.code, "unpacked it has" in issue.detail) for issue in report.issues] == [("malformed", True)]
    assert report.sessions == ()
    damaged = tmp_path / "damaged.eval"
    data = bytearray(eval_of(RECORDED / "inspect" / "log.json", damaged).read_bytes())
    data[60:80] = bytes(20)
    damaged.write_bytes(data)
    assert [issue.code for issue in store.import_(damaged).issues] == ["malformed"]
