"""`analysis.behaviours`: each mode with its evidence, and against sessions that were labelled by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import session_widgets as sw
from session_widgets.analysis.activity import Facts, activity_of
from session_widgets.analysis.alignment.actions import actions_of
from session_widgets.analysis.failure_modes import find
from session_widgets.analysis.mode import MODES, Behaviour, Ending
from session_widgets.errors import BadValue, SessionGone
from session_widgets.transcript.records import Step
from tests.analysis.stored import edit, store_session, tool
from tests.support.paths import ROOT, shared

REAL = ROOT / "tests" / "fixtures" / "behaviours"
AT = datetime(2026, 11, 28, tzinfo=UTC)
DONE = {1: Ending("completed")}
CANCELLED = {1: Ending("cancelled")}
OTHERS = ("no_edit", "test_never_passed")  # of the same steps; each has its own test


def step(index: int, kind: str = "tool_call", turn: int = 1, **facts: Any) -> Step:
    facts.setdefault("status", "failed" if facts.get("failure") else "completed")
    return Step("s", turn, index, kind, 1, 1, AT, AT, **facts)  # type: ignore[arg-type]


def call(index: int, kind: str, **facts: Any) -> Step:
    names = ("failure", "tool_name", "turn", "exit_code")
    printed = [{"type": "content", "content": {"type": "text", "text": facts.pop("printed", "")}}]
    return step(index, tool_kind=kind, content=printed, raw_input={k: v for k, v in facts.items() if k not in names},
                **{name: facts[name] for name in names if name in facts})  # fmt: skip


def said(index: int, text: str) -> Step:
    return step(index, "message", text=text)


def found(
    *steps: Step, ends: dict[int, Ending] = DONE, without: tuple[str, ...] = OTHERS, **more: Any
) -> list[tuple[str, list[int]]]:
    every = find("s", steps, actions_of(steps), ends, **more)
    return [(each.mode, [index for _, index in each.steps]) for each in every if each.mode not in without]


def run(index: int, command: str, **facts: Any) -> Step:
    return call(index, "execute", command=command, **facts)


def change(index: int, path: str, old: str | None = "a", **facts: Any) -> Step:
    text = {"old_string": old, "new_string": "b"} if old else {"content": "b"}
    return call(index, "edit", file_path=path, **text, **facts)


def test_the_same_action_again_is_a_loop_unless_something_changed() -> None:
    look = [run(n, "make status") for n in range(3)]
    assert found(*look) == [("loop", [0, 1, 2])]
    assert found(*look[:2]) == []
    reads = [look[0], call(5, "read", path="a.py"), look[1], run(6, "false", failure="error"), look[2]]
    assert found(*reads) == [("loop", [0, 1, 2])]
    changed = [run(0, "pytest"), change(1, "x.txt", None), run(2, "pytest"), change(3, "x.txt", None), run(4, "pytest")]
    assert found(*changed) == []
    assert found(*(run(n, "make status", turn=n + 1) for n in range(3))) == []
    assert found(*(call(n, "other", tool_name="BashOutput", bash_id="1") for n in range(5))) == []


def test_an_edit_of_a_file_that_was_never_read() -> None:
    assert found(change(0, "notes.md")) == [("edit_without_read", [0])]
    assert found(change(0, "notes.md", None), change(1, "notes.md")) == []
    assert found(call(0, "read", path="notes.md"), change(1, "notes.md")) == []
    assert found(run(0, "sed -n 1,9p docs/notes.md"), change(1, "docs/notes.md")) == []
    assert found(call(0, "read", path="other.md"), change(1, "notes.md")) == [("edit_without_read", [1])]


def test_a_failed_test_that_the_answer_passes_over() -> None:
    failed = run(0, "pytest -q", failure="error")
    assert found(failed, said(1, "All done: everything is in place.")) == [("error_ignored", [0, 1])]
    assert found(failed, said(1, "One test fails because of the clock.")) == []
    assert found(failed, run(1, "pytest -q tests"), said(2, "All done.")) == []
    assert found(failed, said(1, "All done."), ends=CANCELLED) == []
    assert found(run(0, "grep -r x .", failure="error"), said(1, "All done.")) == []
    assert found(call(0, "edit", file_path="a.txt", content="b", failure="error"), said(1, "Written.")) == [
        ("error_ignored", [0, 1])
    ]


def test_a_rejected_call_after_which_nothing_was_tried() -> None:
    rejected = run(3, "rm -rf build", failure="rejected")
    assert found(rejected, said(4, "I stop here.")) == [("gave_up_after_rejection", [3, 4])]
    assert found(rejected, call(4, "read", path="a"), said(5, "Another way.")) == []
    assert found(rejected, said(4, "I stop here."), ends=CANCELLED) == []
    assert found(rejected) == []


def test_code_that_was_changed_and_not_tested() -> None:
    assert found(change(0, "a.py", None), change(1, "b.go", None)) == [("edit_without_test", [0, 1])]
    assert found(change(0, "a.py", None), run(1, "mise run test:ci")) == []
    assert found(change(0, "a.py", None), run(1, "cd src && python tests/test_a.py -v")) == []
    assert found(run(0, "pytest"), change(1, "a.py", None)) == [("edit_without_test", [1])]
    assert found(change(0, "README.md", None)) == []
    assert found(change(0, "src/fix.py", None), run(1, "cd src && python3 fix.py --all")) == []
    assert found(change(0, "fix.sh", None), run(1, "./fix.sh")) == []
    assert found(change(0, "fix.py", None), run(1, "python other.py"), run(2, "cat fix.py")) == [
        ("edit_without_test", [0])
    ]
    assert found(change(0, "a.py", None, failure="error")) == []


@pytest.mark.parametrize(
    ("end", "mode"),
    [
        (Ending("failed", error="the turn's limit silence was reached", outcome="turn_limit"), "timeout"),
        (Ending("failed", error="exit_command_timeout", outcome="failed"), "timeout"),
        (Ending("failed", error="LimitsExceeded", outcome="failed"), "step_limit"),
        (Ending("failed", error="exit_cost", outcome="failed"), "step_limit"),
        (Ending("completed", "max_turn_requests", outcome="request_limit"), "step_limit"),
        (Ending("failed", error="prompt is too long: 213,000 tokens", outcome="token_limit"), "context_overflow"),
        (Ending("failed", error="exit_context", outcome="failed"), "context_overflow"),
        (Ending("failed", error="terminated", outcome="failed"), "environment_failure"),
        (Ending("failed", error="API Error: 529", outcome="rate_limited"), "environment_failure"),
        (Ending("failed", error="the agent process exited with code 1", outcome="agent_exited"), "crashed"),
        (Ending("failed", error="API Error: 400 bad request", outcome="failed"), "other_failure"),
        (Ending("completed", "end_turn", outcome="model_error"), "other_failure"),
        (Ending("cancelled", outcome="cancelled"), None),
        (Ending("completed", outcome="completed"), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_turn_that_failed_has_one_reason(end: Ending, mode: str | None) -> None:
    assert found(said(3, "and now"), ends={1: end}) == ([(mode, [3])] if mode else [])


def test_a_command_that_was_stopped_or_lacks_a_program() -> None:
    printed = "bash: line 1: rg: command not found"
    assert found(run(0, "sleep 99", exit_code=124, failure="error")) == [("timeout", [0])]
    assert found(run(0, "rg x", exit_code=127, failure="error", printed=printed)) == [("environment_failure", [0])]
    assert found(run(0, "cat log", printed=printed)) == []
    assert found(run(0, "rg x", failure="interrupted", printed=printed)) == []


def test_calls_that_fail_one_after_the_other() -> None:
    broken = [run(n, f"make {n}", failure="error", exit_code=2) for n in range(4)]
    assert found(*broken, said(9, "It fails.")) == [("tool_error_storm", [0, 1, 2, 3])]
    assert found(*broken[:3], said(9, "It fails.")) == []
    assert found(*broken[:2], run(7, "make ok"), *broken[2:], said(9, "It fails.")) == []
    assert found(*(run(n, f"grep -n x{n} a.py", failure="error", exit_code=1) for n in range(5))) == []


def test_tests_of_which_none_passed() -> None:
    failed = run(0, "pytest -q", failure="error", exit_code=1)
    assert found(failed, run(1, "pytest -q a", failure="error", exit_code=1), without=("no_edit",)) == [
        ("test_never_passed", [0, 1])
    ]
    assert found(failed, run(1, "pytest -q"), without=("no_edit",)) == []
    assert found(run(0, "pytest -q", failure="interrupted"), without=("no_edit",)) == []


def test_no_file_was_changed_or_none_of_the_expected_ones() -> None:
    look = [call(0, "read", path="a.py"), run(1, "grep -n x a.py")]
    only = ("edit_without_test",)
    assert found(*look, without=()) == [("no_edit", [1])]
    assert found(*look, run(2, "sed -i s/x/y/ a.py"), without=()) == []
    assert found(*look, change(2, "a.py", failure="rejected"), said(3, "."), without=("gave_up_after_rejection",)) == [
        ("no_edit", [2])
    ]
    assert found(said(0, "42"), without=()) == []
    assert found(*look, change(2, "a.py"), expected=["src/b.py"], without=only) == [("wrong_file", [2])]
    assert found(*look, change(2, "a.py"), expected=["b.py", "./a.py"], without=only) == []
    assert found(*look, expected=["a.py"]) == []


def test_a_last_message_that_has_no_result() -> None:
    assert found(said(0, "I was unable to reproduce the failure.")) == [("gave_up", [0])]
    assert found(said(0, "I was unable to open it at first."), said(1, "Fixed.")) == []
    assert found(said(0, "I could not complete the task."), ends=CANCELLED) == []


def test_how_much_was_done_and_how_soon() -> None:
    texts = [("a\nb", "a\nc\nd"), ("c", "e")]
    edits = [call(n, "edit", file_path="a.py", old_string=old, new_string=new) for n, (old, new) in enumerate(texts, 4)]
    steps = [
        step(0, "user"), said(1, "I look."), call(2, "read", path="a.py"), call(3, "read", path="a.py"), *edits,
        call(6, "read", path="a.py"), run(7, "pytest", failure="error", exit_code=1), run(8, "pytest"), step(9, "plan"),
    ]  # fmt: skip
    began = {(1, index): AT + timedelta(seconds=10 * index) for index in range(10)}
    facts = Facts(began, {(1, 2): "one", (1, 4): "two", (1, 5): "two"}, {"one": 5, "two": 7}, turns=1, refused=0)
    seen = activity_of(steps, actions_of(steps), facts)
    wanted = {
        "turns": 1, "steps": 9, "tool_calls": 7, "reads": 3, "edits": 2, "commands": 2, "failed_calls": 1,
        "test_runs": 2, "failed_test_runs": 1, "files_read": 1, "files_changed": 1, "read_again": 1, "lines_added": 3,
        "lines_removed": 2, "lines_churned": 1, "plan_changes": 1,
        "steps_to_read": 2, "seconds_to_read": 20.0, "output_tokens_to_read": 5,
        "steps_to_edit": 4, "output_tokens_to_edit": 12, "steps_to_passed_test_run": 8, "seconds_to_test_run": 70.0,
    }  # fmt: skip
    assert {name: seen[name] for name in wanted} == wanted
    unknown = activity_of(steps[:5], actions_of([*steps[:3], call(4, "edit", path="b.py")]), Facts({}, {}, {}, 1, 0))
    names = ("lines_added", "seconds_to_read", "output_tokens_to_read", "steps_to_test_run")
    assert [unknown[name] for name in names] == [None] * 4, "unknown is no 0"


def real() -> Iterator[tuple[str, list[Behaviour]]]:
    for line in (REAL / "sessions.ndjson").read_text().splitlines():
        session = json.loads(line)
        steps = [step(**facts) for facts in session["steps"]]
        ends = {int(turn): Ending(status) for turn, status in session["turns"].items()}
        actions = actions_of(steps, [session["workspace"]])
        yield session["session"], [*find(session["session"], steps, actions, ends)]


def test_labelled_sessions_have_what_a_person_saw_and_nothing_else() -> None:
    """Precision and recall of docs/analysis.md: a change of the rules that changes them changes the page."""
    labels = [line.split(maxsplit=4) for line in (REAL / "labels.txt").read_text().splitlines() if line[0] != "#"]
    sessions = dict(real())

    def named(prefix: str) -> str:
        return prefix if prefix in sessions else next(name for name in sessions if name.startswith(prefix))

    wanted = {(named(name), mode, place) for name, mode, is_there, place, _ in labels if is_there == "yes"}
    seen = {
        (name, each.mode, "{}/{}".format(*each.steps[-1])) for name, all_of_it in sessions.items() for each in all_of_it
    }
    assert seen == wanted
    assert {mode for _, mode, *_ in labels} <= set(MODES)
    assert sum(is_there == "no" for _, _, is_there, *_ in labels) >= 14


@pytest.mark.slow
def test_whole_logs_have_what_a_person_saw_and_the_page_says_how_often(home) -> None:
    store = sw.store()
    for folder in ("data/transcripts", "contracts"):
        store.import_(shared(folder))
    labels = [line.split(maxsplit=4) for line in (REAL / "found.txt").read_text().splitlines() if line[0] != "#"]
    file = "select any_value(sessions[1]) from v_source_files where path like '%/' || ?"
    names = {store.sql(file, [name]).fetchall()[0][0] if "/" in name else name: name for name, *_ in labels}
    found = sw.analysis.behaviours(sorted(names)).found
    seen = {(names[each.session_id], each.mode, "{}/{}".format(*each.steps[-1])) for each in found}
    judged = {(name, mode, place): verdict for name, mode, verdict, place, _ in labels}
    assert {one: judged.get(one) for one in seen if judged.get(one) != "yes"} == {}, (
        "each finding was read, and is right"
    )
    assert {one for one, verdict in judged.items() if verdict == "yes"} == seen
    page = (ROOT / "docs" / "analysis.md").read_text()
    for mode in MODES:
        right, looks = (sum(m == mode and v == verdict for (_, m, _), v in judged.items()) for verdict in ("yes", "no"))
        assert re.search(rf"^\| `{mode}` \|.*\| {right or '–'} \| {looks or '–'} \|$", page, re.MULTILINE), mode


def test_sessions_of_the_store(home) -> None:
    test = tool("execute", {"command": "pytest -q"}, status="failed")
    store_session("one", "/w/one", edit("/w/one", "x", "y"), test, test, test)
    store_session("two", "/w/two", tool("read", {"path": "/w/two/a.py"}))
    result = sw.analysis.behaviours(["one", "two", "one"])
    assert result.ids == ("one", "two")
    assert set(result.counts) == set(MODES)
    assert {mode: count for mode, count in result.counts.items() if count} == {
        "loop": 1, "edit_without_read": 1, "test_never_passed": 1, "no_edit": 1,
    }  # fmt: skip
    frame = result.df()
    assert list(frame.columns) == ["session_id", "mode", "turn", "step", "step_uid", "evidence", "detail"]
    (loop,) = frame[frame["mode"] == "loop"].to_dict("records")
    assert (loop["step_uid"], loop["evidence"]) == ("one/1/4", ["one/1/2", "one/1/3", "one/1/4"])
    assert "2 sessions: no_edit in 1, edit_without_read in 1, test_never_passed in 1, loop in 1" in repr(result)
    assert "<table>" in result._repr_html_()
    assert result.activity()[["test_runs", "edits", "steps_to_read"]].fillna(0).values.tolist() == [
        [3, 1, 0],
        [0, 0, 1],
    ]
    for uid, mode in zip(frame["step_uid"], frame["mode"], strict=True):
        sw.store().annotate(uid, mode, author="rules")
    assert len(sw.store().sql("from v_annotations")) == 4
    assert [each.mode for each in sw.analysis.behaviours(["two"]).found] == ["no_edit"]
    assert "wrong_file in 1" in str(sw.analysis.behaviours(["one"], expected={"one": ["b.py"]}))


def test_wrong_arguments(home) -> None:
    with pytest.raises(BadValue, match="ids must be a list"):
        sw.analysis.behaviours("one")
    with pytest.raises(SessionGone, match="no session 'nobody'"):
        sw.analysis.behaviours(["nobody"])
