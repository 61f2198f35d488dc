"""Annotations and scores: kept by everything but the deletion of their session."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import pytest

from session_widgets._store.database import Store
from session_widgets.errors import BadValue, SessionGone
from tests.store.importing.claude import SESSION, story
from tests.support.drafts import chunk, note, opened

pytestmark = pytest.mark.slow

ROWS = """select session_id, step_uid, until_uid, turn, step, until_step, label, note, author
          from v_annotations order by all"""
SCORES = "select session_id, name, value, note, author from v_scores order by all"
ME = getpass.getuser()


@pytest.fixture
def filled(store: Store) -> Store:
    for name in ("a", "b"):
        store.append(name, [opened(), note("turn_started", 2, turn=1, prompt=[]), chunk(3, "one")])
        store.append(name, [note("turn_ended", 4, turn=1, status="completed")])
    return store


def rows(store: Store) -> list[tuple[Any, ...]]:
    return [*store.sql(ROWS).fetchall(), *store.sql(SCORES).fetchall()]


def uid(store: Store, session_id: str) -> str:
    return store.transcript(session_id).steps[-1].step_uid


def test_a_step_and_a_span_are_annotated(filled: Store) -> None:
    step = uid(filled, "a")
    (one,) = filled.annotate(step, "loop", note="again and again")
    filled.annotate(step, "start", until=step, author="Ann")
    assert filled.sql(ROWS).fetchall() == [
        ("a", step, step, 1, 1, 1, "start", None, "Ann"),
        ("a", step, None, 1, 1, None, "loop", "again and again", ME),
    ]
    (again,) = filled.annotate(step, "loop", note="twice")
    assert again != one
    assert len(filled.sql(ROWS)) == 2
    assert filled.remove_annotations([one]) == 0
    assert filled.remove_annotations([again]) == 1
    assert filled.remove_annotations([]) == 0
    assert [row[6] for row in filled.sql(ROWS).fetchall()] == ["start"]


def test_a_function_annotates_the_steps_that_it_chooses(filled: Store) -> None:
    def said(transcript: Any) -> Any:
        steps = transcript.steps
        return {"a": [steps[0], steps[0].step_uid, (steps[0], steps[-1])], "b": None}[transcript.session_id]

    assert len(filled.annotate(said, "found")) == 3
    assert [(row[0], row[2] is None, row[8]) for row in filled.sql(ROWS).fetchall()] == [
        ("a", False, "function:said"),
        ("a", True, "function:said"),
    ]
    assert filled.annotate(said, "found", session="b") == []
    with pytest.raises(BadValue, match=r"expected a step, its step_uid, or a pair.*got 3"):
        filled.annotate(lambda transcript: [3], "found")


def test_scores_of_one_of_several_and_of_all_sessions(filled: Store) -> None:
    filled.score("a", "tests_pass", True, note="by hand")
    filled.score("a", "tests_pass", 0.5)
    filled.score(["a", "b"], "effort", 3, author="Ann")
    filled.score(None, "steps", lambda transcript: len(transcript.steps) if transcript.session_id == "b" else None)
    assert filled.sql(SCORES).fetchall() == [
        ("a", "effort", 3.0, None, "Ann"),
        ("a", "tests_pass", 0.5, None, ME),
        ("b", "effort", 3.0, None, "Ann"),
        ("b", "steps", 2.0, None, "function:<lambda>"),
    ]
    assert filled.remove_scores("a", "effort", author="Bob") == 0
    assert filled.remove_scores("a", "effort") == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda store: store.annotate("nowhere", "x"), BadValue, "no step 'nowhere'"),
        (lambda store: store.annotate(uid(store, "a"), "x", session="b"), BadValue, "no step .* in session 'b'"),
        (
            lambda store: store.annotate(uid(store, "a"), "x", until=uid(store, "b")),
            BadValue,
            "a span is in one session",
        ),
        (lambda store: store.annotate(uid(store, "a"), " "), BadValue, "label must be a text"),
        (lambda store: store.annotate(uid(store, "a"), "x", author="a" * 201), BadValue, "author must be"),
        (lambda store: store.score("a", "x", float("nan")), BadValue, "finite number"),
        (lambda store: store.score("a", "x", "1"), BadValue, "finite number"),
        (lambda store: store.score(["a", "nobody"], "x", 1), SessionGone, "no session 'nobody'"),
        (lambda store: store.score("nobody", "x", len), SessionGone, "no session 'nobody'"),
    ],
    ids=["step", "session", "span", "label", "author", "nan", "text", "unknown", "function"],
)
def test_what_is_wrong_is_refused_and_nothing_is_stored(filled: Store, call, error, message) -> None:
    with pytest.raises(error, match=message):
        call(filled)
    assert rows(filled) == []


def test_they_stay_after_a_rebuild_and_compaction_and_go_with_their_session(filled: Store) -> None:
    for name in ("a", "b"):
        filled.annotate(uid(filled, name), "loop")
        filled.score(name, "tests_pass", 1)
    before = rows(filled)
    filled.rebuild()
    filled.rebuild("a")
    filled.compact()
    assert rows(filled) == before
    filled.delete_session("a")
    assert rows(filled) == [row for row in before if row[0] == "b"]
    filled.append("a", [opened(1, source="kernel:new")])
    assert rows(filled) == [row for row in before if row[0] == "b"], "another session of the same name has none"


def test_they_stay_when_their_file_is_imported_again(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(str(story()))
    store.import_(file)
    step = next(one for one in store.transcript(SESSION).steps if one.kind == "message")
    store.annotate(step.step_uid, "good")
    store.score(SESSION, "tests_pass", 1)
    before = rows(store)
    assert before[0][3:5] == (step.turn, step.step)
    file.write_text('{"type": "summary", "summary": "a line before", "leafUuid": "x"}\n' + str(story()))
    assert [one.outcome for one in store.import_(file).files] == ["rewritten"]
    assert rows(store) == before
    lines = str(story()).splitlines(keepends=True)
    file.write_text("".join(line for line in lines if step.step_uid not in line))
    store.import_(file)
    assert [(row[:2], row[3]) for row in store.sql(ROWS).fetchall()] == [((SESSION, step.step_uid), None)]


def test_a_copied_step_is_that_of_the_original_unless_a_session_is_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(str(story()))
    (tmp_path / "b.jsonl").write_text(str(story()))
    store.import_(tmp_path)
    both = [record.id for record in store.sessions()]
    step = store.transcript(SESSION).steps[0].step_uid
    with pytest.raises(BadValue, match="in several sessions"):
        store.annotate(step, "x")
    for name in both:
        store.annotate(step, "x", session=name)
    assert sorted(row[0] for row in rows(store)) == sorted(both)


def test_the_success_matrix_has_each_task_and_side(store: Store) -> None:
    for name, harness, title in [("a", "x", "one"), ("b", "x", "one"), ("c", "y", "one"), ("d", "x", None)]:
        store.append(name, [opened(harness=harness, title=title)])
        prompt = [{"type": "text", "text": "two"}]
        store.append(name, [note("turn_started", 2, turn=1, prompt=prompt), chunk(3)])
    for name, value, author in [
        ("a", True, "p"),
        ("a", True, "q"),
        ("b", False, "p"),
        ("c", 0.5, "p"),
        ("d", True, "p"),
    ]:
        store.score(name, "pass", value, author=author)
    query = (
        "select task, harness, runs, mean, low, high, passed from v_success_matrix where score = 'pass' order by all"
    )
    assert store.sql(query).fetchall() == [
        ("one", "x", 2, 0.5, 0, 1, 1),
        ("one", "y", 1, 0.5, 0.5, 0.5, None),
        ("two", "x", 1, 1, 1, 1, 1),
    ]
