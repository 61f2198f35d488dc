"""Every format, on files that our own runs of the real programs left, with a scripted model.

Those of `STORIES` are of the same two turns: a file is written, a command ends with 3, and a second answer. Files of
programs that do not run here are in `test_further_formats.py`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from session_widgets._store.database import Store
from session_widgets._store.formats import formats
from session_widgets._store.formats.contract import (
    Entry,
    Format,
    Head,
    ModelCall,
    Prompt,
    Record,
    Said,
    SessionFacts,
    Source,
    count_of,
    time_of,
)
from session_widgets._store.importing.deriving import Derivation
from session_widgets._store.importing.files import recognise, value_of
from tests.store.importing.contents import RECORDED

pytestmark = pytest.mark.slow

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
    assert looked == ("execute", "exit_code", 3, "cat a.txt; exit 3")
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


class Theirs(Format):
    """A format of another package, as in `docs/formats.md`."""

    name = "my-agent"

    def sniff(self, head: Head) -> bool:
        return any(value["type"] == "my_agent_session" for value in head.objects)

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        for record in records:
            value, at = record.value, time_of(record.value.get("time"))
            if value["type"] == "my_agent_session":
                yield SessionFacts(line=record.line, at=at, native_id=value["id"], harness="my-agent")
            elif value["type"] == "prompt":
                yield Prompt(line=record.line, at=at, blocks=[{"type": "text", "text": value["text"]}])
            elif value["type"] == "answer":
                yield Said(line=record.line, at=at, kind="message", text=value["text"], call_id=value["id"])
                yield ModelCall(line=record.line, at=at, call_id=value["id"], output=count_of(value.get("tokens")))


def test_a_format_of_another_package_is_used_and_its_faults_are_reported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = EntryPoint("my-agent", f"{__name__}:Theirs", "session_widgets.formats")
    gone = EntryPoint("gone", "no_such_package:Format", "session_widgets.formats")
    monkeypatch.setattr(EntryPoint, "load", lambda self: Theirs if self is theirs else __import__("no_such_package"))
    monkeypatch.setattr("session_widgets._store.formats.entry_points", lambda group: [theirs, gone])
    lines = [
        {"type": "my_agent_session", "id": "mine", "time": 1767225600},
        {"type": "prompt", "text": "Hi", "time": 1767225601},
        {"type": "answer", "text": "Ho", "id": "a1", "tokens": 3},
        {"type": "answer"},
        {"type": "prompt", "text": "Again"},
    ]
    write(tmp_path / "a.jsonl", lines)
    formats.cache_clear()
    try:
        with pytest.warns(UserWarning, match="the format 'gone' cannot be loaded"):
            report = store.import_(tmp_path)
    finally:
        formats.cache_clear()
    assert [(issue.code, "KeyError" in issue.detail) for issue in report.issues] == [("format_failed", True)]
    assert store.sql("select harness, turns, created_at::varchar from v_sessions").fetchall() == [
        ("my-agent", 1, "2026-01-01 00:00:00+00")
    ]
    assert store.sql("select text, output_tokens from v_turns").fetchall() == [("Ho", 3)]
    assert store.sql("select count(*) from v_raw_records").fetchall() == [(5,)], "also the lines after the fault"


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


def test_a_call_of_pi_that_the_user_stopped_has_not_failed(store: Store, tmp_path: Path) -> None:
    at = {"timestamp": "2026-01-01T00:00:00Z"}
    call = {"type": "toolCall", "id": "t", "name": "bash", "arguments": {"command": "npm test"}}
    texts = [{"type": "text", "text": "Debugger attached.\n\n\nCommand aborted"}]
    said = [
        {"role": "user", "content": "test it"},
        {"role": "assistant", "content": [call], "stopReason": "toolUse"},
        {"role": "toolResult", "toolCallId": "t", "content": texts, "isError": True},
    ]
    head = {"type": "session", "id": "stopped", "cwd": "/work", **at}
    write(tmp_path / "a.jsonl", [head, *({"type": "message", "message": {**one, **at}, **at} for one in said)])
    store.import_(tmp_path)
    assert store.sql("select failed, failure from v_tool_calls").fetchall() == [(False, "interrupted")]
