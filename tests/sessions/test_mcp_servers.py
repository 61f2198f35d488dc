"""MCP servers of the user: no secret of theirs is stored, and what is wrong is refused."""

from __future__ import annotations

import pytest

import session_widgets as sw
from session_widgets._store.payload import encode
from session_widgets.errors import BadValue
from tests.sessions.calling import SECRET, add, answers, echo_server, notes


def stored(session):
    return encode([dict(event.payload) for event in session.events()])


# Secrets, and servers of the user's own


def test_no_secret_of_a_server_is_stored(open_session):
    session = open_session(tools=[add], mcp_servers=[echo_server(SECRET)])
    turn = session.send('tool add {"a": 1}\ntool show {"name": "x"}')
    assert answers(turn) == [("completed", "3"), ("completed", "it is set to 30 characters")]
    text = stored(session)
    assert SECRET not in text
    (asked,) = [event for event in session.events() if event.method == "session/new" and event.direction == "out"]
    notebook, own = asked.payload["params"]["mcpServers"]
    assert {pair["value"] for pair in (*notebook["env"], *own["env"])} == {"[redacted]"}
    assert session._controller.tools._server["env"][1]["value"] not in text


def test_arguments_are_redacted_and_capped(open_session, monkeypatch):
    monkeypatch.setenv("LAB_TOKEN", SECRET)
    session = open_session()
    session.tool(lambda words: len(words), name="count")
    session.send(f'tool count {{"words": "{SECRET}"}}\ntool count {{"words": "{"y" * 9_000}"}}')
    first, second = (note.payload["arguments"] for note in notes(session))
    assert first == {"words": "[redacted]"}
    assert len(second) < 4_100
    assert second.endswith("[cut]")


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        ("text", "must be a list"),
        ([{"command": "x"}], "an object with a name"),
        ([{"name": "notebook", "command": "x"}], "the notebook's own tools"),
        ([{"name": "x"}], "needs 'command'"),
        ([{"name": "x", "command": "y", "args": "z"}], "must be a list of text"),
        ([{"name": "x", "command": "y", "env": {"A": "b"}}], "'env' of 'x' must be"),
        ([{"name": "x", "command": "y", "url": "z"}], "has 'url'"),
        ([{"name": "x", "type": "tcp", "url": "z"}], "type of 'x'"),
        ([{"name": "x", "command": "y"}] * 2, "two of mcp_servers"),
    ],
)
def test_wrong_servers_are_refused_and_nothing_is_made(home, servers, said):
    with pytest.raises(BadValue, match=said):
        sw.open_session("s1", mcp_servers=servers)
    assert sw.store().session("s1") is None
    sw.store().close()


def test_a_type_that_the_agent_does_not_take(open_session):
    session = open_session(mcp_servers=[{"name": "far", "type": "http", "url": "http://127.0.0.1:9/mcp"}])
    turn = session.send("say hello")
    assert turn.status == "failed"
    assert "takes none of type 'http'" in turn.error


def test_a_server_that_does_not_start_fails_its_call_alone(open_session):
    broken = [{"name": "gone", "command": "/no/such/program"}]
    turn = open_session(mcp_servers=broken).send("tool show\nsay after it")
    ((status, text),) = answers(turn)
    assert (status, "gone does not start" in text) == ("failed", True)
    assert turn.text == "after it"


def test_a_harness_that_takes_no_servers_is_refused_in_words(home, open_session):
    for offered in ({"tools": [add]}, {"mcp_servers": [echo_server(SECRET)]}):
        with pytest.raises(BadValue, match="uses no MCP servers"):
            sw.open_session("pi", harness="pi", **offered)
    assert sw.store().session("pi") is None
    with pytest.raises(BadValue, match="uses no MCP servers"):
        open_session("pi", harness="pi").tool(add)
