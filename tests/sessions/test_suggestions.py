"""The suggestions of a new session, really run by the demo harness without a model."""

import pytest

from session_widgets._harnesses import catalog
from session_widgets.demo.suggestions import ASK, LOOK, WRITE
from tests.support.waiting import until


def seen(turn):
    return [(step.kind, step.tool_kind) for step in turn.steps if step.kind in {"plan", "tool_call", "question"}]


def test_every_harness_suggests_something_and_the_demo_what_it_can_do():
    for name in catalog.names():
        assert 3 <= len(catalog.get(name).suggestions) <= 6
    assert catalog.get("demo").suggestions == (LOOK, WRITE, ASK)


def test_looking_around_reads_files_and_takes_a_note(open_session):
    session = open_session()
    session.files.write("README.md", b"# Data\n\nMeasurements of May.\n")
    turn = session.send(LOOK)
    assert seen(turn) == [("tool_call", "search"), ("tool_call", "read"), ("tool_call", "edit")]
    assert "Measurements of May." in turn.text
    assert [file.path for file in turn.files] == ["NOTES.md"]


def test_a_script_is_planned_written_run_and_made_better(open_session):
    session = open_session()
    turn = session.send(f"{WRITE.lower()}.")
    assert seen(turn) == [("plan", None), *[("tool_call", kind) for kind in ("edit", "execute", "edit", "execute")]]
    plan, first, ran, second, again = [step for step in turn.steps if step.kind in {"plan", "tool_call"}]
    assert {entry["status"] for entry in plan.entries} == {"completed"}
    assert (first.content[0]["oldText"], second.content[0]["oldText"]) == (None, first.content[0]["newText"])
    assert [step.status for step in (first, ran, second, again)] == ["completed"] * 4
    assert "2 3 5 7" in ran.content[0]["content"]["text"]
    assert ran.content == again.content


@pytest.mark.parametrize("kind", ["a haiku", "a limerick", None])
def test_a_question_decides_what_is_written(open_session, kind):
    session = open_session()
    turn = session.start(ASK)
    question = until(lambda: session.questions, what="the question")[0]
    if kind is None:
        question.decline()
        assert "I leave everything as it is" in turn.wait(20).text
        assert turn.files == ()
    else:
        question.accept({"kind": kind, "heading": "Hello"})
        turn.wait(20)
        heading, _, poem = session.files.read_text("poem.md").partition("\n\n")
        assert heading == "# Hello"
        assert len(poem.splitlines()) == {"a haiku": 3, "a limerick": 5}[kind]
