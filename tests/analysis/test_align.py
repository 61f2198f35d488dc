"""`analysis.align` reads sessions of a store."""

from __future__ import annotations

import json
from typing import Any

import pytest

import session_widgets as sw
from session_widgets.errors import BadValue, SessionGone
from tests.analysis.stored import edit, store_session, tool
from tests.support.drafts import note, opened, update

pytestmark = pytest.mark.slow


@pytest.fixture
def runs(home) -> list[str]:
    """Three sessions in different directories: the first two end alike, the third edits another way and fails."""
    for name, more in (("one", ()), ("two", (tool("read", {"path": "/w/two/b.py"}),))):
        root = f"/w/{name}"
        tests = tool("execute", {"command": f"cd {root} && pytest -q"})
        store_session(name, root, tool("read", {"path": f"{root}/a.py"}), *more, edit(root, "x", "y"), tests)
    tests = tool("execute", {"command": "pytest -q"}, status="failed")
    store_session(
        "three",
        "/w/three",
        tool("read", {"path": "a.py"}),
        edit("/w/three", "x", "z"),
        tests,
        error="429 slow down",
        size=4,
    )
    return ["one", "two", "three"]


def test_sessions_are_aligned_whatever_their_directories(runs):
    found = sw.analysis.align(runs)
    assert found.ids == ("one", "two", "three")
    assert found.columns == [(0, 0, 0), (None, 1, None), (1, 2, 1), (2, 3, 2)]
    assert found.similarity == pytest.approx((1, 1 / 3, 13 / 15, 1))
    parts = found.divergence
    assert (parts.action.column, parts.edit.column, parts.file_state.column, parts.outcome.column) == (None, 2, 2, 4)
    assert parts.outcome.detail == "completed, completed, rate_limited"
    alike = sw.analysis.align(["two", "one"]).divergence
    assert not any(map(bool, (alike.action, alike.edit, alike.file_state, alike.outcome)))


def test_paths_of_every_workspace_that_a_session_has_had_are_relative(home):
    """A fork goes on in its own directory; its first steps name the one of the original."""
    moved = [
        note("session_changed", 100, source="k", workspace="/w/fork"),
        note("agent_started", 101, source="k", connection="c2", cwd="/w/fork"),
        update("tool_call", 102, turn=2, toolCallId="t9", title="t", **tool("read", {"path": "/w/fork/b.py"})),
    ]
    for name, more in (("one", []), ("two", moved)):
        store_session(name, "/w/one", tool("read", {"path": "/w/one/a.py"}))
        sw.store().append(name, more)
    found = sw.analysis.align(["one", "two"])
    assert [action.target for action in found.runs[1]] == ["a.py", "b.py"]
    assert found.similarity == (1, 0)


def test_the_last_turn_decides_the_outcome(runs):
    more = [
        note("turn_started", 100, turn=2, source="k", prompt=[]),
        note("turn_ended", 101, turn=2, source="k", status="failed", error="401"),
    ]
    sw.store().append("two", more)
    found = sw.analysis.align(["one", "two"]).divergence.outcome
    assert found.detail == "completed, auth_failed"


def test_commands_are_seen_by_the_sizes_of_files(home):
    make = tool("execute", {"command": "make"})
    for name, size in (("one", 3), ("two", 4)):
        store_session(name, "/w", make, size=size)
    found = sw.analysis.align(["one", "two"]).divergence.file_state
    assert (found.column, found.detail) == (1, "at the end alone: a.py differs")


def test_an_imported_session_is_aligned_with_a_live_one(runs, tmp_path):
    """The same as "one", as a file of Claude Code in another directory."""
    session = "11111111-2222-3333-4444-555555555555"
    tools = (
        ("Read", {"file_path": "/elsewhere/x/a.py"}),
        ("Edit", {"file_path": "/elsewhere/x/a.py", "old_string": "x", "new_string": "y"}),
        ("Bash", {"command": "pytest -q"}),
    )
    said: list[tuple[str, Any]] = [("user", "go")]
    for n, (name, given) in enumerate(tools):
        said.append(("assistant", [{"type": "tool_use", "id": f"t{n}", "name": name, "input": given}]))
        said.append(("user", [{"type": "tool_result", "tool_use_id": f"t{n}", "content": "ok"}]))
    always = {
        "sessionId": session,
        "cwd": "/elsewhere/x",
        "version": "2.1.39",
        "isSidechain": False,
        "userType": "external",
    }
    lines = [
        {
            **always, "type": role, "uuid": f"u{n}", "parentUuid": f"u{n - 1}" if n else None,
            "timestamp": f"2026-02-11T10:00:{n:02}.000Z",
            "message": {"id": f"m{n}", "role": role, "model": "claude-opus-4-6", "content": content},
        }
        for n, (role, content) in enumerate(said)
    ]  # fmt: skip
    path = tmp_path / f"{session}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sw.store().import_(path)
    found = sw.analysis.align(["one", session])
    assert found.columns == [(0, 0), (1, 1), (2, 2)]
    assert found.similarity == (1, 1, 1)
    assert not found.divergence.edit


def test_the_frame_has_a_row_a_column_and_session(runs):
    found = sw.analysis.align(runs)
    frame = found.df()
    assert len(frame) == 12
    assert frame.query("column == 1").session_id.tolist() == runs
    assert frame.query("column == 1").target.fillna("").tolist() == ["", "b.py", ""]
    assert frame.query("column == 1 and session_id == 'one'").step.isna().all()
    last = frame.iloc[-1]
    assert (last.kind, last.target, last.failed, last.similarity) == ("execute", "pytest", True, 1)
    assert set(frame.query("column == 2").divergence) == {"file state, edit"}
    calls = sw.store().sql("select session_id, turn, step from v_tool_calls").df()
    merged = frame.dropna(subset=["step"]).merge(calls, on=["session_id", "turn", "step"])
    assert len(merged) == len(calls) == 10


def test_an_alignment_is_read_at_a_prompt_and_in_a_cell(runs):
    found = sw.analysis.align(runs)
    text = repr(found)
    assert text.splitlines()[0].split() == ["column", "one", "two", "three", "divergence"]
    assert "execute pytest (failed)" in text
    assert "outcome: at the end: completed, completed, rate_limited" in text
    assert found._repr_html_().count("<tr>") == 1 + 4
    assert "<br>outcome: at the end: completed, completed, rate_limited</p>" in found._repr_html_()


def test_equal_columns_are_one_line_and_a_long_table_loses_its_middle(home):
    reads = [tool("read", {"path": f"/w/{n}.py"}) for n in range(100)]
    store_session("one", "/w", *reads)
    store_session("two", "/w", *reads)
    store_session("three", "/w", *[tool("search", {"pattern": f"{n}"}) for n in range(100)])
    assert "0-99    =  100 columns are equal" in repr(sw.analysis.align(["one", "two"]))
    assert len(repr(sw.analysis.align(["one", "three"])).splitlines()) == 1 + 61 + 5


def test_hostile_text_is_shown_harmless(home):
    hostile = "<img src=x onerror=alert(1)>\x1b[31m"
    for name, target in (("one", hostile), ("two", "b")):
        store_session(name, "/w", tool("read", {"path": f"/w/{target}"}), edit(f"/w/{target}", "x", "y"))
    found = sw.analysis.align(["one", "two"])
    assert "\x1b" not in repr(found) + found._repr_html_()
    assert "<img" not in found._repr_html_()


def test_sessions_without_tool_calls_have_no_column(home):
    store_session("one", "/w")
    sw.store().append("two", [opened()])
    found = sw.analysis.align(["one", "two"])
    assert (found.columns, len(found.df())) == ([], 0)
    assert "0 + 0 actions in 0 columns" in repr(found)
    assert found.divergence.outcome.detail == "no_answer, none"


@pytest.mark.parametrize(
    ("ids", "error", "words"),
    [
        ("one", BadValue, r'ids must be a list of sessions, such as \["a", "b"\]; got \'one\''),
        (7, BadValue, "ids must be a list of sessions"),
        ([1, 2], BadValue, "ids must be a list of sessions"),
        (["one"], BadValue, r"2 to 8 different sessions; got \['one'\]"),
        (["one", "one"], BadValue, "2 to 8 different sessions"),
        ([str(n) for n in range(9)], BadValue, "2 to 8 different sessions"),
        (["one", "nine"], SessionGone, "no session 'nine'; session_widgets.sessions"),
        (["one", "../x"], BadValue, "session"),
    ],
)
def test_bad_ids_are_an_error_with_a_remedy(ids, error, words, runs):
    with pytest.raises(error, match=words):
        sw.analysis.align(ids)
