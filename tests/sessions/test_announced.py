"""Requests for permission that only name a call which the agent described before."""

from __future__ import annotations

import sys
from pathlib import Path

import session_widgets as sw
from tests.support.waiting import until

TERSE = sw.Harness(
    id="terse",
    command=[
        sys.executable, str(Path(__file__).with_name("terse_agent.py")),
        sys.executable, "-P", "-m", "session_widgets.demo",
    ],
)  # fmt: skip


def test_earlier_updates_belong_to_the_request(open_session):
    seen = []

    def look(request):
        seen.append(request.tool_call)
        return request.of_kind("reject_once").id

    session = open_session(harness=TERSE, permissions=look)
    session.send("run touch made")
    assert [call["rawInput"]["command"] for call in seen] == ["touch made"]
    assert [(call["kind"], call["title"]) for call in seen] == [("read", "Look around")]


def test_a_command_in_an_earlier_update_is_no_reading(open_session):
    session = open_session(harness=TERSE, permissions="allow_reads")
    turn = session.start("run touch made")
    (request,) = until(lambda: session.pending, what="the request")
    request.reject()
    assert turn.wait(30).status == "completed"
    assert "made" not in session.exec("ls").out
