"""`/v1/acp`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session_widgets.runner.bodies import parse_object, read_body, read_object, unless_disconnected
from session_widgets.runner.config import Config
from session_widgets.runner.connection import STOP_SECONDS, AgentGone, Connection
from session_widgets.runner.connections import Connections
from session_widgets.runner.envelopes import Message, exit_error, key_of, one_line
from session_widgets.runner.journal import Ahead, JournalReader, Trimmed
from session_widgets.runner.problems import Problem, conflict, invalid
from session_widgets.runner.queries import count
from session_widgets.runner.snapshots import RequestSnapshot, Snapshots
from session_widgets.runner.sse import HEARTBEAT, HEARTBEAT_SECONDS, event_stream, frames

SMALL_BODY = 64 << 10


class AcpRoutes:
    """Envelopes arrive by POST and leave by an event stream."""

    def __init__(self, config: Config, connections: Connections, snapshots: Snapshots) -> None:
        self._config = config
        self._connections = connections
        self._snapshots = snapshots
        self.routes = [
            Route("/v1/acp", self.list, methods=["GET"]),
            Route("/v1/acp/{id}", self.post, methods=["POST"]),
            Route("/v1/acp/{id}", self.stream, methods=["GET"]),
            Route("/v1/acp/{id}", self.delete, methods=["DELETE"]),
            Route("/v1/acp/{id}/ack", self.ack, methods=["POST"]),
        ]

    async def list(self, _: Request) -> Response:
        """List the connections with a running agent."""
        return _json({"servers": self._connections.list()})

    async def post(self, request: Request) -> Response:
        """Forward one envelope to the agent."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _media_problem(415, "unsupported_media_type", "content-type must be application/json")
        _check_accept(request, "application/json")
        body = await read_body(request, "max_envelope_bytes", self._config.limits.max_envelope_bytes)
        message = parse_object(body)
        kind = _kind(message)
        try:
            line = one_line(message, body)
        except ValueError as error:
            raise invalid(str(error)) from error
        connection = await self._connections.get_or_start(request.path_params["id"], request.query_params.get("agent"))
        preferences = _preferences(request)
        is_async = "respond-async" in preferences
        try:
            if kind == "request":
                name = preferences.get("snapshot")
                snapshot = RequestSnapshot(self._snapshots, name) if name else None
                return await self._request(request, connection, message, line, snapshot, is_async=is_async)
            if kind == "response":
                await connection.respond(message, line)
            else:
                await connection.notify(line)
        except AgentGone:
            if is_async:
                raise
            if kind == "request":  # a client of sandbox-agent treats any other status as the end of its transport
                return Response(exit_error(key_of(message["id"]), *connection.exit), media_type="application/json")
        return Response(status_code=202)

    async def stream(self, request: Request) -> Response:
        """Replay the journal after `Last-Event-ID`, then stream live."""
        _check_accept(request, "text/event-stream")
        connection = self._connections.get(request.path_params["id"])
        if connection.failure:
            raise Problem(507, "no_space", connection.failure)
        asked = request.headers.get("last-event-id", "0").strip() or "0"
        if not (asked.isascii() and asked.isdecimal()):
            raise invalid(f"Last-Event-ID must be a number: {asked!r:.40}")
        journal = connection.journal
        try:
            reader = journal.reader(int(asked))
        except Trimmed:
            raise Problem(
                410,
                "gone",
                f"events up to {journal.first_id - 1} were acknowledged and dropped",
                firstId=journal.first_id,
                lastId=journal.last_id,
            ) from None
        except Ahead:
            raise Problem(
                409, "conflict", f"Last-Event-ID {asked} is ahead of the journal", lastId=journal.last_id
            ) from None
        return event_stream(_follow(connection, reader))

    async def ack(self, request: Request) -> Response:
        """Record that the client stored everything up to an id."""
        connection = self._connections.get(request.path_params["id"])
        upto = (await read_object(request, "max_input_bytes_per_request", SMALL_BODY)).get("id")
        if not isinstance(upto, int) or isinstance(upto, bool) or upto < 0:
            raise invalid("id must be a whole number")
        if upto > connection.journal.last_id:
            raise conflict(f"id {upto} is ahead of the journal, which ends at {connection.journal.last_id}")
        connection.journal.trim(upto)
        return Response(status_code=204)

    async def delete(self, request: Request) -> Response:
        """Stop the agent and remove the connection."""
        grace = count(request, "graceMs", round(STOP_SECONDS * 1000)) / 1000
        await self._connections.delete(request.path_params["id"], min(grace, STOP_SECONDS))
        return Response(status_code=204)

    async def _request(
        self,
        request: Request,
        connection: Connection,
        message: Message,
        line: bytes,
        snapshot: RequestSnapshot | None,
        *,
        is_async: bool,
    ) -> Response:
        accepted = await connection.request(message, line, snapshot)
        if is_async:
            return Response(status_code=202, headers={"preference-applied": "respond-async"})
        await unless_disconnected(request, accepted.answered.wait())
        if connection.failure:
            raise Problem(507, "no_space", connection.failure)
        answer = connection.journal.line(accepted.answer) if accepted.answer else None
        if answer is None:
            return Response(status_code=202)
        return Response(answer, media_type="application/json")


async def _follow(connection: Connection, reader: JournalReader) -> AsyncIterator[bytes]:
    try:
        while True:
            try:
                first, lines = reader.read()
            except Trimmed:
                return
            if lines:
                yield frames(first, lines)
            elif connection.journal.ended:
                return
            elif not await reader.wait(HEARTBEAT_SECONDS):
                yield HEARTBEAT
    finally:
        reader.close()


def _kind(message: Message) -> str:
    """Return the message's JSON-RPC kind; raise `Problem` for an invalid one."""
    if message.get("jsonrpc") != "2.0":
        raise invalid("jsonrpc must be '2.0'")
    if isinstance(message.get("method"), str):
        if "id" not in message:
            return "notification"
        if isinstance(message["id"], str | int) and not isinstance(message["id"], bool):
            return "request"
    elif "method" not in message and "id" in message and ("result" in message) != ("error" in message):
        return "response"
    raise invalid("request body must be a JSON-RPC request, notification or response")


def _preferences(request: Request) -> dict[str, str]:
    """Return the values of `Prefer` (RFC 7240) by name."""
    parts = (part.partition("=") for part in request.headers.get("prefer", "").split(","))
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def _check_accept(request: Request, media_type: str) -> None:
    accepted = request.headers.get("accept", "*/*")
    ranges = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    if not ranges & {"*/*", media_type, media_type.partition("/")[0] + "/*"}:
        raise _media_problem(406, "not_acceptable", f"accept must allow {media_type}")


def _media_problem(status: int, code: str, message: str) -> Problem:
    return Problem(status, code, message, details={"message": message})


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
