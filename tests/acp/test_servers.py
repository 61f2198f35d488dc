"""The same client against the real sandbox-agent 0.4.2 and our runner, with agents that misbehave."""

import asyncio
import re
import time
from collections.abc import Iterator

import pytest

from session_widgets.acp import AcpConnection, PermissionRequest, messages, protocol
from session_widgets.acp.permissions import selected
from session_widgets.errors import AgentError, AgentExited, AgentFailed, LimitExceeded, ProtocolError, SandboxAuth
from session_widgets.model import Endpoint
from tests.support import acp_servers
from tests.support.acp_conversation import conversation
from tests.support.acp_servers import Server
from tests.support.waiting import until_async

THEIRS = pytest.param("sandbox-agent", marks=pytest.mark.needs("sandbox-agent"))


@pytest.fixture(scope="module", params=[THEIRS, "runner"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with acp_servers.start(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


runner_only = pytest.mark.parametrize("server", ["runner"], indirect=True, scope="module")


async def test_a_prompt_and_its_answer(server: Server):
    async with conversation(server, server.scripted) as talk:
        assert await talk.prompt("say hello there") == {"stopReason": "end_turn"}
        assert talk.text == "hello there"
        assert [r.id for r in talk.received] == list(range(1, len(talk.received) + 1))


async def test_agent_requests_with_ids_that_collide(server: Server):
    async with conversation(server, server.scripted) as talk:
        await talk.prompt("permission 3")
        asked = talk.requests("session/request_permission")
        assert [request["id"] for request in asked] == [0, 1, 2]
        assert talk.text == '"yes"' * 3

        talk.received.clear()
        assert await talk.prompt("collide") == {"stopReason": "end_turn"}
        [request] = talk.requests("session/request_permission")
        assert isinstance(request["id"], str), "the id of our own prompt"
        assert talk.text == '"yes"'


async def test_permission_before_its_tool_call(server: Server):
    async with conversation(server, server.scripted, answering="reject_once") as talk:
        await talk.prompt("permission 1")
        methods = [
            received.message.get("params", {}).get("update", {}).get("sessionUpdate") or received.message.get("method")
            for received in talk.received
        ]
        assert methods.index("session/request_permission") < methods.index("tool_call")
        assert talk.text == '"no"', "rejected by kind, though it stands first"


async def test_an_unknown_request_is_refused_and_the_turn_goes_on(server: Server):
    async with conversation(server, server.scripted) as talk:
        assert await talk.prompt("unknown") == {"stopReason": "end_turn"}
        assert talk.text == str(messages.METHOD_NOT_FOUND)


async def test_usage_that_is_null(server: Server):
    async with conversation(server, server.scripted) as talk:
        await talk.prompt("usage")
        assert talk.updates("usage_update") == [{"sessionUpdate": "usage_update", "used": None, "size": 200000}]


async def test_noise_on_stdout_is_a_notice(server: Server):
    async with conversation(server, server.scripted) as talk:
        await talk.prompt("noise")
        [notice] = talk.requests(messages.INVALID_STDOUT)
        assert notice["params"]["raw"] == "this is not JSON"
        assert talk.text == "after the noise"


async def test_a_response_that_comes_twice(server: Server):
    async with conversation(server, server.scripted) as talk:
        assert await talk.prompt("twice") == {"stopReason": "end_turn"}
        await talk.prompt("say next")
        assert talk.text == "next"
        responses = [r.message["id"] for r in talk.received if "method" not in r.message]
        assert len(responses) > len(set(responses)), "the stream shows the second copy"


async def test_an_error_of_the_agent(server: Server):
    async with conversation(server, server.scripted) as talk:
        with pytest.raises(AgentFailed, match="boom: why"):
            await talk.prompt("error")
        await talk.prompt("say next")
        assert talk.text == "next"


async def test_cancel_leaves_a_tool_call_open(server: Server):
    async with conversation(server, server.scripted) as talk:
        result = await talk.begin("wait 30")
        await until_async(lambda: talk.updates("tool_call"), what="the tool call")
        await talk.cancel()
        assert await asyncio.wait_for(result, 5) == {"stopReason": "cancelled"}
        assert talk.updates("tool_call_update") == []
        await talk.prompt("say next")
        assert talk.text == "next"


async def test_a_crash_in_mid_prompt(server: Server):
    async with conversation(server, server.scripted) as talk:
        started = time.monotonic()
        with pytest.raises(AgentExited, match="with code 7") as caught:
            await talk.prompt("crash 7")
        assert time.monotonic() - started < 5
        assert caught.value.code == 7
        assert talk.text == "about to crash"
        if server.ours:
            assert "the last words" in caught.value.stderr
        with pytest.raises(AgentExited):
            await talk.prompt("say hello")


async def test_the_last_output_of_an_agent_that_exits_is_all_there(server: Server):
    async with conversation(server, server.scripted) as talk:
        with pytest.raises(AgentExited, match="with code 3"):
            await talk.prompt("last 400")
        await until_async(lambda: talk.text == "z" * 400, what="every chunk")


async def test_a_line_of_five_megabytes(server: Server):
    async with conversation(server, server.scripted) as talk:
        await talk.prompt("long 5000000")
        assert talk.text == "y" * 5_000_000


async def test_a_second_client_reads_on_from_any_number(server: Server):
    async with conversation(server, server.scripted, name=f"shared-{server.kind}") as talk:
        await talk.prompt("say one")
        await talk.prompt("stream 300")
        last = len(talk.received)
        for after in (0, 1, 150, last - 1):
            other = AcpConnection(server.endpoint, f"shared-{server.kind}", server.scripted, last_id=after)
            again: list[object] = []
            async for batch in other.batches():
                again += batch
                if batch[-1].id == last:
                    break
            await other.detach()
            assert again == talk.received[after:]
        await talk.prompt("say two")  # detach has not stopped the agent
        assert talk.text.endswith("two")


async def test_agents_that_are_none(server: Server):
    connection = AcpConnection(server.endpoint, "none", "no-such-agent")
    with pytest.raises(AgentError, match="no-such-agent"):
        await start_and_wait(connection)
    await connection.close()


async def start_and_wait(connection: AcpConnection) -> None:
    """Post `initialize`; a refusal comes at once, or, where a POST stays open, a moment later."""
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    connection._on_post_failed = lambda _id, error: failed.set_exception(error)
    await connection.post(messages.request("i", "initialize", protocol.initialize_params("0")))
    await asyncio.wait_for(failed, 5)


async def test_a_wrong_token(server: Server):
    connection = AcpConnection(Endpoint(server.endpoint.url, {"Authorization": "Bearer wrong"}), "x", server.scripted)
    with pytest.raises(SandboxAuth):
        await connection.post(messages.notification("session/cancel", {}))
    await connection.close()


async def test_a_prompt_that_is_too_large_for_sandbox_agent(server: Server):
    async with conversation(server, server.scripted) as talk:
        text = "say " + "x" * 3_000_000
        if server.ours:
            assert await talk.prompt(text) == {"stopReason": "end_turn"}
        else:
            with pytest.raises(LimitExceeded, match="bytes"):
                await talk.prompt(text)
            assert await talk.prompt(text[:2_000_000]) == {"stopReason": "end_turn"}, "just below its limit"
        await talk.prompt("say next")
        assert talk.text.endswith("next")


async def test_closing_never_hangs_and_ends_the_agent(server: Server):
    async with conversation(server, server.scripted) as talk:
        await talk.begin("wait 30")
        started = time.monotonic()
        await talk.connection.close()
        assert time.monotonic() - started < 4


async def test_two_prompts_of_two_sessions_at_once(server: Server):
    async with conversation(server, server.scripted) as talk:
        slow = await talk.begin("permission 1")
        quick = await talk.begin("say quick")
        assert await asyncio.wait_for(quick, 5) == {"stopReason": "end_turn"}
        assert await asyncio.wait_for(slow, 5) == {"stopReason": "end_turn"}


@runner_only
async def test_only_the_first_answer_counts(server: Server):
    async with conversation(server, server.scripted, answering=None) as talk:
        result = await talk.begin("permission 1")
        await until_async(lambda: talk.requests("session/request_permission"), what="the request")
        [message] = talk.requests("session/request_permission")
        no, yes = PermissionRequest.parse(message).options
        await talk.connection.post(messages.result(message, selected(yes)))
        with pytest.raises(ProtocolError, match="another client answered"):
            await talk.connection.post(messages.result(message, selected(no)))
        await asyncio.wait_for(result, 5)
        assert talk.text == '"yes"'


@runner_only
async def test_a_stream_flat_out_is_complete_and_may_be_acknowledged(server: Server):
    async with conversation(server, server.scripted) as talk:
        await talk.prompt("stream 20000")
        assert talk.text == "x" * 20_000
        assert talk.lost == []
        await talk.connection.ack(talk.received[-1].id)
        await talk.prompt("say acknowledged")
        assert talk.text.endswith("acknowledged")


async def test_what_a_stream_flat_out_loses_is_named(server: Server):
    async with conversation(server, server.scripted) as talk:
        await talk.prompt("stream 30000")  # sandbox-agent's buffer for a slow reader holds 512
        await talk.prompt("say next")
        assert talk.text.endswith("next")
        ids = [received.id for received in talk.received]
        assert ids == sorted(set(ids))
        gaps = [re.search(r"lost messages (\d+) to (\d+)", text).groups() for text in talk.lost]
        missing = {id_ for first, last in gaps for id_ in range(int(first), int(last) + 1)}
        assert missing | set(ids) == set(range(1, ids[-1] + 1))
        assert not missing & set(ids)
        assert ids[-1] > 30_000


async def test_the_demo_harness(server: Server):
    async with conversation(server, server.demo) as talk:
        result = await talk.prompt("say hi\nwrite hello.txt <<EOT\nhello\nEOT\nrun cat hello.txt")
        assert result["stopReason"] == "end_turn"
        assert "hi" in talk.text
        assert (server.workspace / "hello.txt").read_text() == "hello\n"
        assert talk.requests("session/request_permission")
