"""Questions of the agent to a person, by the demo harness: answered, declined, left open; never by a timer."""

import threading

import pytest

from session_widgets._sessions import cell, cell_form
from session_widgets._store.payload import encode
from session_widgets.errors import BadValue, TransportError
from tests.support.waiting import until

SECRET = "correct-horse-battery-staple"
FORM = (
    'question {"message": "Where to?", "requestedSchema": {"required": ["host", "password"], "properties": {'
    '"host": {"type": "string"}, "port": {"type": "integer", "default": 22}, "password": {"type": "string"}}}}'
)


def asked(session):
    return until(lambda: session.questions, what="a question")[0]


def answers(session):
    """Those of the latest turn."""
    events = session.store.events(session.id, turn=session.turns[-1].index)
    return [event.payload for event in events if event.kind == "question_answered"]


def step_of(turn):
    return next(step for step in turn.steps if step.kind == "question")


def test_a_question_waits_for_a_person_and_is_recorded(session):
    turn = session.start("question Which colour? | red | blue")
    question = asked(session)
    assert session.status == turn.status == "waiting"
    assert (question.message, question.mode, question.turn) == ("Which colour?", "form", turn.index)
    assert [choice.value for choice in question.fields[0].choices] == ["red", "blue"]
    assert (step_of(turn).status, step_of(turn).text) == ("pending", "Which colour?")
    assert step_of(turn).raw_input["request_id"] == question.id
    with pytest.raises(BadValue, match="one of 'red', 'blue'"):
        question.accept({"answer": "green"})
    assert question.accept({"answer": "blue"}) is True
    assert question.accept({"answer": "red"}) is False
    assert turn.wait(20).text == 'You answered: {"answer": "blue"}'
    assert session.questions == ()
    (stored,) = [step for step in session.transcript.steps if (step.turn, step.kind) == (turn.index, "question")]
    assert stored == step_of(turn)
    assert (stored.status, stored.raw_output["action"], stored.raw_output["answered_by"]) == (
        "completed",
        "accept",
        "user",
    )
    assert stored.raw_output["content"] == {"answer": "blue"}


@pytest.mark.parametrize(
    ("way", "said", "status"),
    [("decline", "You declined to answer.", "completed"), ("cancel", "You left my question open.", "cancelled")],
)
def test_a_question_can_be_declined_or_left_open(session, way, said, status):
    turn = session.start("question Why?")
    assert getattr(asked(session), way)() is True
    assert turn.wait(20).text == said
    assert (step_of(turn).status, step_of(turn).raw_output["action"]) == (status, way)


def test_a_secret_reaches_the_agent_and_never_the_store(session):
    turn = session.start(f"{FORM}\nsay done")
    question = asked(session)
    assert [field.secret for field in question.fields] == [False, False, True]
    question.accept({"host": "h", "password": SECRET})
    turn.wait(20)
    events = [event for event in session.events() if event.direction != "in"]  # the demo's message repeats it
    assert SECRET not in encode([dict(event.payload) for event in events])
    assert SECRET in turn.text
    (note,) = answers(session)
    assert (note["content"], note["secrets"]) == ({"host": "h", "password": "[redacted]"}, ["password"])


def test_an_address_is_shown_and_never_opened_by_us(session):
    url = '{"message": "Sign in", "mode": "url", "elicitationId": "e1", "url": "https://example.org/in"}'
    turn = session.start(f"question {url}")
    question = asked(session)
    assert (question.mode, question.url, question.fields) == ("url", "https://example.org/in", ())
    assert question.accept() is True
    assert turn.wait(20).text == "You answered: {}"


def test_what_cannot_be_asked_is_refused(session):
    turn = session.send('question {"mode": "url", "url": "javascript:alert(1)", "elicitationId": "e1"}')
    assert "not http or https" in turn.text
    assert (step_of(turn).status, step_of(turn).raw_output["action"]) == ("failed", "refused")
    assert session.questions == ()


def test_a_policy_that_rejects_everything_declines(session):
    session.set_permissions("deny")
    assert session.send("question Why?").text == "You declined to answer."
    assert [(note["action"], note["answered_by"]) for note in answers(session)] == [("decline", "policy:deny")]


def test_cancelling_the_turn_leaves_the_question_open(session):
    turn = session.start("question Why?")
    asked(session)
    assert session.cancel()
    assert turn.status == "cancelled"
    assert step_of(turn).status == "cancelled"
    assert session.questions == ()
    assert session.send("say on").text == "on"


def test_a_kernel_that_comes_later_asks_again(open_session):
    session = open_session()
    session.start("question Which? | a | b")
    asked(session)
    session.detach()
    session.attach()
    assert asked(session).accept({"answer": "b"}) is True
    assert session.turns[-1].wait(20).text == 'You answered: {"answer": "b"}'


@pytest.mark.parametrize(
    ("script", "content", "said"),
    [
        ("question Which? | a | b", {"answer": "b"}, 'You answered: {"answer": "b"}'),
        (FORM, {"host": "h", "password": SECRET}, "You left my question open."),
    ],
    ids=["an answer", "one with a secret"],
)
def test_an_answer_that_was_stored_and_did_not_arrive_is_sent_again_but_for_secrets(
    open_session, monkeypatch, script, content, said
):
    session = open_session()
    session.start(script)
    question = asked(session)

    async def lost(envelope):
        raise TransportError("the line is cut")

    monkeypatch.setattr(session._controller.agents.agent.connection, "post", lost)
    assert question.accept(content) is False
    session.detach()
    session.attach()
    assert session.turns[-1].wait(20).text == said
    assert len(answers(session)) == 1


def test_blocked_send_without_an_input_declines_with_the_reason(session):
    session.set_permissions("ask")
    turn = session.send("question Why?")
    assert turn.text == "You declined to answer."
    assert "nobody could be asked" in answers(session)[0]["reason"]


def typing(monkeypatch, typed):
    """Type lines where a cell or terminal reads them; returns the prompts, a secret's with a mark."""
    shown, typed = [], iter(typed)

    def type_in(kernel, prompt, is_wanted, closing, *, secret=False):
        shown.append(f"{'secret ' * secret}{prompt}")
        line = next(typed)
        if callable(line):
            line()
        return line if is_wanted() else None

    monkeypatch.setattr(cell_form, "has_stdin", lambda: True)
    monkeypatch.setattr(cell, "read_line", type_in)
    assert threading.current_thread() is threading.main_thread()
    return shown


def test_a_cell_asks_field_by_field(session, monkeypatch, capsys):
    shown = typing(monkeypatch, ["", "x", "answer", "", "host.example", "many", "2222", SECRET])
    turn = session.send(FORM)
    assert turn.text == f'You answered: {{"host": "host.example", "port": 2222, "password": "{SECRET}"}}'
    assert "The agent asks: Where to?" in capsys.readouterr().out
    assert [prompt.startswith("secret ") for prompt in shown] == [False] * 7 + [True]
    assert answers(session)[0]["answered_by"] == "user:cell"


def test_an_answer_from_elsewhere_ends_the_cells_question(session, monkeypatch, capsys):
    typing(monkeypatch, ["a", lambda: asked(session).accept({"answer": "blue"})])
    assert session.send("question Which? | red | blue").text == 'You answered: {"answer": "blue"}'
    assert "answered elsewhere" in capsys.readouterr().out
    assert answers(session)[0]["answered_by"] == "user"
