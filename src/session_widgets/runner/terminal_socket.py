"""`/v1/processes/{id}/terminal/ws`: a terminal in a browser, with replay of its earlier output."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from session_widgets.runner.inputs import decode_input
from session_widgets.runner.problems import Problem, conflict, invalid, over_limit
from session_widgets.runner.processes import Process, Processes


class TerminalSocket:
    """Text frames are control, binary frames are output."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one viewer until it disconnects or the process exits."""
        socket = WebSocket(scope, receive, send)
        try:
            process = self._processes.get(socket.path_params["id"])
            if process.terminal is None:
                raise conflict("process has no terminal")
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        await socket.accept()
        await _control(socket, type="ready", processId=process.id)
        showing = asyncio.create_task(_show(socket, process))
        listening = asyncio.create_task(self._listen(socket, process))
        await asyncio.wait({showing, listening}, return_when=asyncio.FIRST_COMPLETED)
        for task in (showing, listening):
            task.cancel()
        for result in await asyncio.gather(showing, listening, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result

    async def _listen(self, socket: WebSocket, process: Process) -> None:
        """Handle input until the viewer disconnects."""
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                if self._obey(process, message.get("text"), message.get("bytes")):
                    await socket.close()
                    return
            except Problem as problem:
                await _control(socket, type="error", message=str(problem))

    def _obey(self, process: Process, text: str | None, data: bytes | None) -> bool:
        """Execute a frame; True if it closes the socket."""
        if data is not None:
            self._type(process, data)
            return False
        try:
            frame = orjson.loads(text or "")
            kind = frame["type"]
        except (orjson.JSONDecodeError, TypeError, KeyError) as error:
            raise invalid("invalid terminal frame: expected an object with a type") from error
        if kind == "input":
            self._type(process, decode_input(frame, "utf8"))
        elif kind == "resize":
            process.resize(frame.get("cols"), frame.get("rows"))
        elif kind != "close":
            raise conflict(
                f"invalid terminal frame: unknown variant `{kind!s:.40}`, expected one of `input`, `resize`, `close`"
            )
        return bool(kind == "close")

    def _type(self, process: Process, data: bytes) -> None:
        limit = self._processes.limits.max_input_bytes_per_request
        if len(data) > limit:
            raise over_limit(413, "max_input_bytes_per_request", limit, f"input of {len(data)} bytes")
        process.write(data)


async def _show(socket: WebSocket, process: Process) -> None:
    """Send the earlier output, new output, then the exit."""
    output = process.output
    event = output.subscribe()
    last = 0
    try:
        while True:
            event.clear()
            if entries := output.after(last):
                last = entries[-1].sequence
                await socket.send_bytes(b"".join(entry.data for entry in entries))
            elif output.ended:
                record = process.json()
                await _control(socket, type="exit", exitCode=record.get("exitCode"), signal=record.get("signal"))
                await socket.close()
                return
            else:
                await event.wait()
    finally:
        output.unsubscribe(event)


async def _control(socket: WebSocket, **message: Any) -> None:
    await socket.send_text(orjson.dumps(message).decode())
