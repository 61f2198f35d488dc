"""An agent that answers its own permission request: refused in docker and confined local, seen in local."""

import asyncio
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._sessions.answers import Answers
from session_widgets.errors import ProtocolError, TransportError
from tests.support.waiting import until

SOURCE = Path(__file__).with_name("self_approving_agent.py").read_text()
AGENT = sw.Harness(command=("{python}", "-P", "-c", SOURCE), id="self-approving")
DECISIONS = "select outcome, option_id, decided_by from v_permissions"
YES = {"outcome": "selected", "optionId": "yes"}
NO = {"outcome": "selected", "optionId": "no"}


def test_in_local_the_turn_fails_and_what_the_agent_got_is_stored(open_session):
    session = open_session(harness=AGENT, permissions="ask")
    turn = session.start("approve yourself")
    until(lambda: turn.ended, seconds=30)
    assert turn.status == "failed"
    assert "'remove everything'" in turn.error
    assert "something that is not this session" in turn.error
    assert sw.store().sql(DECISIONS).fetchall() == [("allowed", "yes", "elsewhere")]
    told = [event.payload["params"] for event in session.events() if event.method == "_adapter/answered"]
    assert told == [{"id": 7, "outcome": YES}]
    assert session.pending == ()
    assert session.send("be good").status == "completed"
    connections = {e.payload["connection"] for e in session.events() if e.kind == "agent_started"}
    assert len(connections) == 2, "the agent that approved itself was not ended"


@pytest.mark.needs("docker")
def test_in_docker_it_is_refused_and_the_users_answer_is_the_only_one(open_session):
    session = open_session(harness=AGENT, permissions="ask", sandbox="docker")
    turn = session.start("approve yourself")
    until(lambda: "approving: " in turn.text, seconds=60)
    assert "approving: 401" in turn.text
    (request,) = session.pending
    assert request.reject()
    until(lambda: turn.ended, seconds=30)
    assert (turn.status, turn.text.splitlines()[-1]) == ("completed", "allowed: no")
    assert sw.store().sql(DECISIONS).fetchall() == [("rejected", "no", "user")]


@pytest.mark.needs("bwrap")
def test_in_confined_local_there_is_no_token_to_find(open_session):
    session = open_session(harness=AGENT, permissions="ask", sandbox=sw.Sandbox("local", confine=True))
    turn = session.start("approve yourself")
    until(lambda: "approving: " in turn.text, seconds=60)
    (request,) = session.pending
    assert request.reject()
    until(lambda: turn.ended, seconds=30)
    assert (turn.status, turn.text.splitlines()) == ("completed", ["approving: no runner", "allowed: no"])


class Connection:
    """Takes answers; `refusal` is raised by each."""

    refusal = None

    async def post(self, _envelope):
        await asyncio.sleep(0)
        if self.refusal:
            raise self.refusal


@pytest.mark.parametrize(
    ("sent", "stored", "refusal", "told", "ours"),
    [
        (NO, None, None, NO, True),
        (NO, None, None, YES, False),
        (NO, NO, ProtocolError("another client answered first"), NO, False),
        (NO, NO, TransportError("it broke off"), NO, True),  # it had arrived
        (None, NO, None, NO, True),  # by a kernel that was killed
        (None, NO, None, YES, False),
        (None, None, None, YES, False),
    ],
)
async def test_an_answer_is_ours_if_ours_was_first(sent, stored, refusal, told, ours):
    connection = Connection()
    connection.refusal = refusal
    answers = Answers(connection)

    async def look():
        return stored and {"id": 7, "result": {"outcome": stored}}

    if sent:
        assert await answers.send({"id": 7, "result": {"outcome": sent}}) is (refusal is None)
    assert await answers.are_ours({"id": 7, "outcome": told}, look) is ours
