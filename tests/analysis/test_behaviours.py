"""`analysis.behaviours`: each mode with its evidence, and against sessions that were labelled by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import session_widgets as sw
from session_widgets.analysis.alignment.actions import actions_of
from session_widgets.analysis.failure_modes import MODES, Behaviour, find
from session_widgets.errors import BadValue, SessionGone
from session_widgets.transcript.records import Step
from tests.analysis.stored import edit, store_session, tool
from tests.support.paths import ROOT

REAL = ROOT / "tests" / "fixtures" / "behaviours"
AT = datetime(2026, 11, 28, tzinfo=UTC)
DONE = {1: "completed"}


def step(index: int, kind: str = "tool_call", turn: int = 1, **facts: Any) -> Step:
    facts.setdefault("status", "failed" if facts.get("failure") else "completed")
    return Step("s", turn, index, kind, 1, 1, AT, AT, **facts)  # type: ignore[arg-type]


def call(index: int, kind: str, **facts: Any) -> Step:
    names = ("failure", "tool_name", "turn")
    return step(index, tool_kind=kind, raw_input={k: v for k, v in facts.items() if k not in names},
                **{name: facts[name] for name in names if name in facts})  # fmt: skip


def said(index: int, text: str) -> Step:
    return step(index, "message", text=text)


def found(*steps: Step, ends: dict[int, str] = DONE) -> list[tuple[str, list[int]]]:
    return [(each.mode, [index for _, index in each.steps]) for each in find("s", steps, actions_of(steps), ends)]


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
    assert found(failed, said(1, "All done."), ends={1: "cancelled"}) == []
    assert found(run(0, "grep -r x .", failure="error"), said(1, "All done.")) == []
    assert found(call(0, "edit", file_path="a.txt", content="b", failure="error"), said(1, "Written.")) == [
        ("error_ignored", [0, 1])
    ]


def test_a_rejected_call_after_which_nothing_was_tried() -> None:
    rejected = run(3, "rm -rf build", failure="rejected")
    assert found(rejected, said(4, "I stop here.")) == [("gave_up_after_rejection", [3, 4])]
    assert found(rejected, call(4, "read", path="a"), said(5, "Another way.")) == []
    assert found(rejected, said(4, "I stop here."), ends={1: "cancelled"}) == []
    assert found(rejected) == []


def test_code_that_was_changed_and_not_tested() -> None:
    assert found(change(0, "a.py", None), change(1, "b.go", None)) == [("edit_without_test", [0, 1])]
    assert found(change(0, "a.py", None), run(1, "mise run test:ci")) == []
    assert found(run(0, "pytest"), change(1, "a.py", None)) == [("edit_without_test", [1])]
    assert found(change(0, "README.md", None)) == []
    assert found(change(0, "a.py", None, failure="error")) == []


def real() -> Iterator[tuple[str, list[Behaviour]]]:
    for line in (REAL / "sessions.ndjson").read_text().splitlines():
        session = json.loads(line)
        steps = [step(**facts) for facts in session["steps"]]
        ends = {int(turn): status for turn, status in session["turns"].items()}
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


def test_sessions_of_the_store(home) -> None:
    test = tool("execute", {"command": "pytest -q"}, status="failed")
    store_session("one", "/w/one", edit("/w/one", "x", "y"), test, test, test)
    store_session("two", "/w/two", tool("read", {"path": "/w/two/a.py"}))
    result = sw.analysis.behaviours(["one", "two", "one"])
    assert result.ids == ("one", "two")
    assert result.counts == {"loop": 1, "edit_without_read": 1, "error_ignored": 0, "gave_up_after_rejection": 0,
                             "edit_without_test": 0}  # fmt: skip
    frame = result.df()
    assert list(frame.columns) == ["session_id", "mode", "turn", "step", "step_uid", "evidence", "detail"]
    (loop,) = frame[frame["mode"] == "loop"].to_dict("records")
    assert (loop["step_uid"], loop["evidence"]) == ("one/1/4", ["one/1/2", "one/1/3", "one/1/4"])
    assert "2 sessions: loop in 1, edit_without_read in 1" in repr(result)
    assert "<table>" in result._repr_html_()
    for uid, mode in zip(frame["step_uid"], frame["mode"], strict=True):
        sw.store().annotate(uid, mode, author="rules")
    assert len(sw.store().sql("from v_annotations")) == 2
    assert sw.analysis.behaviours(["two"]).df().empty


def test_wrong_arguments(home) -> None:
    with pytest.raises(BadValue, match="ids must be a list"):
        sw.analysis.behaviours("one")
    with pytest.raises(SessionGone, match="no session 'nobody'"):
        sw.analysis.behaviours(["nobody"])
