"""Sessions of Claude Code become sessions of the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._store.database import Store
from session_widgets.errors import SessionConflict
from tests.store.importing.claude import SESSION, Log, story, text, tool
from tests.support.drafts import opened

pytestmark = pytest.mark.slow


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    place = tmp_path / "projects" / "-work"
    place.mkdir(parents=True)
    return place


def write(logs: Path, log: Log, name: str | None = None) -> Path:
    path = logs / f"{name or log.session}.jsonl"
    path.write_text(str(log))
    return path


def test_a_session_answers_like_one_of_ours(store: Store, logs: Path) -> None:
    write(logs, story())
    report = store.import_(logs)
    assert report.counts["files_new"] == 1
    assert report.sessions == (SESSION,)
    query = (
        "select title, harness, workspace, turns, status, origin, format, harness_version, git_branch from v_sessions"
    )
    assert store.sql(query).fetchall() == [
        ("Fix the test", "claude", "/work", 2, "imported", "import", "claude-code", "2.1.39", "main")
    ]
    query = "select turn, status, stop_reason, text, model, harness, waited_s, run_s from v_turns order by turn"
    assert store.sql(query).fetchall() == [
        (1, "completed", "end_turn", "Done.", "claude-opus-4-6", "claude", None, None),
        (2, "cancelled", "cancelled", "", "claude-opus-4-6", "claude", None, None),
    ]
    query = "select turn, step, kind, status, text, llm_call_id, first_seq from v_steps order by turn, step"
    assert store.sql(query).fetchall() == [
        (1, 0, "user", "completed", "Fix the test", None, 1),
        (1, 1, "thought", "completed", "Let me see.", "msg_1", 2),
        (1, 2, "tool_call", "failed", None, "msg_1", 3),
        (1, 3, "tool_call", "completed", None, "msg_2", 5),
        (1, 4, "message", "completed", "Done.", "msg_3", 7),
        (2, 0, "user", "completed", "Now delete it", None, 8),
        (2, 1, "tool_call", "failed", None, "msg_4", 9),
        (2, 2, "notice", "completed", "[Request interrupted by user for tool use]", None, 11),
    ]
    query = """select kind, tool_name, command, exit_code, failure, path, seconds from v_tool_calls
               order by turn, step"""
    assert store.sql(query).fetchall() == [
        ("execute", "Bash", "pytest -q", 1, "exit_code", None, 1.0),
        ("edit", "Edit", None, None, None, "/work/a.py", 1.0),
        ("execute", "Bash", "rm a.py", None, "rejected", None, 1.0),
    ]
    diff = {"type": "diff", "path": "/work/a.py", "oldText": "1", "newText": "2"}
    assert store.sql("select content from v_tool_calls where tool_name = 'Edit'").fetchall() == [
        (json.dumps([diff], separators=(",", ":")),)
    ]
    assert store.sql("select files[1].path, files[1].change from v_turns where turn = 1").fetchall() == [
        ("/work/a.py", "modified")
    ]


def test_python_reads_it_too(store: Store, logs: Path) -> None:
    write(logs, story())
    store.import_(logs)
    (record,) = store.sessions()
    assert (record.id, record.harness, record.turns, record.status) == (SESSION, "claude", 2, "imported")
    assert [turn.status for turn in store.turns(SESSION)] == ["completed", "cancelled"]
    assert [step.kind for step in store.steps(SESSION, 1)] == ["user", "thought", "tool_call", "tool_call", "message"]
    assert SESSION in repr(store.sessions())


def test_a_call_counts_once_with_the_maximum_of_each_figure(store: Store, logs: Path) -> None:
    write(logs, story())
    store.import_(logs)
    query = """select llm_call_id, turn, provider, input_uncached_tokens, cache_read_tokens, cache_write_tokens,
               cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, usage_scope, usage_quality
               from v_llm_calls order by llm_call_id"""
    assert store.sql(query).fetchall() == [
        ("msg_1", 1, "anthropic", 3, 100, 20, 15, 5, 9, None, "call", "partial"),
        ("msg_2", 1, "anthropic", 3, 100, 20, 15, 5, 5, None, "call", "partial"),
        ("msg_3", 1, "anthropic", 3, 100, 20, 15, 5, 5, None, "call", "final"),
        ("msg_4", 2, "anthropic", 3, 100, 20, 15, 5, 5, None, "call", "partial"),
    ]
    query = "select output_tokens, input_tokens, usage_scope, usage_quality, context_used from v_turns where turn = 1"
    assert store.sql(query).fetchall() == [(19, 9, "turn", "partial", 123)]


def test_a_copied_session_keeps_its_steps_and_owns_no_calls(store: Store, logs: Path) -> None:
    write(logs, story())
    fork = Log("99999999-2222-3333-4444-555555555555")
    fork.lines = list(story().lines)  # with the session's id of the original, as --fork-session leaves it
    fork.last = "a4"
    fork.lines.insert(0, json.dumps({"type": "queue-operation", "sessionId": fork.session, "operation": "enqueue"}))
    fork.assistant("f1", "msg_5", text("Another way."))
    write(logs, fork, "fork")
    write(logs, story(), "copy")
    store.import_(logs)
    query = (
        "select llm_call_id, agent_session_id, copies from v_llm_calls join v_sessions using (session_id) order by all"
    )
    assert store.sql(query).fetchall() == [
        *((f"msg_{number}", SESSION, 3) for number in (1, 2, 3, 4)),
        ("msg_5", fork.session, 1),
    ]
    assert store.sql("select count(distinct session_id) from v_steps where kind = 'thought'").fetchall() == [(3,)]
    query = "select count(*) from v_steps s join v_sessions using (session_id) where is_copied and agent_session_id = ?"
    assert store.sql(query, [fork.session]).fetchall() == [(8,)]
    assert store.sql("select kind, count(*) from v_lineage group by all").fetchall() == [("copy", 1)]


def test_a_subagent_counts_by_itself_and_under_its_parent(store: Store, logs: Path) -> None:
    write(logs, story())
    agent = Log(isSidechain=True, agentId="abc")
    agent.user("s1", "Look around").assistant("s2", "msg_s", text("Nothing here."), stop="end_turn")
    write(logs, agent, "agent-abc")
    orphan = Log("77777777-2222-3333-4444-555555555555", isSidechain=True, agentId="def")
    orphan.user("o1", "Look").assistant("o2", "msg_o", text("Nothing."), stop="end_turn")
    write(logs, orphan, "agent-def")
    store.import_(logs)
    query = "select owner_session_id, count(*), sum(output_tokens) from v_llm_calls group by all order by all"
    assert store.sql(query).fetchall() == [(SESSION, 5, 29), (f"{orphan.session}-def", 1, 5)]
    query = "select session_id, output_tokens from v_runs where session_id in (?, ?) order by all"
    assert store.sql(query, [SESSION, f"{SESSION}-abc"]).fetchall() == [(SESSION, 29), (f"{SESSION}-abc", 5)]
    query = "select session_id, agent_id from v_llm_calls where agent_id is not null order by all"
    assert store.sql(query).fetchall() == [(f"{SESSION}-abc", "abc"), (f"{orphan.session}-def", "def")]
    query = "select session_id, kind, parent_session_id from v_lineage order by all"
    assert store.sql(query).fetchall() == [
        (f"{SESSION}-abc", "subagent", SESSION),
        (f"{orphan.session}-def", "subagent", None),
    ]


def test_a_sidechain_in_the_file_is_a_subagent_step(store: Store, logs: Path) -> None:
    log = Log().user("u1", "Go").assistant("a1", "msg_1", tool("t1", "Task", prompt="Look around"))
    log.user("s1", "Look around", parent=None, isSidechain=True)
    log.assistant("s2", "msg_s", text("Nothing here."), isSidechain=True)
    log.result("r1", "t1", "Nothing here.", parent="a1").assistant("a2", "msg_2", text("Nothing."), stop="end_turn")
    write(logs, log)
    store.import_(logs)
    query = "select step, kind, text, parent, agent_id from v_steps order by step"
    assert store.sql(query).fetchall() == [
        (0, "user", "Go", None, None),
        (1, "tool_call", None, None, None),
        (2, "subagent", "Look around", None, "s1"),
        (3, "message", "Nothing here.", 2, "s1"),
        (4, "message", "Nothing.", None, None),
    ]
    assert store.sql("select text, turns from v_turns join v_sessions using (session_id)").fetchall() == [
        ("Nothing.", 1)
    ]


def test_a_branch_that_the_user_left_is_not_active(store: Store, logs: Path) -> None:
    log = story()
    log.user("u9", "Start over", parent=None).assistant("a9", "msg_9", text("Gladly."))
    write(logs, log)
    store.import_(logs)
    query = "select turn, bool_or(is_active), bool_and(is_active) from v_steps group by turn order by turn"
    assert store.sql(query).fetchall() == [(1, False, False), (2, False, False), (3, True, True)]


def test_parallel_calls_are_no_branch_that_was_left(store: Store, logs: Path) -> None:
    log = Log().user("u1", "Go")
    log.assistant("a1", "msg_1", tool("t1", "Read", file_path="a")).assistant(
        "a2", "msg_1", tool("t2", "Read", file_path="b")
    )
    log.result("r1", "t1", "A", parent="a1").result("r2", "t2", "B", parent="a2").assistant(
        "a3", "msg_2", text("Read.")
    )
    write(logs, log)
    store.import_(logs)
    assert store.sql("select bool_and(is_active) from v_steps").fetchall() == [(True,)]


def test_what_is_no_prompt_begins_no_turn(store: Store, logs: Path) -> None:
    log = Log().user("m1", "Caveat: the messages below were generated", isMeta=True)
    log.user("m1b", "<command-name>/model</command-name>\n<command-args>opus</command-args>")
    log.user("m2", "<local-command-stdout>ok</local-command-stdout>")
    log.user("u1", "<command-name>/review</command-name>\n<command-args>all of it</command-args>")
    log.user("c1", "The conversation so far ...", isCompactSummary=True)
    log.assistant("e1", "msg_e", text("API Error: 529"), isApiErrorMessage=True)
    write(logs, log)
    log.lines.append(json.dumps({"type": "summary", "summary": "A review", "leafUuid": "e1"}))
    write(logs, log)
    store.import_(logs)
    query = "select turn, kind, left(text, 20) from v_steps order by turn, step"
    assert store.sql(query).fetchall() == [
        (1, "notice", "Caveat: the messages"),
        (1, "notice", "/model opus"),
        (1, "notice", "<local-command-stdou"),
        (1, "user", "/review all of it"),
        (1, "compaction", "The conversation so "),
        (1, "error", "API Error: 529"),
    ]
    assert store.sql("select turn, outcome from v_turns order by turn").fetchall() == [(1, "rate_limited")]
    assert store.sql("select title from v_sessions").fetchall() == [("A review",)]
    assert store.sql("select count(*) from v_llm_calls").fetchall() == [(0,)]


def test_words_of_the_program_that_report_no_error_fail_no_turn(store: Store, logs: Path) -> None:
    log = Log().user("u1", "go on").assistant("a1", "msg_1", text("It works."))
    write(logs, log.assistant("n1", "msg_n", text("No response requested."), isApiErrorMessage=False))
    log.lines[-1] = log.lines[-1].replace("claude-opus-4-6", "<synthetic>")
    write(logs, log)
    store.import_(logs)
    assert store.sql("select kind from v_steps order by step").fetchall() == [("user",), ("message",), ("notice",)]
    assert store.sql("select error from v_turns").fetchall() == [(None,)]


def test_an_import_cannot_be_continued_and_does_not_take_a_session_of_ours(store: Store, logs: Path) -> None:
    store.append(SESSION, [opened()])
    path = write(logs, story())
    (imported,) = store.import_(logs).sessions
    assert imported.startswith(f"{SESSION}-")
    assert store.import_path(imported) == str(path)
    assert store.import_path(SESSION) is None
    with pytest.raises(SessionConflict, match="was imported from"):
        store.append(imported, [opened()])
    with pytest.raises(SessionConflict, match="is an import"):
        sw.open_session(imported, store=store)
    assert [record.id for record in store.sessions() if record.status == "imported"] == [imported]
