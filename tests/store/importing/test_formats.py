"""Every format, on files that our own runs of the real programs left, with a scripted model.

Those of `STORIES` are of the same two turns: a file is written, a command ends with 3, and a second answer. Files of
programs that do not run here are written by hand; `test_tokens.py` has real ones.
"""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from session_widgets._store.database import Store
from session_widgets._store.formats import formats, inspect_log
from session_widgets._store.formats.contract import Record
from session_widgets._store.importing.deriving import Derivation
from session_widgets._store.importing.files import recognise, value_of
from tests.store.importing.test_importing import rows
from tests.support.paths import ROOT

RECORDED = ROOT / "tests" / "fixtures" / "imports"
STORIES = {
    "claude_code/e7fd62cd-05f5-425a-83c0-ad7fbaf99b18.jsonl": ("claude-code", "claude", "2.1.83"),
    "codex/rollout-2026-11-28T12-15-18-01a22214-cf55-7da0-954b-15c58b375ad9.jsonl": ("codex", "codex", "0.137.0"),
    "copilot/events.jsonl": ("copilot", "copilot", "1.0.102"),
    "gemini/session-2026-11-28T12-16-064c79e4.jsonl": ("gemini", "gemini", None),
    "opencode/export.json": ("opencode-export", "opencode", "1.18.33"),
    "pi/session.jsonl": ("pi", "pi", None),
    "qwen/chat.jsonl": ("qwen", "qwen", "0.24.4"),
}
WRITES_BY_COMMAND = {"codex", "copilot"}
COUNTED = {
    "claude": (None, None, "placeholder"),
    "codex": (None, None, "none"),
    "copilot": (16671, 63, "final"),
    "gemini": (None, None, "placeholder"),
    "opencode": (7322, 35, "final"),
    "pi": (1981, 34, "final"),
    "qwen": (23672, 58, "final"),
}
"""Input and output tokens of the first turn: the scripted model tells some programs none."""


@pytest.mark.parametrize("name", STORIES)
def test_the_same_two_turns_read_alike(store: Store, name: str) -> None:
    format_name, harness, version = STORIES[name]
    report = store.import_(RECORDED / name)
    assert report.issues == []
    ((found, by, of, origin, folder),) = store.sql(
        "select format, harness, harness_version, origin, workspace from v_sessions"
    ).fetchall()
    assert (found, by, of, origin) == (format_name, harness, version, "import")
    assert folder == (None if harness == "gemini" else "/work")
    turns = store.sql("select turn, status, text from v_turns order by turn").fetchall()
    assert turns == [(1, "completed", "I write\n\nNow I look\n\nwritten"), (2, "completed", "the second answer")]
    query = """select turn, kind, status, case when kind = 'message' then text end from v_steps where kind <> 'notice'
               order by turn, step"""
    assert store.sql(query).fetchall() == [
        (1, "user", "completed", None),
        (1, "message", "completed", "I write"),
        (1, "tool_call", "completed", None),
        (1, "message", "completed", "Now I look"),
        (1, "tool_call", "failed", None),
        (1, "message", "completed", "written"),
        (2, "user", "completed", None),
        (2, "message", "completed", "the second answer"),
    ]
    query = "select kind, failure, exit_code, command from v_tool_calls order by turn, step"
    wrote, looked = store.sql(query).fetchall()
    assert looked == ("execute", "error", 3, "cat a.txt; exit 3")
    assert wrote[:2] == ("execute" if harness in WRITES_BY_COMMAND else "edit", None)
    files = store.sql("select files[1].change from v_turns where turn = 1").fetchall()
    assert files == [(None if harness in WRITES_BY_COMMAND else "created",)]
    query = "select input_tokens, output_tokens, usage_quality from v_turns where turn = 1"
    assert store.sql(query).fetchall() == [COUNTED[harness]]
    assert store.sql("select bool_and(is_active), bool_or(is_copied) from v_steps").fetchall() == [(True, False)]
    assert store.sql("select bool_and(started_at is not null) from v_steps").fetchall() == [(True,)]


def test_a_run_of_opencode_has_no_prompt(store: Store) -> None:
    store.import_(RECORDED / "opencode" / "run.jsonl")
    assert store.sql("select turn, status, prompt, text, output_tokens from v_turns").fetchall() == [
        (1, "completed", "[]", "no script", 3)
    ]


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


def test_mini_swe_agent(store: Store) -> None:
    store.import_(RECORDED / "mini_swe_agent")
    assert store.sql(TURNS).fetchall() == [(1, "failed", None, None, None, None, COST("0.25"), "final")]
    assert store.sql("select error, harness_version from v_turns join v_sessions using (session_id)").fetchall() == [
        ("LimitsExceeded", "1.14")
    ]
    assert store.sql(CALLS).fetchall() == [("execute", "error", 1, "cat a.py")]


def test_openhands(store: Store) -> None:
    store.import_(RECORDED / "openhands")
    assert store.sql(TURNS).fetchall() == [(1, "completed", "end_turn", 80, 140, 15, COST("0.0025"), "final")]
    assert store.sql("select count(*), sum(cache_write_tokens) from v_llm_calls").fetchall() == [(2, 30)]
    assert store.sql(STEPS).fetchall() == [
        ("notice", "Be good."), ("user", "Write it"), ("thought", "Which file?"), ("message", "I write"),
        ("message", "written"),
    ]  # fmt: skip
    assert store.sql(CALLS).fetchall() == [("execute", "error", 3, "exit 3")]


def test_codex_exec(store: Store) -> None:
    store.import_(RECORDED / "codex_exec")
    assert store.sql(TURNS).fetchall() == [(1, "completed", "end_turn", 40, 60, 7, None, "final")]
    assert store.sql("select usage_scope from v_llm_calls").fetchall() == [("turn",)]
    assert store.sql(CALLS).fetchall() == [("execute", "error", 3, "bash -lc 'exit 3'"), ("edit", None, None, None)]
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


FILES = sorted(path.relative_to(RECORDED).as_posix() for path in RECORDED.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", FILES)
def test_exactly_one_format_recognises_a_file_whatever_its_name(tmp_path: Path, name: str, monkeypatch: Any) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes((RECORDED / name).read_bytes())
    seen = []
    for each in formats():
        monkeypatch.setattr(
            "session_widgets._store.importing.files.format_of", lambda head, each=each: each.sniff(head)
        )
        seen += [each.name] if recognise(path)[0] else []
    assert len(seen) == 1


ODD = [None, True, 0, -1, 10**30, 1e300, "", "x", "\0", "2026", [], [None], {}, {"type": 1}, [[]], {"a": {"b": []}}]


@pytest.mark.parametrize("name", FILES)
def test_no_odd_value_stops_a_format(name: str) -> None:
    """Each record is changed in one place, at random, so that its value has another type or none."""
    path, chance = RECORDED / name, random.Random(name)
    kind, _ = recognise(path)
    assert kind is not None
    data = path.read_bytes()
    values = [value_of(line) for line in (data.splitlines() if kind.layout == "lines" else [data])]
    for _ in range(60):
        changed = json.loads(json.dumps(values))
        for place in chance.sample(range(len(changed)), min(3, len(changed))):
            spot = chance.choice(list(places(changed[place])) or [None])
            if spot is not None:
                spot[0][spot[1]] = chance.choice(ODD)
        derivation = Derivation(kind, str(path), {}, lambda _: False)
        for _ in derivation.run(Record(line, value) for line, value in enumerate(changed, 1)):
            pass
        assert [problem for problem in derivation.problems if problem.code == "format_failed"] == []
        derivation.rows()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with each of its keys."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in entries:
        yield value, key
        yield from places(each)


def codex(*totals: tuple[int, int, int, int], session: str = "root", **meta: Any) -> list[dict[str, Any]]:
    """A rollout whose `token_count` events have these totals."""
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    lines: list[dict[str, Any]] = [{"type": "session_meta", "payload": {"id": session, "cwd": "/work", **meta}}]
    for total in totals:
        info = {"total_token_usage": dict(zip(names, total, strict=True))}
        lines.append({"type": "event_msg", "payload": {"type": "token_count", "info": info}})
    return lines


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


CLASSES = "sum(input_uncached_tokens), sum(cache_read_tokens), sum(output_tokens), sum(reasoning_tokens), count(*)"


def test_codex_counts_the_growth_of_its_totals_once(store: Store, tmp_path: Path) -> None:
    first, second, third = (100, 40, 10, 4), (300, 140, 30, 9), (350, 140, 31, 9)
    root = codex(first, first, second, second)
    write(tmp_path / "root.jsonl", root)
    fork = codex(session="fork", forked_from_id="root")
    write(tmp_path / "fork.jsonl", [*fork, *codex(first, second, third)])  # with the history of the root, and its head
    spawned = codex(session="agent", source={"subagent": {"thread_spawn": {"parent_thread_id": "root"}}})
    write(tmp_path / "agent.jsonl", [*spawned, *codex(first)[1:], *codex((120, 40, 11, 4))[1:]])
    write(tmp_path / "other.jsonl", codex(first, session="other"))  # the same totals by chance
    store.import_(tmp_path)
    query = (
        f"select agent_session_id, {CLASSES} from v_llm_calls join v_sessions using (session_id) group by 1 order by 1"
    )
    assert store.sql(query).fetchall() == [
        ("agent", 20, 0, 1, 0, 1),
        ("fork", 50, 0, 1, 0, 1),
        ("other", 60, 40, 10, 4, 1),
        ("root", 160, 140, 30, 9, 2),
    ]
    query = "select owner_session_id, count(*) from v_llm_calls group by 1 order by 1"
    assert store.sql(query).fetchall() == [("fork", 1), ("other", 1), ("root", 3)]
    query = "select session_id, kind, parent_session_id from v_lineage order by 1"
    assert store.sql(query).fetchall() == [("agent", "subagent", "root"), ("fork", "fork", "root")]


def test_codex_totals_that_begin_again_are_added(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", codex((100, 0, 10, 0), (200, 0, 20, 0), (30, 0, 3, 0)))
    store.import_(tmp_path)
    assert store.sql(f"select {CLASSES} from v_llm_calls").fetchall() == [(230, 0, 23, 0, 3)]


def test_codex_turns_that_were_rolled_back_are_not_active(store: Store, tmp_path: Path) -> None:
    def event(kind: str, **more: Any) -> dict[str, Any]:
        return {"type": "event_msg", "payload": {"type": kind, **more}}

    asked = [event("user_message", message=text) for text in ("one", "two", "three")]
    lines = [*codex(), *asked[:2], event("thread_rolled_back", num_turns=1), asked[2], event("turn_aborted")]
    write(tmp_path / "a.jsonl", lines)
    store.import_(tmp_path)
    query = "select text, is_active from v_steps order by turn"
    assert store.sql(query).fetchall() == [("one", True), ("two", False), ("three", True)]
    assert store.sql("select status from v_turns order by turn").fetchall()[-1] == ("cancelled",)


def test_a_tree_of_pi_has_one_active_branch(store: Store, tmp_path: Path) -> None:
    def said(uid: str, parent: str | None, role: str, text: str) -> dict[str, Any]:
        message = {"role": role, "content": [{"type": "text", "text": text}], "timestamp": 1}
        return {
            "type": "message",
            "id": uid,
            "parentId": parent,
            "timestamp": "2026-01-01T00:00:00Z",
            "message": message,
        }

    head = {"type": "session", "version": 3, "id": "tree", "timestamp": "2026-01-01T00:00:00Z", "cwd": "/work"}
    lines = [
        head, said("a", None, "user", "one"), said("b", "a", "assistant", "1"), said("c", "b", "user", "two"),
        said("d", "c", "assistant", "2"), said("e", "b", "user", "other"), said("f", "e", "assistant", "3"),
    ]  # fmt: skip
    write(tmp_path / "a.jsonl", lines)
    store.import_(tmp_path)
    query = "select text from v_steps where is_active order by turn, step"
    assert [text for (text,) in store.sql(query).fetchall()] == ["one", "1", "other", "3"]
