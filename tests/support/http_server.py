"""An HTTP/1.1 server under a test's control: it sends the given bytes, in the given pieces."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from session_widgets.model import Endpoint

Answer = Callable[["Request"], Awaitable[None]]


@dataclass
class Request:
    """What a client asked, and the way to answer it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter = field(repr=False)

    @property
    def message(self) -> dict:
        return json.loads(self.body)

    @property
    def last_event_id(self) -> int:
        return int(self.headers.get("last-event-id", 0))

    async def reply(self, status: int, body: object = None, content_type: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)
        await self.writer.drain()

    async def problem(self, status: int, code: str, detail: str, **extra: object) -> None:
        body = {"type": f"urn:sandbox-agent:error:{code}", "status": status, "detail": detail, **extra}
        await self.reply(status, body, "application/problem+json")

    async def open_stream(self) -> None:
        self.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()

    async def end_stream(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    def cut(self) -> None:
        """Break the TCP connection."""
        self.writer.transport.abort()


class HttpServer:
    """Answers `GET /v1/health` with `health` and everything else by `answer`; keeps what was asked."""

    def __init__(self, answer: Answer, features: tuple[str, ...] = ()) -> None:
        self.asked: list[Request] = []
        self._answer = answer
        self.health: object = {"status": "ok", "features": list(features)}

    def posts(self) -> list[Request]:
        return [request for request in self.asked if request.method == "POST"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await self._read(reader, writer)
                if request.path == "/v1/health":
                    await request.reply(200, self.health)
                    continue
                self.asked.append(request)
                await self._answer(request)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client hung up

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        method, target, _ = first.split()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        url = urlsplit(target)
        return Request(method, url.path, parse_qs(url.query), headers, body, writer)


@asynccontextmanager
async def serving(
    answer: Answer, features: tuple[str, ...] = (), port: int = 0
) -> AsyncIterator[tuple[HttpServer, Endpoint]]:
    """Run an `HttpServer` on loopback, on a free port unless one is named."""
    server = HttpServer(answer, features)
    connections: set[asyncio.Task] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(server.serve(reader, writer))
        task.add_done_callback(lambda _: writer.transport.abort())
        connections.add(task)

    listener = await asyncio.start_server(accept, "127.0.0.1", port, limit=1 << 26)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield server, Endpoint(f"http://127.0.0.1:{port}", {"Authorization": "Bearer secret-token"})
    finally:
        listener.close()
        for task in connections:
            task.cancel()
        results = await asyncio.gather(*connections, return_exceptions=True)
        failures = [r for r in results if isinstance(r, Exception)]
        assert not failures, failures


def sse(id: int, message: object) -> bytes:
    """One event as sandbox-agent writes it."""
    return b"event: message\nid: %d\ndata: %s\n\n" % (id, json.dumps(message).encode())


def chunk(number: int) -> dict:
    """An agent message update that names its own number."""
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": str(number)}}
    return {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "one", "update": update}}


EXITED = {"jsonrpc": "2.0", "method": "_adapter/agent_exited", "params": {"success": False, "code": 7}}
