"""`/v1/processes`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, Literal

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from session_widgets.runner.bodies import read_object, unless_disconnected
from session_widgets.runner.children import happens
from session_widgets.runner.inputs import base64_bytes, command, decode_input, number, switch
from session_widgets.runner.limits import camel
from session_widgets.runner.output import Entry
from session_widgets.runner.problems import invalid, over_limit, unprocessable
from session_widgets.runner.processes import Outcome, Process, Processes
from session_widgets.runner.queries import count, flag
from session_widgets.runner.sse import HEARTBEAT, HEARTBEAT_SECONDS, event_stream, frame
from session_widgets.runner.terminal_socket import TerminalSocket

OWNERS = ("user", "desktop", "system")
STREAMS = ("stdout", "stderr", "combined", "pty")
MAX_WAIT_SECONDS = 60.0
CONFIGURABLE = {
    camel(name): name
    for name in (
        "max_concurrent_processes",
        "default_run_timeout_ms",
        "max_run_timeout_ms",
        "max_output_bytes",
        "max_log_bytes_per_process",
        "max_input_bytes_per_request",
    )
}

COUNTED = [name for name in CONFIGURABLE.values() if not name.endswith("_timeout_ms")]


class ProcessRoutes:
    """Commands over HTTP."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        one = "/v1/processes/{id}"
        self.routes: list[BaseRoute] = [
            Route("/v1/processes", self.list, methods=["GET"]),
            Route("/v1/processes", self.create, methods=["POST"]),
            Route("/v1/processes/config", self.get_config, methods=["GET"]),
            Route("/v1/processes/config", self.set_config, methods=["POST"]),
            Route("/v1/processes/run", self.run, methods=["POST"]),
            Route(one, self.get, methods=["GET"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/input", self.input, methods=["POST"]),
            Route(f"{one}/stop", self.stop, methods=["POST"]),
            Route(f"{one}/kill", self.kill, methods=["POST"]),
            Route(f"{one}/logs", self.logs, methods=["GET"]),
            Route(f"{one}/terminal/resize", self.resize, methods=["POST"]),
            WebSocketRoute(f"{one}/terminal/ws", TerminalSocket(processes)),
        ]

    async def list(self, request: Request) -> Response:
        """List processes; all are the user's, so only `owner=user` finds any."""
        owner = request.query_params.get("owner", "user")
        if owner not in OWNERS:
            raise invalid(f"owner must be one of {', '.join(OWNERS)}: {owner!r:.40}")
        found = self._processes.list() if owner == "user" else []
        return _json({"processes": [process.json() for process in found]})

    async def create(self, request: Request) -> Response:
        """Start a command."""
        body = await self._body(request)
        interactive, tty = switch(body, "interactive"), switch(body, "tty")
        return _json((await self._processes.start(command(body), interactive=interactive, tty=tty)).json())

    async def get_config(self, _: Request) -> Response:
        """Show the limits of processes."""
        return _json(self._config())

    async def set_config(self, request: Request) -> Response:
        """Change all limits of processes; a timeout of 0 means no limit."""
        body = await self._body(request)
        for name in CONFIGURABLE:
            if not isinstance(body.get(name), int) or isinstance(body[name], bool) or body[name] < 0:
                raise unprocessable(f"field '{name}' must be a whole number from 0")
        limits = {field: body[name] for name, field in CONFIGURABLE.items()}
        if not all(limits[field] for field in COUNTED):
            raise invalid("the numbers of processes and of bytes must be greater than 0")
        if longest := limits["max_run_timeout_ms"]:
            limits["default_run_timeout_ms"] = min(limits["default_run_timeout_ms"] or longest, longest)
        self._processes.configure(limits)
        return _json(self._config())

    async def run(self, request: Request) -> Response:
        """Run a command to its end; kill it if the client disconnects."""
        body = await self._body(request)
        limits = self._processes.limits
        timeout_ms = number(body, "timeoutMs", limits.default_run_timeout_ms)
        if longest := limits.max_run_timeout_ms:
            timeout_ms = min(timeout_ms or longest, longest)
        work = self._processes.run(
            command(body),
            stdin=base64_bytes(body.get("stdin", "")),
            timeout=timeout_ms / 1000 if timeout_ms else None,
            max_bytes=number(body, "maxOutputBytes", limits.max_output_bytes),
        )
        encoding = body.get("encoding", "utf8")
        if encoding not in ("utf8", "base64"):
            work.close()
            raise invalid("encoding must be 'utf8' or 'base64'")
        outcome = await unless_disconnected(request, work)
        return _json(_outcome(outcome, raw=encoding == "base64") if outcome else {})

    async def get(self, request: Request) -> Response:
        """Describe a process."""
        return _json(self._one(request).json())

    async def delete(self, request: Request) -> Response:
        """Remove an exited process."""
        self._processes.delete(self._one(request))
        return Response(status_code=204)

    async def input(self, request: Request) -> Response:
        """Write to a process's stdin."""
        process = self._one(request)
        body = await self._body(request)
        data = decode_input(body, "base64")
        limit = self._processes.limits.max_input_bytes_per_request
        if len(data) > limit:
            raise over_limit(413, "max_input_bytes_per_request", limit, f"input of {len(data)} bytes")
        process.write(data)
        return _json({"bytesWritten": len(data)})

    async def stop(self, request: Request) -> Response:
        """Send TERM to the process group."""
        return await self._signal(request, "stop")

    async def kill(self, request: Request) -> Response:
        """Send KILL to the process group."""
        return await self._signal(request, "kill")

    async def logs(self, request: Request) -> Response:
        """Return the stored output, or follow it to the exit."""
        process = self._one(request)
        query = request.query_params
        stream = query.get("stream", "pty" if process.terminal else "combined")
        if stream not in STREAMS:
            raise invalid(f"stream must be one of {', '.join(STREAMS)}")
        since = count(request, "since", 0)
        entries = _pick(process.output.after(since), stream)
        entries = entries[max(0, len(entries) - count(request, "tail", len(entries))) :]
        if not flag(request, "follow"):
            body = {"processId": process.id, "stream": stream, "entries": [entry.json() for entry in entries]}
            return _json(body)
        return event_stream(_follow(process, stream, entries))

    async def resize(self, request: Request) -> Response:
        """Set the size of a terminal."""
        process = self._one(request)
        body = await self._body(request)
        process.resize(body.get("cols"), body.get("rows"))
        return _json({"cols": body["cols"], "rows": body["rows"]})

    def _one(self, request: Request) -> Process:
        return self._processes.get(request.path_params["id"])

    def _config(self) -> dict[str, int]:
        return {name: getattr(self._processes.limits, field) for name, field in CONFIGURABLE.items()}

    async def _body(self, request: Request) -> dict[str, Any]:
        limit = self._processes.limits.max_envelope_bytes
        return await read_object(request, "max_envelope_bytes", limit)

    async def _signal(self, request: Request, how: Literal["stop", "kill"]) -> Response:
        process = self._one(request)
        wait = count(request, "waitMs", 0) / 1000
        await self._processes.signal(process, how, min(wait, MAX_WAIT_SECONDS))
        return _json(process.json())


async def _follow(process: Process, stream: str, entries: list[Entry]) -> AsyncIterator[bytes]:
    """Send the stored entries, new ones, then the exit; `gap` means that this reader was slower than the ring."""
    output = process.output
    event = output.subscribe()
    last = max((entry.sequence for entry in output.after(0)), default=0)
    try:
        while True:
            if entries:
                yield b"".join(frame("log", orjson.dumps(entry.json()), entry.sequence) for entry in entries)
            event.clear()
            fresh = output.after(last)
            if fresh and fresh[0].sequence > last + 1:
                yield frame("gap", orjson.dumps({"from": last + 1, "to": fresh[0].sequence - 1}))
            if fresh:
                last = fresh[-1].sequence
                entries = _pick(fresh, stream)
                continue
            entries = []
            if output.ended:
                yield frame("exit", orjson.dumps(process.json()))
                return
            if not await happens(event, HEARTBEAT_SECONDS):
                yield HEARTBEAT
    finally:
        output.unsubscribe(event)


def _pick(entries: list[Entry], stream: str) -> list[Entry]:
    return [entry for entry in entries if stream in ("combined", entry.stream)]


def _outcome(outcome: Outcome, *, raw: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "exitCode": outcome.code if outcome.code >= 0 else None,
        "signal": -outcome.code if outcome.code < 0 else None,
        "timedOut": outcome.timed_out,
        "stdout": outcome.out.decode(errors="replace"),
        "stderr": outcome.err.decode(errors="replace"),
        "stdoutTruncated": outcome.out_truncated,
        "stderrTruncated": outcome.err_truncated,
        "durationMs": round(outcome.seconds * 1000),
    }
    if raw:
        body["stdoutBase64"] = b64encode(outcome.out).decode()
        body["stderrBase64"] = b64encode(outcome.err).decode()
    return body


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
