"""Programs of others judge exports: Harbor ATIF, Inspect AI `.eval` logs, OpenTelemetry's package names of spans."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.semconv import attributes
from opentelemetry.semconv._incubating import attributes as _incubating_attributes
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from session_widgets._store.database import Store
from tests.store.importing.claude import story, text, tool
from tests.store.importing.contents import RECORDED
from tests.support.drafts import note, opened, update
from tests.support.needs import VALIDATORS

SCRIPT = """
import json, sys
from harbor.utils.trajectory_validator import TrajectoryValidator
for path in sys.argv[1:]:
    judge = TrajectoryValidator()
    print(json.dumps([judge.validate(json.load(open(path))), judge.errors]))
"""

INSPECT = """
import json, sys
from inspect_ai.analysis import messages_df
from inspect_ai.log import read_eval_log
frame = messages_df(sys.argv[1:], quiet=True)
for path in sys.argv[1:]:
    log = read_eval_log(path)
    (sample,) = log.samples
    rows = frame[frame["eval_id"] == log.eval.eval_id]
    said = [(message.role, message.text) for message in sample.messages]
    assert [*zip(rows["role"], rows["content"])] == said, path
    tools = [event.function for event in sample.events if event.event == "tool"]
    print(json.dumps([log.status, len(said), tools]))
"""


@pytest.mark.needs("validators")
def test_harbor_accepts_every_trajectory(store: Store, tmp_path: Path) -> None:
    log = story().assistant("a7", "msg_7", tool("t7", "Task", prompt="Look around"))
    log.user("s1", "Look around", parent=None, isSidechain=True)
    log.assistant("s2", "msg_s", text("Nothing here."), isSidechain=True).result("r7", "t7", "Nothing.", parent="a7")
    (tmp_path / "a.jsonl").write_text(str(log))
    store.import_(tmp_path / "a.jsonl")
    store.import_(RECORDED)
    chunk = update("agent_message_chunk", 3, turn=1, content={"type": "text", "text": "Done."})
    started = note("turn_started", 2, turn=1, prompt=[{"type": "text", "text": "go"}])
    store.append("live", [opened(), started, chunk, note("turn_ended", 9, turn=1, status="completed")])
    store.append("empty", [opened()])
    files = []
    for session in store.sessions():
        files.append(tmp_path / f"{session.id}.json")
        store.export(session.id, "atif", files[-1])
    whole = [json.loads(file.read_text()) for file in files]
    assert any(each.get("subagent_trajectories") for each in whole)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({**whole[0], "steps": []}))
    command = [sys.executable, "-c", SCRIPT, *map(str, files), str(bad)]
    environment = {**os.environ, "PYTHONPATH": str(VALIDATORS / "harbor")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    judged = [json.loads(line) for line in done.stdout.splitlines()]
    assert [errors for accepted, errors in judged[:-1] if not accepted] == []
    assert judged[-1][0] is False
    assert len(judged) == len(files) + 1 > 20


@pytest.fixture
def one_of_each(store: Store) -> list[str]:
    """A live session with two turns, and of each format the import with the most steps."""
    chunk = update("agent_message_chunk", 3, turn=1, content={"type": "text", "text": "Done."})
    call = update(
        "tool_call", 4, turn=1, toolCallId="t", title="ls", kind="execute", status="failed", rawInput={"command": "ls"}
    )
    prompt = [{"type": "text", "text": "go"}]
    started = note("turn_started", 2, turn=1, prompt=prompt)
    again = note("turn_started", 10, turn=2, prompt=[{"type": "text", "text": "and now?"}])
    ends = [note("turn_ended", 9, turn=1, status="completed"), note("turn_ended", 11, turn=2, status="cancelled")]
    store.append("live", [opened(), started, chunk, call, ends[0], again, ends[1]])
    store.import_(RECORDED)
    best = """select arg_max(session_id, steps) from v_runs join v_sessions using (session_id)
              where steps > 0 group by format"""
    return [name for (name,) in store.sql(f"{best} order by all").fetchall()]


@pytest.mark.needs("inspect")
def test_inspect_reads_every_message_of_a_log(store: Store, tmp_path: Path, one_of_each: list[str]) -> None:
    own = {name for (name,) in store.sql("select session_id from v_sessions where format like 'inspect%'").fetchall()}
    files, steps = [], []
    for name in one_of_each:
        if name not in own:  # the file of such an import is Inspect's own
            files.append(tmp_path / f"{name}.eval")
            store.export(name, "inspect-eval", files[-1])
            steps.append(
                store.sql(
                    "select count(*) from v_tool_calls where session_id = ? and is_active and parent is null", [name]
                ).fetchall()[0][0]
            )
    assert "live.eval" in {file.name for file in files}
    assert len(files) > 10
    environment = {**os.environ, "PYTHONPATH": str(VALIDATORS / "inspect"), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", INSPECT, *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    judged = [json.loads(line) for line in done.stdout.splitlines()]
    assert [status for status, _, _ in judged] == ["success"] * len(files)
    assert all(count > 0 for _, count, _ in judged)
    assert [len(tools) for _, _, tools in judged] == steps


def test_a_log_for_inspect_is_imported_as_the_session_it_was(
    store: Store, tmp_path: Path, one_of_each: list[str]
) -> None:
    said = """select turn, kind, text from v_steps
              where session_id = ? and kind in ('user', 'message', 'tool_call') order by turn, step"""
    for name in ("live", *(each for each in one_of_each if "e7fd62cd" in each)):
        store.export(name, "inspect-eval", tmp_path / f"{name}.eval")
        (again,) = store.import_(tmp_path / f"{name}.eval").sessions
        before, after = (store.sql(said, [each]).fetchall() for each in (name, again))
        assert after == before


@pytest.mark.slow
def test_names_of_spans_are_those_of_opentelemetry(store: Store, tmp_path: Path, one_of_each: list[str]) -> None:
    known = {
        value
        for package in (attributes, _incubating_attributes)
        for each in pkgutil.iter_modules(package.__path__)
        for key, value in vars(importlib.import_module(f"{package.__name__}.{each.name}")).items()
        if key.isupper() and isinstance(value, str)
    }
    old = {
        "gen_ai.system",
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.usage.prompt_tokens",
        "gen_ai.usage.completion_tokens",
    }
    operations = {one.value for one in gen_ai_attributes.GenAiOperationNameValues}
    used: set[str] = set()
    for name in one_of_each:
        path = tmp_path / f"{name}.json"
        store.export(name, "otel", path)
        for batch in json.loads(path.read_text())["resourceSpans"]:
            given = list(batch["resource"]["attributes"])
            for span in (span for scope in batch["scopeSpans"] for span in scope["spans"]):
                given += span["attributes"]
                said = {each["key"]: each["value"].get("stringValue") for each in span["attributes"]}
                assert said.get("gen_ai.operation.name") in operations, span["name"]
            used |= {each["key"] for each in given}
    assert {name for name in used if not name.startswith("session_widgets.")} <= known - old
    assert {"gen_ai.conversation.id", "gen_ai.usage.input_tokens", "gen_ai.tool.call.id"} <= used
