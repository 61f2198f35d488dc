"""A stream that falls silent, a runner that is gone, and readers that come and go."""

import asyncio
import time

import pytest

from session_widgets.acp import AcpConnection, stream
from session_widgets.errors import AgentExited, ProtocolError, SandboxAuth, TransportError
from tests.acp.reading import SERVER_ID, read, texts
from tests.support.http_server import EXITED, Request, chunk, serving, sse
from tests.support.waiting import until_async


def journal(count: int) -> bytes:
    """A whole stream: `count` chunks, then the agent's exit."""
    return b"".join(sse(i, chunk(i)) for i in range(1, count + 1)) + sse(count + 1, EXITED)


async def test_a_silent_stream_is_reopened(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream, "SILENCE", 0.1)

    async def answer(request: Request) -> None:
        await request.open_stream()
        if len(server.asked) == 1:
            await request.send(sse(1, chunk(1)))
            await asyncio.sleep(30)
        await request.send(sse(2, EXITED))

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        assert [r.id for r in await read(connection)] == [1, 2]
        await connection.detach()
    assert [r.last_event_id for r in server.asked] == [0, 1]


async def test_heartbeats_keep_a_stream_open(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream, "SILENCE", 0.3)

    async def answer(request: Request) -> None:
        await request.open_stream()
        for _ in range(8):
            await request.send(b": heartbeat\n\n")
            await asyncio.sleep(0.1)
        await request.send(sse(1, EXITED))

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        assert [r.id for r in await read(connection)] == [1]
        await connection.detach()
    assert len(server.asked) == 1


async def test_a_runner_that_is_gone_is_given_up():
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(sse(1, chunk(1)))
        request.cut()

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock", give_up=0.5)
        reading = connection.batches()
        assert [r.id for r in await anext(reading)] == [1]
    started = time.monotonic()
    with pytest.raises(TransportError, match=r"has not answered for 0\.5 s") as caught:
        await anext(reading)
    assert time.monotonic() - started < 3
    assert "secret-token" not in str(caught.value)
    await connection.detach()


async def test_streams_that_say_nothing_are_given_up_too(monkeypatch: pytest.MonkeyPatch):
    """A machine that lost its power, or a proxy that holds everything back: connections open, and stay silent."""
    monkeypatch.setattr(stream, "SILENCE", 0.3)
    monkeypatch.setattr(stream, "LONGEST_PAUSE", 0.1)

    async def answer(request: Request) -> None:
        await request.open_stream()
        await asyncio.sleep(30)

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock", give_up=0.5)
        with pytest.raises(TransportError, match="ReadTimeout"):
            await read(connection)
        await connection.detach()
    assert 2 <= len(server.asked) <= 3


async def test_streams_that_end_at_once_are_given_up_too():
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.end_stream()

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock", give_up=0.5)
        with pytest.raises(TransportError, match="ends the stream at once"):
            await read(connection)
        await connection.detach()
    assert 2 < len(server.asked) < 12, "it pauses between attempts"


async def test_a_gateway_that_answers_for_the_runner_is_retried():
    async def answer(request: Request) -> None:
        if len(server.asked) < 3:
            await request.reply(502, b"<html>bad gateway</html>", "text/html")
            return
        await request.open_stream()
        await request.send(sse(1, EXITED))

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        assert [r.id for r in await read(connection)] == [1]
        await connection.detach()


async def test_reading_may_begin_before_the_agent_is_started():
    async def answer(request: Request) -> None:
        if request.method == "POST":
            await asyncio.sleep(0.3)  # starts the agent
            await request.reply(202)
        elif not any(r.method == "POST" for r in server.asked):
            await request.problem(404, "session_not_found", "session not found")
        else:
            await request.open_stream()
            await request.send(sse(1, EXITED))

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock", give_up=1)
        reading = asyncio.create_task(read(connection))
        await until_async(lambda: len(server.asked) >= 2, what="a second attempt")
        await connection.post({"id": "1", "method": "initialize"})
        assert [r.id for r in await reading] == [1]
        await connection.detach()


@pytest.mark.parametrize("last_id", [0, 5])
async def test_a_connection_that_the_runner_does_not_know(last_id: int):
    async def answer(request: Request) -> None:
        await request.problem(404, "session_not_found", f"session not found: {SERVER_ID}")

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock", last_id, give_up=0.3)
        with pytest.raises(AgentExited, match="session not found"):
            await read(connection)
        await connection.detach()
    assert (len(server.asked) == 1) == (last_id > 0), "only a connection that was never seen can still appear"


async def test_a_refused_token_is_no_matter_of_patience():
    async def answer(request: Request) -> None:
        await request.problem(401, "token_invalid", "token invalid")

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        with pytest.raises(SandboxAuth):
            await read(connection)
        await connection.detach()
    assert len(server.asked) == 1


async def test_messages_that_the_runner_dropped_after_an_acknowledgement():
    async def answer(request: Request) -> None:
        await request.problem(410, "gone", "events up to 9 were acknowledged and dropped")

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock", last_id=3)
        with pytest.raises(ProtocolError, match="never read here: events up to 9"):
            await read(connection)
        await connection.detach()


async def test_messages_behind_the_exit_are_not_lost():
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(sse(1, EXITED))
        await asyncio.sleep(0.1)
        await request.send(sse(2, chunk(2)))
        await asyncio.sleep(0.1)
        await request.send(sse(3, chunk(3)))
        await asyncio.sleep(30)

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        assert [r.id for r in await read(connection)] == [1, 2, 3]
        assert await read(connection) == [], "and after them there is nothing to wait for"
        await connection.detach()


async def test_detach_ends_a_reader_that_waits():
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(sse(1, chunk(1)))
        await asyncio.sleep(30)

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        got: list[int] = []

        async def pump() -> None:
            async for batch in connection.batches():
                got.extend(r.id for r in batch)

        pumping = asyncio.create_task(pump())
        await until_async(lambda: got, what="the first message")
        await connection.detach()
        await asyncio.wait_for(pumping, 1)
        assert [b async for b in connection.batches()] == []
    assert [r.method for r in server.asked] == ["GET"], "detach leaves the agent alone"


async def test_leaving_the_loop_and_coming_back_continues():
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(
            b"".join(sse(i, chunk(i)) for i in range(request.last_event_id + 1, 1001)) + sse(1001, EXITED)
        )

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        seen: list[int] = []
        reading = connection.batches()
        seen += [r.id for r in await anext(reading)]
        await reading.aclose()
        seen += [r.id for r in await read(connection)]
        await connection.detach()
    assert seen == list(range(1, 1002))


async def test_one_reader_at_a_time():
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(sse(1, chunk(1)))
        await asyncio.sleep(30)

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        first = connection.batches()
        await anext(first)
        with pytest.raises(RuntimeError, match="already being read"):
            await anext(connection.batches())
        await first.aclose()
        await connection.detach()


async def test_50_000_messages_flat_out_are_all_there():
    data = journal(50_000)

    async def answer(request: Request) -> None:
        await request.open_stream()
        for start in range(0, len(data), 65_536):
            await request.send(data[start : start + 65_536])

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        started = time.perf_counter()
        numbers = [number async for batch in connection.batches() for number in texts(batch)]
        rate = len(numbers) / (time.perf_counter() - started)
        await connection.detach()
    assert numbers == [str(i) for i in range(1, 50_001)]
    assert rate > 10_000
