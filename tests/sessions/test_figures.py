"""A `Turn` agrees with the store, also after a kernel restart."""

from __future__ import annotations

import sys
from pathlib import Path

import session_widgets as sw
from tests.support.waiting import until

AGENT = sw.Harness(command=[sys.executable, str(Path(__file__).with_name("costing_agent.py"))], id="costing")


def stored(session):
    (turn,) = session.store.turns(session.id)[-1:]
    return turn.usage


def test_a_turn_costs_what_the_store_says(open_session):
    session = open_session(harness=AGENT)
    for total, cost in (("0.25", 0.25), ("0.3", 0.05), ("0.3", 0)):
        turn = session.send(total)
        assert (turn.usage.cost, turn.text) == (cost, "ok")
        assert turn.usage == stored(session)
    session.detach()
    session.store.close()
    session = open_session(harness=AGENT)
    turn = session.send("0.7")
    assert turn.tier == "warm"
    assert turn.usage == stored(session)
    assert turn.usage.cost == 0.4
    assert session.store.sql("select sum(cost)::double from v_usage").fetchall() == [(0.7,)]
    assert session.store.sql("select distinct model from v_turns").fetchall() == [("dear",)]


def test_a_turn_that_is_taken_up_costs_the_same(open_session):
    session = open_session(harness=AGENT, permissions="ask")
    session.send("0.7")
    turn = session.start("0.8 ask")
    until(lambda: turn.status == "waiting", what="the question")
    session.detach()
    session.store.close()
    session = open_session(harness=AGENT, permissions="ask")
    (request,) = until(lambda: session.pending, what="the question again")
    turn = session.turns[-1]
    assert [step.permission.request_id for step in turn.steps if step.permission] == [request.id]
    assert request.allow()
    turn.wait(20)
    assert turn.usage.cost == 0.1
    assert turn.usage == stored(session)
    (step,) = (step for step in turn.steps if step.permission)
    assert step.permission.verdict == "allowed"
