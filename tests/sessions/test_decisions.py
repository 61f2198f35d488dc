"""Permission requests in a session: who decides, and what is recorded."""

import sys
import threading

import pexpect

from session_widgets._sessions.loop import private_loop
from tests.support.waiting import until

WRITE = "write a.txt <<EOT\nx\nEOT"


def decisions(session):
    """Those of the latest turn."""
    events = session.store.events(session.id, turn=session.turns[-1].index)
    return [event.payload for event in events if event.kind == "permission_decision"]


def test_allow_edits_writes_and_asks_for_commands(session):
    session.set_permissions("allow_edits")
    turn = session.start(f"{WRITE}\nrun echo hi")
    while not session.pending:
        turn.wait_news(1)
    assert (session.workspace / "a.txt").exists()
    assert session.status == "waiting"
    assert session.pending[0].tool_kind == "execute"
    assert session.pending[0].choose(session.pending[0].of_kind("reject_once").id) is True
    turn.wait(20)
    assert session.pending == ()
    assert [payload["decided_by"] for payload in decisions(session)] == ["policy:allow_edits", "user"]


def test_deny(session):
    session.set_permissions("deny")
    turn = session.send(WRITE)
    assert turn.files == ()
    assert [payload["option_kind"] for payload in decisions(session)] == ["reject_once"]


def test_function_sees_the_diff(session):
    seen = []

    def judge(asked):
        seen.append(asked)
        return asked.of_kind("allow_once").id

    session.set_permissions(judge)
    turn = session.send(WRITE)
    assert [change.path for change in turn.files] == ["a.txt"]
    assert seen[0].tool_call["content"][0]["newText"] == "x\n"


def test_blocked_send_without_an_input_rejects_with_the_reason(session):
    session.set_permissions("ask")
    turn = session.send(WRITE)
    assert turn.files == ()
    (payload,) = decisions(session)
    assert payload["option_kind"] == "reject_once"
    assert "nobody could be asked" in payload["reason"]
    rows = session.store.sql("select decided_by, outcome from v_permissions where turn = ?", [turn.index]).fetchall()
    assert rows == [("policy:ask", "rejected")]


def test_cancel_answers_what_is_open(session):
    session.set_permissions("ask")
    turn = session.start(WRITE)
    while not session.pending:
        turn.wait_news(1)
    request = session.pending[0]
    session.cancel()
    assert turn.status == "cancelled"
    assert request.allow() is False
    assert [payload["outcome"] for payload in decisions(session)] == ["cancelled"]


def test_cancel_answers_what_a_function_still_thinks_about(session):
    thinking, over = threading.Event(), threading.Event()

    def ponder(request):
        thinking.set()
        over.wait(20)
        return request.of_kind("allow_once").id

    session.set_permissions(ponder)
    turn = session.start("write a.txt <<EOT\nx\nEOT")
    assert thinking.wait(20)
    session.cancel()
    over.set()
    assert turn.status == "cancelled"
    assert [payload["outcome"] for payload in decisions(session)] == ["cancelled"]
    assert not (session.workspace / "a.txt").exists()


async def test_what_is_asked_after_the_cancel_is_cancelled_too(session):
    """An agent may ask before it receives the cancellation; without an answer it would wait for ever."""
    turn = session.start("wait 20")
    until(lambda: any(step.kind == "tool_call" for step in turn.steps))
    asking, agent = session._controller.permissions, session._controller.agents.agent
    params = {"toolCall": {"toolCallId": "t"}, "options": [{"optionId": "y", "name": "Yes", "kind": "allow_once"}]}
    late = {"jsonrpc": "2.0", "id": 99, "method": "session/request_permission", "params": params}

    async def cancel_then_ask():
        await asking.cancel_all()
        await asking._take(agent, late, turn.index)

    await private_loop().aio(cancel_then_ask())
    assert [decision["outcome"] for decision in decisions(session)] == ["cancelled"]
    session.cancel()


IN_A_TERMINAL = """
import sys, threading
import session_widgets as sw
session = sw.open_session("terminal", permissions="ask")
def answer():
    sys.stdin_is_read.wait()
    session.pending[0].allow()
sys.stdin_is_read = threading.Event()
session.control.page.watch(sys.stdin_is_read.set)
threading.Thread(target=answer, daemon=True).start()
print("first:", session.send("write a.txt <<EOT\\nx\\nEOT").files[0].path)
print("second:", session.send("write b.txt <<EOT\\nx\\nEOT").files)
session.delete()
"""


def test_an_answer_from_elsewhere_ends_the_question_of_a_terminal():
    child = pexpect.spawn(sys.executable, ["-c", IN_A_TERMINAL], encoding="utf-8", timeout=30)
    child.expect(r"terminal, question 1\. Allow\? \[o\] once / \[a\] always / \[r\] reject: ")
    child.expect("This was answered elsewhere.")
    child.expect("first: a.txt")
    child.expect("question 2.*: ")
    child.sendline("r")
    child.expect(r"second: \(\)")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
