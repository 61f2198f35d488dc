"""A runner that was taken over by its agent answers with more than was asked for: the kernel takes none of it."""

import gzip
import tracemalloc
from contextlib import aclosing
from functools import cache

import orjson
import pytest

from session_widgets._sandboxes import runner_client, tool_channel
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets._sandboxes.tool_channel import ToolChannel
from session_widgets.acp import AcpConnection
from session_widgets.errors import TransportError
from tests.support.http_server import Request, serving

pytestmark = pytest.mark.slow


@cache
def packed() -> bytes:
    """200 MB of zeros in 200 KB."""
    return gzip.compress(bytes(200 << 20))


ENTRY = {"path": "/w/a", "entryType": "file", "size": 1, "modified": "2026-01-01T00:00:00+00:00", "symlink": False}


async def bomb(request: Request) -> None:
    kind = "text/event-stream" if "event-stream" in request.headers.get("accept", "") else "application/json"
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed())}\r\n\r\n"
    )
    request.writer.write(head.encode() + packed())


async def endless(request: Request) -> None:
    """Zeros for as long as they are taken."""
    request.writer.write(b"HTTP/1.1 206 Partial Content\r\ntransfer-encoding: chunked\r\n\r\n")
    while not request.writer.is_closing():
        await request.send(bytes(1 << 20))


CALLS = {
    "list": lambda client, _: client.list(),
    "stat": lambda client, _: client.stat("a"),
    "read": lambda client, _: client.read("a", 0, 4 << 20),
    "read whole": lambda client, _: client.read("a"),
    "exec": lambda client, _: client.exec("true"),
    "manifest": lambda client, _: client.manifest(),
    "download": lambda client, folder: client.download("a", folder / "a"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_what_is_packed_stays_packed(call, tmp_path):
    packed()
    async with serving(bomb) as (server, endpoint), aclosing(RunnerClient(endpoint, "/w")) as client:
        tracemalloc.start()
        try:
            with pytest.raises(TransportError, match="encoding"):
                await call(client, tmp_path)
            assert tracemalloc.get_traced_memory()[1] < 20 << 20
        finally:
            tracemalloc.stop()
        assert server.asked[0].headers["accept-encoding"] == "identity"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["list", "read", "exec", "manifest", "read whole"])
async def test_an_answer_without_an_end_is_cut_off(name, tmp_path, monkeypatch):
    for limit in ("MOST_ANSWER", "MOST_EXEC", "MOST_MANIFEST", "MOST_READ"):
        monkeypatch.setattr(runner_client, limit, 8 << 20)
    async with serving(endless) as (_, endpoint), aclosing(RunnerClient(endpoint, "/w")) as client:
        tracemalloc.start()
        try:
            with pytest.raises(TransportError, match="more than"):
                await CALLS[name](client, tmp_path)
            assert tracemalloc.get_traced_memory()[1] < 100 << 20
        finally:
            tracemalloc.stop()


async def test_a_read_returns_no_more_than_was_asked_for():
    async def generous(request: Request) -> None:
        await request.reply(206, b"x" * 101, "application/octet-stream")

    async with serving(generous) as (_, endpoint), aclosing(RunnerClient(endpoint, "/w")) as client:
        with pytest.raises(TransportError, match="100 bytes"):
            await client.read("a", 5, 100)
        assert len(await client.read("a", 5, 101)) == 101


@pytest.mark.parametrize("size", [runner_client.PAGE, runner_client.PAGE + 1])
async def test_a_listing_has_an_end(size):
    page = orjson.dumps([ENTRY] * size)

    async def again(request: Request) -> None:
        await request.reply(200, page)

    async with serving(again) as (server, endpoint), aclosing(RunnerClient(endpoint, "/w")) as client:
        with pytest.raises(TransportError, match="without an end"):
            await client.list()
        assert len(server.asked) <= runner_client.MOST_LISTED // runner_client.PAGE + 2


async def test_a_call_of_a_tool_has_an_end(monkeypatch):
    async def line(request: Request) -> None:
        await request.open_stream()
        while not request.writer.is_closing():
            await request.send(b"x" * (1 << 20))

    monkeypatch.setattr(tool_channel, "MOST_LINE", 8 << 20)
    async with serving(line) as (_, endpoint), aclosing(ToolChannel(endpoint, "s")) as channel:
        with pytest.raises(TransportError, match="a line of more than"):
            async for _ in channel.calls():
                pass


async def test_the_agents_messages_stay_packed():
    async with serving(bomb) as (_, endpoint):
        connection = AcpConnection(endpoint, "c", "demo", last_id=1, give_up=0.2)
        with pytest.raises(TransportError, match="encoding"):
            await connection.post({"jsonrpc": "2.0", "method": "session/cancel"})
        with pytest.raises(TransportError, match="encoding"):
            async for _ in connection.batches():
                pass
        await connection.detach()
