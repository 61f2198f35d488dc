"""The stream: in order, each message once, none missing, despite any fault of the connection."""

import asyncio
import json
import time

import pytest

from session_widgets.acp import AcpConnection, Received
from session_widgets.errors import ProtocolError
from tests.acp.reading import SERVER_ID, read, texts
from tests.support.http_server import EXITED, Request, chunk, serving, sse
from tests.support.waiting import until_async


async def test_cut_in_mid_line_it_reads_on_from_the_last_whole_message():
    whole = b"".join(sse(i, chunk(i)) for i in range(1, 10)) + sse(10, EXITED)
    cut = whole.index(b"id: 4") + 20

    async def answer(request: Request) -> None:
        await request.open_stream()
        if request.last_event_id == 0:
            await request.send(whole[:cut])
            request.cut()
        else:
            await request.send(b"".join(sse(i, chunk(i)) for i in range(request.last_event_id + 1, 10)))
            await request.send(sse(10, EXITED))

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        received = await read(connection)
        await connection.detach()
    assert [r.id for r in received] == list(range(1, 11))
    assert texts(received) == [str(i) for i in range(1, 10)]
    assert [r.last_event_id for r in server.asked] == [0, 3]
    assert server.asked[0].path == f"/v1/acp/{SERVER_ID}"
    assert server.asked[0].headers["authorization"] == "Bearer secret-token"


@pytest.mark.parametrize("size", [1, 13, 700])
async def test_repeats_are_dropped_and_bytes_come_as_sent(size: int):
    data = (
        b"".join(sse(i, chunk(i)) for i in (1, 2, 1, 2, 3, 3)) + b": heartbeat\n\n" + sse(2, chunk(2)) + sse(4, EXITED)
    )

    async def answer(request: Request) -> None:
        await request.open_stream()
        for start in range(0, len(data), size):
            await request.send(data[start : start + size])

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        received = await read(connection)
        await connection.detach()
    assert [r.id for r in received] == [1, 2, 3, 4]
    assert [r.raw for r in received[:3]] == [json.dumps(chunk(i)).encode() for i in (1, 2, 3)]
    assert connection.last_id == 4


async def test_messages_that_overtake_each_other_are_put_in_order():
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(sse(2, chunk(2)) + sse(1, chunk(1)) + sse(5, EXITED))
        await request.send(sse(4, chunk(4)))
        await request.send(sse(3, chunk(3)))

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        received = await read(connection)
        await connection.detach()
    assert [r.id for r in received] == [1, 2, 3, 4, 5]
    assert texts(received) == ["1", "2", "3", "4"]
    assert len(server.asked) == 1


async def test_a_gap_is_filled_by_asking_again():
    async def answer(request: Request) -> None:
        await request.open_stream()
        if request.last_event_id == 0:
            await request.send(sse(1, chunk(1)) + sse(4, chunk(4)))
        else:
            await request.send(b"".join(sse(i, chunk(i)) for i in (2, 3, 4)) + sse(5, EXITED))

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        assert [r.id for r in await read(connection)] == [1, 2, 3, 4, 5]
        await connection.detach()
    assert [r.last_event_id for r in server.asked] == [0, 1]


async def test_a_gap_that_stays_is_an_error_once_and_loses_nothing_behind_it():
    async def answer(request: Request) -> None:
        await request.open_stream()
        events = {1: chunk(1), 2: chunk(2), 7: chunk(7), 8: EXITED}
        await request.send(b"".join(sse(i, m) for i, m in events.items() if i > request.last_event_id))

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        received: list[Received] = []
        reading = connection.batches()
        while len(received) < 2:
            received += await anext(reading)
        with pytest.raises(ProtocolError, match="lost messages 3 to 6"):
            await anext(reading)
        assert texts(received) == ["1", "2"]
        assert [r.id for r in await read(connection)] == [7, 8]
        await connection.detach()
    assert [r.last_event_id for r in server.asked] == [0, 2, 6]


async def test_a_gap_right_after_the_stored_messages_is_seen():
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(sse(30, chunk(30)))

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock", last_id=10)
        with pytest.raises(ProtocolError, match="11 to 29"):
            await read(connection)
        await connection.detach()


async def test_what_came_together_goes_out_together_and_the_first_at_once():
    go_on = asyncio.Event()

    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(sse(1, chunk(1)))
        await go_on.wait()
        await request.send(b"".join(sse(i, chunk(i)) for i in range(2, 1202)) + sse(1202, EXITED))

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        sizes = []
        async for batch in connection.batches():
            sizes.append(len(batch))
            if not go_on.is_set():
                go_on.set()
                await until_async(lambda: connection._stream._reader.done(), what="the end of the stream")
        await connection.detach()
    assert sizes == [1, 500, 500, 201]


async def test_a_batch_ends_near_one_megabyte():
    big = {"jsonrpc": "2.0", "method": "x", "params": {"text": "y" * 400_000}}

    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(b"".join(sse(i, big) for i in range(1, 8)) + sse(8, EXITED))

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        sizes = [sum(len(r.raw) for r in batch) async for batch in connection.batches()]
        await connection.detach()
    assert max(sizes) <= 1_400_000
    assert sum(sizes) > 2_800_000


async def test_it_does_not_read_far_ahead_of_a_slow_consumer():
    event = {"jsonrpc": "2.0", "method": "x", "params": {"text": "y" * 1_000_000}}
    count, sent = 60, 0

    async def answer(request: Request) -> None:
        nonlocal sent
        await request.open_stream()
        for i in range(1, count + 1):
            await request.send(sse(i, event))
            sent = i
        await request.send(sse(count + 1, EXITED))

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        received = 0
        async for batch in connection.batches():
            if not received:
                deadline = time.monotonic() + 1
                while time.monotonic() < deadline and sent < count:
                    await asyncio.sleep(0.05)
                assert sent < 30, "8 MB of read-ahead and what the kernel's socket buffers hold, not everything"
            received += len(batch)
        await connection.detach()
    assert received == count + 1


@pytest.mark.parametrize("line", [b"not JSON", b"[1, 2]", b"5", b'"text"', b"{", b'{"a": NaN}', b"\xff\xfe", b"null"])
async def test_what_is_no_json_object_is_an_event_and_the_next_message_comes(line: bytes):
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(b"id: 1\ndata: " + line + b"\n\n" + sse(2, chunk(2)) + sse(3, EXITED))

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        bad, good, _ = await read(connection)
        await connection.detach()
    assert bad.message["method"] == "_adapter/invalid_stdout"
    assert bad.message["params"]["raw"] == line.decode(errors="replace")
    assert json.loads(bad.raw) == bad.message
    assert texts([good]) == ["2"]


async def test_a_message_without_a_number_is_refused():
    async def answer(request: Request) -> None:
        await request.open_stream()
        await request.send(b"data: {}\n\n")

    async with serving(answer) as (_, endpoint):
        connection = AcpConnection(endpoint, SERVER_ID, "mock")
        with pytest.raises(ProtocolError, match="without a number"):
            await read(connection)
        await connection.detach()
