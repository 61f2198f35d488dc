"""Permission requests: policies, questions, and the effect of answers."""

from __future__ import annotations

import pytest

from tests.harnesses.driver import Conversation, outcome

WRITE = "write a.txt <<EOT\nx\nEOT"
RUN = "run echo hi"


def set_mode(talk: Conversation, mode: str) -> None:
    assert talk.agent.call("session/set_config_option", sessionId=talk.id, configId="mode", value=mode)["result"]


def test_the_request_carries_the_diff_and_four_kinds_of_answer(talk, workspace):
    reply = talk.prompt(WRITE)
    (request,) = reply.permissions
    params = request["params"]
    assert params["sessionId"] == talk.id
    assert params["toolCall"]["toolCallId"] == reply.tools()[0]["toolCallId"]
    assert params["toolCall"]["content"] == [
        {"type": "diff", "path": str(workspace / "a.txt"), "oldText": None, "newText": "x\n"}
    ]
    assert [option["kind"] for option in params["options"]] == [
        "allow_once",
        "allow_always",
        "reject_once",
        "reject_always",
    ]


def test_the_request_carries_the_command(talk):
    (request,) = talk.prompt(RUN).permissions
    assert request["params"]["toolCall"]["rawInput"]["command"] == "echo hi"
    assert request["params"]["toolCall"]["kind"] == "execute"


@pytest.mark.parametrize(
    ("mode", "asked"), [("ask", ["edit", "execute"]), ("accept_edits", ["execute"]), ("full_access", [])]
)
def test_modes_decide_what_is_asked(talk, workspace, mode, asked):
    set_mode(talk, mode)
    reply = talk.prompt(f"{WRITE}\n{RUN}\nread a.txt")
    assert [request["params"]["toolCall"]["kind"] for request in reply.permissions] == asked
    assert [tool["status"] for tool in reply.tools()] == ["completed"] * 3


def test_plan_mode_only_reads(talk, workspace):
    (workspace / "b.txt").write_text("b")
    set_mode(talk, "plan")
    reply = talk.prompt(f"{WRITE}\n{RUN}\nread b.txt")
    assert reply.permissions == []
    assert [tool["status"] for tool in reply.tools()] == ["failed", "failed", "completed"]
    assert reply.text.count("Plan mode only reads.") == 2
    assert not (workspace / "a.txt").exists()


def test_reject_fails_the_tool_and_the_script_goes_on(talk, workspace):
    talk.answer = "reject_once"
    reply = talk.prompt(f"{WRITE}\nsay next")
    assert reply.tools()[0]["statuses"] == ["pending", "failed"]
    assert reply.text == "The user rejected it. So I went on without: Write a.txt\n\nnext"
    assert reply.stop_reason == "end_turn"
    assert not (workspace / "a.txt").exists()
    assert len(talk.prompt(WRITE).permissions) == 1  # once means once


@pytest.mark.parametrize(("answer", "status"), [("allow_always", "completed"), ("reject_always", "failed")])
def test_always_holds_for_the_kind_and_the_session(talk, shared_agent, workspace, answer, status):
    talk.answer = answer
    reply = talk.prompt(f"{WRITE}\n{WRITE}\n{RUN}")
    assert [request["params"]["toolCall"]["kind"] for request in reply.permissions] == ["edit", "execute"]
    reply = talk.prompt(f"{WRITE}\n{RUN}")
    assert reply.permissions == []
    assert {tool["status"] for tool in reply.tools()} == {status}
    assert len(Conversation(shared_agent, workspace).prompt(WRITE).permissions) == 1


def test_cancelled_outcome_ends_the_turn(talk, workspace):
    talk.answer = "cancelled"
    reply = talk.prompt(f"{WRITE}\nsay never")
    assert reply.stop_reason == "cancelled"
    assert reply.tools()[0]["status"] == "failed"
    assert reply.text == ""
    assert not (workspace / "a.txt").exists()


@pytest.mark.parametrize(
    "result",
    [
        {"outcome": {"outcome": "selected", "optionId": "no such option"}},
        {"outcome": {"outcome": "approved"}},
        {"outcome": None},
        {},
        None,
        "allow",
    ],
)
def test_an_answer_that_makes_no_sense_is_a_no(talk, workspace, result):
    talk.answer = "nothing"
    id_ = talk.start(WRITE)
    reply = talk.finish(id_, until=lambda reply: reply.permissions)
    talk.agent.answer(reply.permissions[0], result)
    assert talk.finish(id_, reply).tools()[0]["status"] == "failed"
    assert not (workspace / "a.txt").exists()


def test_a_client_that_cannot_ask_is_a_no(talk, workspace):
    talk.answer = "nothing"
    id_ = talk.start(WRITE)
    reply = talk.finish(id_, until=lambda reply: reply.permissions)
    error = b'{"jsonrpc":"2.0","id":%d,"error":{"code":-32601,"message":"no"}}' % reply.permissions[0]["id"]
    talk.agent.write(error)
    talk.agent.write(error)  # a response that comes twice changes nothing
    reply = talk.finish(id_, reply)
    assert reply.tools()[0]["status"] == "failed"
    assert reply.stop_reason == "end_turn"
    assert not (workspace / "a.txt").exists()


def test_an_answer_whose_id_is_no_integer_answers_nothing(start_agent, workspace):
    talk = Conversation(start_agent(), workspace)
    talk.answer = "nothing"
    id_ = talk.start(WRITE)
    reply = talk.finish(id_, until=lambda reply: reply.permissions)
    allowed = outcome(reply.permissions[0], "allow_once")
    assert reply.permissions[0]["id"] == 0
    for other in ("0", 0.0, False, None):  # in Python two of them equal 0
        talk.agent.answer({"id": other}, allowed)
    talk.agent.collect(talk.agent.send("session/list"))
    assert not (workspace / "a.txt").exists()
    talk.agent.answer(reply.permissions[0], allowed)
    assert talk.finish(id_, reply).tools()[0]["status"] == "completed"


def test_a_place_that_moved_while_the_user_thought_is_checked_again(talk, workspace, tmp_path):
    (tmp_path / "outside").mkdir()
    talk.answer = "nothing"
    id_ = talk.start("write sub/a.txt <<EOT\nx\nEOT")
    reply = talk.finish(id_, until=lambda reply: reply.permissions)
    (workspace / "sub").symlink_to(tmp_path / "outside")
    talk.agent.answer(reply.permissions[0], {"outcome": {"outcome": "selected", "optionId": "once"}})
    assert talk.finish(id_, reply).tools()[0]["status"] == "failed"
    assert list((tmp_path / "outside").iterdir()) == []
