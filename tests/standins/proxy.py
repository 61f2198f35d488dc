"""Passes a request on to a port of a box, as a vendor's proxy does: streaming, both ways, WebSockets too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.standins.machine import Box

HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"proxy-connection", b"te"}


async def forward(box: Box, port: int, scope: Scope, receive: Receive, send: Send, path: str | None = None) -> None:
    """Answer a request with the answer of a box.

    Args:
        box: the box.
        port: its port.
        path: the path there; None: the request's own.
    """
    place = f"127.0.0.1:{await box.forward(port)}"
    target = (path if path is not None else scope["raw_path"].decode()) + (
        f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
    )
    headers = [(name, value) for name, value in scope["headers"] if name not in HOP]
    if scope["type"] == "websocket":
        await _websocket(f"ws://{place}{target}", headers, receive, send)
    else:
        await _http(f"http://{place}{target}", scope["method"], headers, receive, send)


async def _http(url: str, method: str, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
    first = await receive()
    sent = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        message = first
        while True:
            yield message.get("body", b"")
            if not message.get("more_body", False):
                break
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
        sent.set()

    async def left() -> None:
        await sent.wait()
        while (await receive())["type"] != "http.disconnect":
            pass

    async def ask() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=None, verify=False) as client:
            content: AsyncIterator[bytes] | bytes = body()
            if not first.get("more_body", False):
                content = first.get("body", b"")
                sent.set()
            try:
                answer = await client.send(
                    client.build_request(method, url, headers=headers, content=content), stream=True
                )
            except (httpx.HTTPError, ConnectionResetError):
                await _refuse(send)
                return
            try:
                kept = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in HOP]
                await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
                await _carry(answer, send)
            finally:
                await answer.aclose()

    tasks = {asyncio.create_task(ask()), asyncio.create_task(left())}
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for task in done:
        task.result()


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 502, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"message":"the port is not open","code":502}'})


async def _carry(answer: httpx.Response, send: Send) -> None:
    async for piece in answer.aiter_raw():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _websocket(url: str, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    kept = [
        (name.decode(), value.decode())
        for name, value in headers
        if not name.startswith(b"sec-websocket") and name != b"host"
    ]
    async with connect(url, additional_headers=kept, proxy=None) as inner:
        await send({"type": "websocket.accept"})

        async def inwards() -> None:
            while (message := await receive())["type"] == "websocket.receive":
                await inner.send(message["bytes"] if message.get("bytes") is not None else message["text"])

        async def outwards() -> None:
            try:
                async for data in inner:
                    await send({"type": "websocket.send", "bytes" if isinstance(data, bytes) else "text": data})
            except ConnectionClosed:
                pass
            await send({"type": "websocket.close", "code": inner.close_code or 1000})

        ways = {asyncio.create_task(inwards()), asyncio.create_task(outwards())}
        _, waiting = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
