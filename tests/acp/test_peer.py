import gc

import pytest

from session_widgets.acp import Peer, messages
from session_widgets.errors import AgentError, AgentExited, AgentFailed, TransportError


def response(call, result: object) -> dict:
    return {"jsonrpc": "2.0", "id": call.id, "result": result}


async def test_each_response_ends_its_own_request_whatever_the_order():
    peer = Peer()
    first, second = peer.request("session/new", {}), peer.request("session/prompt", {"a": 1})
    assert first.id != second.id
    assert second.envelope["params"] == {"a": 1}
    assert peer.handle(response(second, 2)) == "response"
    assert not first.result.done()
    assert peer.handle(response(first, 1)) == "response"
    assert (await first.result, await second.result) == (1, 2)


async def test_a_second_copy_changes_nothing_and_keeps_its_name():
    peer = Peer()
    call = peer.request("session/prompt", {})
    peer.handle(response(call, "first"))
    assert peer.handle(response(call, "second")) == "repeat"
    assert await call.result == "first"
    assert peer.methods[call.id] == "session/prompt"


async def test_a_request_of_the_agent_under_the_id_of_ours_is_no_response():
    peer = Peer()
    call = peer.request("session/prompt", {})
    assert peer.handle({"id": call.id, "method": "session/request_permission", "params": {}}) == "request"
    assert not call.result.done()
    peer.handle(response(call, "end"))
    assert await call.result == "end"


async def test_ids_of_another_type_are_not_ours():
    peer = Peer()
    result = peer.expect("1", "initialize")
    for id_ in (1, 1.0, True, None, [1], {"a": 1}):
        assert peer.handle({"id": id_, "result": "other"}) == "repeat"
    assert not result.done()


async def test_an_error_response_says_what_the_agent_said():
    peer = Peer()
    call = peer.request("session/prompt", {})
    error = {"code": -32603, "message": "Internal error", "data": {"details": "boom"}}
    peer.handle({"id": call.id, "error": error})
    with pytest.raises(AgentFailed, match="Internal error: boom") as caught:
        await call.result
    assert (caught.value.code, caught.value.data) == (-32603, {"details": "boom"})


STEERS = "\x1b]52;c;cm0gLXI=\x07\x9b2J\u202e"


async def test_what_the_agent_says_in_errors_steers_no_terminal():
    peer = Peer()
    failed, exited = peer.request("session/prompt", {}), peer.request("session/prompt", {})
    error = {"code": 1, "message": f"no {STEERS}", "data": {"details": f"boom {STEERS}"}}
    gone = {
        "code": messages.AGENT_GONE,
        "message": "gone",
        "data": {"code": 1, "signal": None, "stderr": f"x {STEERS}"},
    }
    peer.handle({"id": failed.id, "error": error})
    peer.handle({"id": exited.id, "error": gone})
    for call in (failed, exited):
        with pytest.raises(AgentError) as caught:
            await call.result
        assert "]52;c;" in str(caught.value)
        assert not set(STEERS) - set("]52;c;cm0gLXI=2J") & set(str(caught.value))


@pytest.mark.parametrize("error", [None, "text", [], {"code": "x", "message": 5}])
async def test_an_error_without_sense_is_still_an_error(error: object):
    peer = Peer()
    call = peer.request("session/prompt", {})
    peer.handle({"id": call.id, "error": error})
    with pytest.raises(AgentFailed):
        await call.result


async def test_the_agents_exit_ends_every_open_request():
    peer = Peer()
    calls = [peer.request("session/prompt", {}) for _ in range(3)]
    exited = {"method": "_adapter/agent_exited", "params": {"code": 7, "stderr": "no credit left\n"}}
    assert peer.handle(exited) == "notification"
    for call in calls:
        with pytest.raises(AgentExited, match=r"with code 7\nno credit left") as caught:
            await call.result
        assert (caught.value.code, caught.value.stderr) == (7, "no credit left\n")


async def test_the_runners_answer_for_an_agent_that_is_gone():
    peer = Peer()
    call = peer.request("session/prompt", {})
    data = {"code": None, "signal": 9, "stderr": "killed"}
    peer.handle({"id": call.id, "error": {"code": -32603, "message": "agent was killed", "data": data}})
    with pytest.raises(AgentExited, match="by signal 9"):
        await call.result


async def test_fail_ends_one_request_and_never_one_that_has_ended():
    peer = Peer()
    one, other = peer.request("a", {}), peer.request("b", {})
    peer.fail(one.id, TransportError("cut"))
    peer.fail(one.id, TransportError("again"))
    peer.fail("unknown", TransportError("cut"))
    with pytest.raises(TransportError, match="cut"):
        await one.result
    assert not other.result.done()
    assert peer.handle(response(one, "late")) == "repeat"


async def test_a_response_to_an_abandoned_request():
    peer = Peer()
    call = peer.request("a", {})
    call.result.cancel()
    assert peer.handle(response(call, 1)) == "response"


async def test_an_unretrieved_error_is_no_warning():
    peer = Peer()
    call = peer.request("a", {})
    peer.fail_all(TransportError("cut"))
    del call
    gc.collect()  # asyncio would log "exception was never retrieved" here


@pytest.mark.parametrize("message", [{}, {"method": 5}, {"id": "x"}, {"method": "session/update"}])
async def test_other_messages_are_notifications(message: dict):
    assert Peer().handle(message) == "notification"
