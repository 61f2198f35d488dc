"""Valid prompts, and blocks that the agent does not support."""

import shutil

import pytest

from session_widgets.errors import BadValue

IMAGE = {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo="}


@pytest.mark.parametrize(
    ("block", "lacks"),
    [
        ({"type": "text"}, "'text', as text"),
        ({"type": "image", "mimeType": "image/png", "data": b"\x89PNG"}, "'data', as text, in base64"),
        ({"type": "image", "data": "iVBORw0KGgo="}, "'mimeType'"),
        ({"type": "audio"}, "'data'"),
        ({"type": "resource_link", "name": "a.txt"}, "'uri'"),
    ],
)
def test_a_block_that_lacks_something_is_refused_in_words(session, block, lacks):
    before = len(session.turns)
    with pytest.raises(BadValue, match=f"a block of type '{block['type']}' in a prompt needs {lacks}"):
        session.send([{"type": "text", "text": "say hello"}, block])
    assert len(session.turns) == before


@pytest.mark.parametrize("block", [IMAGE, {**IMAGE, "type": "audio", "mimeType": "audio/wav"}])
def test_an_agent_that_cannot_take_it_is_not_sent_it(session, block):
    turn = session.send([{"type": "text", "text": "say hello"}, block])
    assert turn.status == "failed"
    assert f"Demo takes no {block['type']} in a prompt. Put it into the workspace" in turn.error
    assert [event for event in session.events() if event.turn == turn.index and event.method == "session/prompt"] == []
    assert session.send("say hello").text == "hello"


def test_what_a_resource_says_reaches_an_agent_that_takes_it(session):
    resource = {"uri": "file:///notes.txt", "mimeType": "text/plain", "text": "say from a resource"}
    turn = session.send([{"type": "resource", "resource": resource}, {"type": "text", "text": "say hello"}])
    assert (turn.status, turn.text) == ("completed", "hello")


def test_a_history_waits_for_a_delivered_prompt(open_session):
    session = open_session()
    session.send("say the first words")
    session.park()
    shutil.rmtree(session.workspace / ".harness")
    assert session.send([IMAGE]).status == "failed"
    turn = session.send("remember")
    assert (turn.tier, "say the first words" in turn.text) == ("replay", True)
    assert session.send("remember").tier == "warm"
