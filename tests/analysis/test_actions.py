"""Tool calls of all harnesses as comparable actions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_widgets.analysis.alignment.actions import action_of, actions_of, changed_lines, command_head, relative
from session_widgets.analysis.alignment.alignment import Alignment
from session_widgets.analysis.alignment.divergence import Ending
from session_widgets.transcript.records import Step
from session_widgets.transcript.transcript import Transcript
from tests.analysis.made import TS
from tests.support.acp_captures import events, scenarios
from tests.support.examples import TEXT
from tests.support.paths import ROOT


def call(kind: str | None, raw_input: Any = None, **facts: Any):
    step = Step("s", 1, 0, "tool_call", 1, 1, TS, TS, "completed", tool_kind=kind, raw_input=raw_input, **facts)
    return action_of(step, ["/workspace"])


def recorded(harness: str):
    lines = scenarios(ROOT / "tests" / "fixtures" / "captures" / f"{harness}-rich.ndjson")["rich"]
    return actions_of(Transcript("capture", events(lines)).steps, ["/workspace"])


def test_the_same_task_in_claude_and_opencode_is_the_same_but_for_opencode_s_list():
    """Both were asked to write a.txt, read it, edit it, run a command that fails, and search; compared by hand."""
    claude, opencode = recorded("claude"), recorded("opencode")
    assert [(a.kind, a.target) for a in claude] == [
        ("edit", "a.txt"), ("read", "a.txt"), ("edit", "a.txt"), ("execute", "cat"), ("search", "three"),
    ]  # fmt: skip
    found = Alignment(["claude", "opencode"], [claude, opencode], [Ending()] * 2)
    assert found.columns == [(0, 0), (None, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert found.similarity == (1, 0, 1, 1, 1, 1)
    assert not found.divergence.edit
    assert not found.divergence.file_state
    assert not found.divergence.action


@pytest.mark.parametrize(
    ("script", "head"),
    [
        ("pytest -q", ("pytest", "pytest")),
        ("python3.12 -m pytest -q tests", ("pytest", "pytest")),
        ("cd a/b && FOO='x y' timeout -k 1 60 uv run pytest -q", ("pytest", "pytest")),
        ("set -e; /usr/bin/git -C x --no-pager log -3", ("git log", "git")),
        ("git", ("git", "git")),
        ("npm test", ("npm test", "npm")),
        ("python ./scripts/fix.py --all", ("python scripts/fix.py", "python")),
        ('python -c "print(1)"', ("python -c", "python")),
        ("python - <<'E'\nprint(1)\nE", ("python", "python")),
        ("# look around\nls -la", ("ls", "ls")),
        ("(ls)", ("(ls)", "")),
        ("", ("", "")),
    ],
)
def test_the_head_of_a_command(script, head):
    assert command_head(script) == head


def test_a_command_is_one_in_each_shape():
    shapes = [
        call("execute", {"command": "cat /workspace/a  b"}),
        call("execute", {"command": ["/bin/bash", "-lc", "cat a b"], "call_id": "c1", "cwd": "/workspace"}),
        call("execute", {"cmd": "cat a b", "yield_time_ms": 9}),
        call("other", {"command": "cat a b", "description": "look"}, title="bash"),
    ]
    assert {(a.kind, a.target, a.family, a.arguments) for a in shapes} == {
        ("execute", "cat", "cat", shapes[0].arguments)
    }
    assert call("execute", {"command": "cat a c"}).arguments != shapes[0].arguments


def test_a_command_does_not_depend_on_the_place_of_the_workspace():
    here = call("execute", {"command": "ls . src; cat /etc/x"})
    for command in ("cd /workspace && ls . src; cat /etc/x", "ls /workspace /workspace/src; cat /etc/x"):
        assert call("execute", {"command": command}).arguments == here.arguments
    elsewhere = call("execute", {"command": "ls /workspaces /a/workspace/src; cat /etc/x"})
    assert elsewhere.arguments == action_of(elsewhere.step).arguments


def test_a_path_is_relative_to_the_workspace():
    assert call("read", {"file_path": "/workspace/src/a.py"}).target == "src/a.py"
    assert call("read", locations=({"path": "./src//a.py", "line": 3},)).target == "src/a.py"
    assert call("read", {"path": "/workspaces/a.py"}).target == "/workspaces/a.py"
    assert relative("/workspace", ["/workspace"]) == "."
    assert relative("/a/b", ["/"]) == "a/b"


def test_lines_asked_for_are_arguments_of_a_read():
    whole, part = call("read", {"path": "/workspace/a"}), call("read", {"path": "a", "offset": 7})
    assert whole.target == part.target
    assert whole.arguments != part.arguments


def test_a_search_has_its_pattern_as_target_and_its_place_as_argument():
    everywhere, here = call("search", {"pattern": "x", "path": "/workspace"}), call("search", {"query": "x"})
    assert (everywhere.target, everywhere.arguments) == (here.target, here.arguments) == ("x", "")
    assert call("search", {"pattern": "x", "path": "src"}).arguments != ""
    assert call("search", {"command": "rg x", "parsed_cmd": [{"query": "x"}]}).target == "x"


def test_other_calls_are_known_by_tool_title_or_kind():
    assert call("fetch", {"url": "https://a.example/x#top"}).target == "https://a.example/x"
    assert call("fetch", {"url": "https://a.example/y"}).family == "a.example"
    assert call("other", {"q": 1}, tool_name="mcp__db__query", title="Query 7").target == "mcp__db__query"
    assert call(None, title="Think\nhard").target == "Think hard"
    assert call("think").target == "think"


def test_ids_limits_and_remarks_in_an_input_do_not_count():
    plain = call("other", {"q": 1}, tool_name="t")
    assert (
        call("other", {"q": 1, "timeout": 9, "description": "x", "call_id": "c"}, tool_name="t").arguments
        == plain.arguments
    )
    assert call("other", {"q": 2}, tool_name="t").arguments != plain.arguments


def test_a_failed_rejected_or_cancelled_call_has_failed():
    assert not call("read").failed
    assert call("read", failure="rejected").failed
    step = Step("s", 1, 0, "tool_call", 1, 1, TS, TS, "failed")
    assert action_of(step).failed


def test_context_around_an_edit_does_not_count():
    assert changed_lines("a\nb\nc\n", "a\nx\nc\n") == changed_lines("b", "x") == ("b", "x")
    assert changed_lines("a\na\n", "a\na\na\n") == ("", "a")
    assert changed_lines(None, "x\n") == (None, "x\n")


def test_only_tool_calls_are_actions():
    kinds = ("user", "message", "tool_call", "thought", "plan")
    steps = [Step("s", 1, n, kind, n, n, TS, TS, "completed") for n, kind in enumerate(kinds)]
    assert [action.step.index for action in actions_of(steps)] == [2]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["path", "command", "url", "pattern", "edits", "diff", "content", "x"]), inner, max_size=4
    ),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.slow
@given(st.sampled_from(["read", "edit", "execute", "search", "fetch", "other", "move", "?"]), JSON, TEXT)
def test_any_input_becomes_an_action(kind, raw_input, title):
    found = call(kind, raw_input, title=title, locations=({"path": raw_input}, 7), content=({"type": "diff"},))
    assert found == call(kind, raw_input, title=title, locations=({"path": raw_input}, 7), content=({"type": "diff"},))


def test_a_deeply_nested_input_becomes_an_action():
    deep: Any = []
    for _ in range(20_000):
        deep = [deep]
    assert call("other", {"x": deep}, tool_name="t").arguments != ""
