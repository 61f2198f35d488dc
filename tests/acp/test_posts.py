"""Posts: accepted or sent, with named failures, and never sent twice where that could do harm."""

import asyncio
import socket
import time

import pytest

from session_widgets.acp import AcpConnection
from session_widgets.errors import (
    AgentError,
    AgentExited,
    BadValue,
    LimitExceeded,
    ProtocolError,
    SandboxAuth,
    SessionWidgetsError,
    TransportError,
)
from session_widgets.model import Endpoint
from tests.support.http_server import Request, serving, sse
from tests.support.waiting import until_async

PROMPT = {"jsonrpc": "2.0", "id": "u-1", "method": "session/prompt", "params": {}}
CANCEL = {"jsonrpc": "2.0", "method": "session/cancel", "params": {}}
ANSWER = {"jsonrpc": "2.0", "id": 0, "result": {"outcome": {"outcome": "cancelled"}}}
OURS = ("async-post", "ack", "journal")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_an_accepted_request():
    async def answer(request: Request) -> None:
        await request.reply(202)

    async with serving(answer, OURS) as (server, endpoint):
        connection = AcpConnection(endpoint, "a/b c", "demo")
        await connection.post(PROMPT)
        await connection.post(CANCEL)
        await connection.detach()
    first, second = server.asked
    assert first.message == PROMPT
    assert (first.path, first.query) == ("/v1/acp/a%2Fb%20c", {"agent": ["demo"]})
    assert second.query == {}, "the agent is named until it is known: a restarted server must not make another"
    assert first.headers["prefer"] == "respond-async"
    assert first.headers["authorization"] == "Bearer secret-token"


async def test_a_connection_that_has_messages_never_starts_another_agent():
    async def answer(request: Request) -> None:
        await request.reply(202)

    async with serving(answer, OURS) as (server, endpoint):
        connection = AcpConnection(endpoint, "s", "demo", last_id=3)
        await connection.post(PROMPT)
        await connection.detach()
    assert server.asked[0].query == {}


async def test_a_server_that_answers_after_the_agent_blocks_no_call():
    done = asyncio.Event()

    async def answer(request: Request) -> None:
        if request.message.get("method") == "session/prompt":
            await done.wait()
            await request.reply(200, {"id": "u-1", "result": {"from": "the POST"}})
        else:
            await request.reply(202)

    async with serving(answer) as (server, endpoint):
        failures: list[object] = []
        connection = AcpConnection(endpoint, "s", "mock", on_post_failed=lambda *failure: failures.append(failure))
        started = time.monotonic()
        await connection.post(PROMPT)
        await connection.post(CANCEL)
        assert time.monotonic() - started < 2
        assert [request.message for request in server.posts()] == [PROMPT, CANCEL]
        done.set()
        await until_async(lambda: not connection._posts, what="the end of the POST")
        await connection.detach()
    assert failures == []


async def test_a_post_that_never_ends_is_dropped_when_the_stream_has_the_answer():
    async def answer(request: Request) -> None:
        if request.method == "POST":
            await asyncio.sleep(30)
        await request.open_stream()
        await request.send(sse(1, {"jsonrpc": "2.0", "id": "u-1", "result": {}}))
        await asyncio.sleep(30)

    async with serving(answer) as (_, endpoint):
        failures: list[object] = []
        connection = AcpConnection(endpoint, "s", "mock", on_post_failed=lambda *failure: failures.append(failure))
        await connection.post(PROMPT)
        async for batch in connection.batches():
            assert [r.message["id"] for r in batch] == ["u-1"]
            break
        await until_async(lambda: not connection._posts, what="the end of the POST")
        await connection.detach()
    assert failures == [], "it was answered"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(502, "stream_error", AgentExited), (500, "install_failed", AgentError), (0, "", TransportError)],
)
async def test_a_post_that_fails_later_is_reported(status: int, code: str, error: type[SessionWidgetsError]):
    async def answer(request: Request) -> None:
        await asyncio.sleep(0.2)
        if status:
            await request.problem(status, code, "failed writing to agent stdin: Broken pipe")
        else:
            request.cut()

    async with serving(answer) as (server, endpoint):
        failures: list[tuple[str, SessionWidgetsError]] = []
        connection = AcpConnection(endpoint, "s", "mock", on_post_failed=lambda *failure: failures.append(failure))
        await connection.post(PROMPT)
        await until_async(lambda: failures, what="the failure")
        await connection.detach()
    [(request_id, failure)] = failures
    assert request_id == "u-1"
    assert type(failure) is error
    assert len(server.posts()) == 1


@pytest.mark.parametrize("features", [(), OURS])
@pytest.mark.parametrize("envelope", [CANCEL, ANSWER])
async def test_what_was_sent_is_not_sent_again(features: tuple[str, ...], envelope: dict):
    async def answer(request: Request) -> None:
        request.cut()

    async with serving(answer, features) as (server, endpoint):
        connection = AcpConnection(endpoint, "s", "mock", give_up=0.5)
        with pytest.raises(TransportError, match="unknown"):
            await connection.post(envelope)
        await connection.detach()
    assert len(server.posts()) == 1


async def test_a_request_is_sent_again_to_a_server_that_knows_repeats():
    async def answer(request: Request) -> None:
        if len(server.asked) < 3:
            request.cut()
        else:
            await request.reply(202)

    async with serving(answer, OURS) as (server, endpoint):
        connection = AcpConnection(endpoint, "s", "mock")
        await connection.post(PROMPT)
        await connection.detach()
    assert [request.message["id"] for request in server.posts()] == ["u-1"] * 3


async def test_a_server_that_is_just_starting_is_waited_for():
    async def answer(request: Request) -> None:
        await request.reply(202)

    port = free_port()
    connection = AcpConnection(Endpoint(f"http://127.0.0.1:{port}"), "s", "mock")
    posting = asyncio.create_task(connection.post(CANCEL))
    await asyncio.wait([posting], timeout=0.2)
    assert not posting.done()
    async with serving(answer, OURS, port) as (server, _):
        await asyncio.wait_for(posting, 3)
        await connection.detach()
    assert [request.message for request in server.asked] == [CANCEL]


async def test_nobody_there():
    connection = AcpConnection(
        Endpoint(f"http://127.0.0.1:{free_port()}", {"Authorization": "Bearer x1y2"}), "s", "m", give_up=0.3
    )
    with pytest.raises(TransportError, match="cannot be reached") as caught:
        await connection.post(PROMPT)
    assert "x1y2" not in str(caught.value)
    await connection.close()


@pytest.mark.parametrize("health", [None, "<html>", [1], {"features": 5}])
async def test_something_else_on_that_port(health: object):
    async def answer(request: Request) -> None:
        await request.reply(200)

    async with serving(answer) as (server, endpoint):
        server.health = health
        connection = AcpConnection(endpoint, "s", "mock")
        with pytest.raises(TransportError, match="not a runner"):
            await connection.post(PROMPT)
        await connection.detach()
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "code", "envelope", "error", "words"),
    [
        (401, "token_invalid", PROMPT, SandboxAuth, "token"),
        (404, "session_not_found", PROMPT, AgentExited, "why it failed"),
        (410, "agent_process_exited", PROMPT, AgentExited, "why it failed"),
        (502, "stream_error", CANCEL, AgentExited, "why it failed"),
        (409, "conflict", ANSWER, ProtocolError, "another client answered"),
        (409, "conflict", PROMPT, AgentError, "why it failed"),
        (400, "unsupported_agent", PROMPT, AgentError, "why it failed"),
        (500, "install_failed", PROMPT, AgentError, "why it failed"),
        (507, "no_space", PROMPT, AgentError, "why it failed"),
        (409, "limit_exceeded", PROMPT, LimitExceeded, "why it failed"),
        (413, "limit_exceeded", PROMPT, LimitExceeded, "why it failed"),
    ],
)
async def test_refusals_by_name(status: int, code: str, envelope: dict, error: type[SessionWidgetsError], words: str):
    async def answer(request: Request) -> None:
        await request.problem(status, code, "why it failed")

    async with serving(answer, OURS) as (server, endpoint):
        connection = AcpConnection(endpoint, "s", "mock")
        with pytest.raises(error, match=words) as caught:
            await connection.post(envelope)
        await connection.detach()
    assert type(caught.value) is error
    assert len(server.posts()) == 1


async def test_too_large_says_how_large_and_what_to_do():
    async def answer(request: Request) -> None:
        await request.reply(413, b"Failed to buffer the request body: length limit exceeded", "text/plain")

    async with serving(answer, OURS) as (_, endpoint):
        connection = AcpConnection(endpoint, "s", "mock")
        with pytest.raises(LimitExceeded, match=r"3,000,\d\d\d bytes.*file"):
            await connection.post({**PROMPT, "params": {"text": "x" * 3_000_000}})
        await connection.detach()


async def test_what_sandbox_agent_would_hang_up_on_is_not_sent():
    async def answer(request: Request) -> None:
        await request.reply(202)

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, "s", "mock")
        with pytest.raises(LimitExceeded, match="takes 2,097,152"):
            await connection.post({**CANCEL, "params": {"text": "x" * (2 << 20)}})
        await connection.post({**CANCEL, "params": {"text": "x" * 2_000_000}})
        await connection.detach()
    assert len(server.asked) == 1


async def test_a_gateway_says_nothing_about_the_agent():
    async def answer(request: Request) -> None:
        await request.reply(504, b"<html>timeout</html>", "text/html")

    async with serving(answer, OURS) as (_, endpoint):
        connection = AcpConnection(endpoint, "s", "mock")
        with pytest.raises(TransportError, match="504"):
            await connection.post(PROMPT)
        await connection.detach()


@pytest.mark.parametrize("value", [object(), "\ud83d"])
async def test_what_is_no_json_is_refused_here(value: object):
    async def answer(request: Request) -> None:
        await request.reply(202)

    async with serving(answer, OURS) as (server, endpoint):
        connection = AcpConnection(endpoint, "s", "mock")
        with pytest.raises(BadValue, match="must be JSON"):
            await connection.post({**PROMPT, "params": {"text": value}})
        await connection.detach()
    assert server.asked == []


async def test_acknowledgements_are_sent_only_to_servers_that_support_them():
    async def answer(request: Request) -> None:
        await request.reply(204)

    for features, expected in ((OURS, [{"id": 42}]), ((), [])):
        async with serving(answer, features) as (server, endpoint):
            connection = AcpConnection(endpoint, "s", "mock")
            await connection.ack(42)
            await connection.detach()
            assert [request.message for request in server.asked] == expected
            assert all(request.path == "/v1/acp/s/ack" for request in server.asked)


async def test_close_stops_the_agent_and_may_be_repeated():
    async def answer(request: Request) -> None:
        await request.reply(204)

    async with serving(answer, OURS) as (server, endpoint):
        connection = AcpConnection(endpoint, "s", "mock")
        await connection.close()
        await connection.close()
        with pytest.raises(TransportError, match="closed"):
            await connection.post(CANCEL)
    assert [(request.method, request.path) for request in server.asked] == [("DELETE", "/v1/acp/s")]


async def test_close_does_not_wait_for_a_delete_that_never_answers():
    async def answer(request: Request) -> None:
        await asyncio.sleep(30)

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, "s", "mock")
        await connection.post(PROMPT)
        started = time.monotonic()
        await connection.close()
        assert 1.5 < time.monotonic() - started < 4
    assert connection._posts == {}


async def test_a_connection_closed_before_a_retry():
    connection = AcpConnection(Endpoint(f"http://127.0.0.1:{free_port()}"), "c", "demo", give_up=30)
    posting = asyncio.create_task(connection.post(PROMPT))
    done, _ = await asyncio.wait({posting}, timeout=0.2)
    assert not done
    await connection.detach()
    with pytest.raises(TransportError, match="was closed before it accepted the message"):
        await posting


async def test_a_proxy_of_the_environment_does_not_come_between(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def answer(request: Request) -> None:
        await request.reply(202)

    async with serving(answer, OURS) as (server, endpoint):
        connection = AcpConnection(endpoint, "s", "mock")
        await connection.post(CANCEL)
        await connection.detach()
    assert len(server.asked) == 1
