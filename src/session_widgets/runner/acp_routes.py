"""`/v1/acp` and `/v1/agents`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session_widgets.runner.bodies import parse_object, read_body, read_object, unless_disconnected
from session_widgets.runner.config import Config
from session_widgets.runner.connection import Connection
from session_widgets.runner.connections import Connections, executable, find_agent
from session_widgets.runner.envelopes import Message
from session_widgets.runner.journal import Ahead, JournalReader, Trimmed
from session_widgets.runner.problems import Problem, conflict, invalid
from session_widgets.runner.sse import HEARTBEAT, HEARTBEAT_SECONDS, event_stream, frames

SMALL_BODY = 64 << 10

# What sandbox-agent's clients look for. Anything that speaks ACP can do these; the rest is asked by `initialize`.
_ACP_CAN = {
    "commandExecution",
    "errorEvents",
    "fileChanges",
    "mcpTools",
    "permissions",
    "planMode",
    "reasoning",
    "sessionLifecycle",
    "streamingDeltas",
    "textMessages",
    "toolCalls",
    "toolResults",
}
_ASK = {"fileAttachments", "images", "itemStarted", "questions", "sharedProcess", "status"}
CAPABILITIES = {name: name in _ACP_CAN for name in sorted(_ACP_CAN | _ASK)}


class AcpRoutes:
    """Envelopes in by POST, out by an event stream."""

    def __init__(self, config: Config, connections: Connections) -> None:
        self._config = config
        self._connections = connections
        self.routes = [
            Route("/v1/acp", self.list, methods=["GET"]),
            Route("/v1/acp/{id}", self.post, methods=["POST"]),
            Route("/v1/acp/{id}", self.stream, methods=["GET"]),
            Route("/v1/acp/{id}", self.delete, methods=["DELETE"]),
            Route("/v1/acp/{id}/ack", self.ack, methods=["POST"]),
            Route("/v1/agents", self.agents, methods=["GET"]),
            Route("/v1/agents/{agent}", self.agent, methods=["GET"]),
            Route("/v1/agents/{agent}/install", self.install, methods=["POST"]),
        ]

    async def list(self, _: Request) -> Response:
        """List the connections whose agent lives."""
        return _json({"servers": self._connections.list()})

    async def post(self, request: Request) -> Response:
        """Pass one envelope to the agent."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _media_problem(415, "unsupported_media_type", "content-type must be application/json")
        _check_accept(request, "application/json")
        body = await read_body(request, "max_envelope_bytes", self._config.limits.max_envelope_bytes)
        message = parse_object(body)
        kind = _kind(message)
        line = orjson.dumps(message) if b"\n" in body or b"\r" in body else body.strip()
        connection = await self._connections.get_or_start(request.path_params["id"], request.query_params.get("agent"))
        if kind == "request":
            return await self._request(request, connection, message, line)
        if kind == "response":
            await connection.respond(message, line)
        else:
            await connection.notify(line)
        return Response(status_code=202)

    async def stream(self, request: Request) -> Response:
        """Replay the journal behind `Last-Event-ID`, then go on live."""
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
        """Note that the client stored everything up to an id."""
        connection = self._connections.get(request.path_params["id"])
        upto = (await read_object(request, "max_input_bytes_per_request", SMALL_BODY)).get("id")
        if not isinstance(upto, int) or isinstance(upto, bool) or upto < 0:
            raise invalid("id must be a whole number")
        if upto > connection.journal.last_id:
            raise conflict(f"id {upto} is ahead of the journal, which ends at {connection.journal.last_id}")
        connection.journal.trim(upto)
        return Response(status_code=204)

    async def delete(self, request: Request) -> Response:
        """End the agent and forget the connection."""
        await self._connections.delete(request.path_params["id"])
        return Response(status_code=204)

    async def agents(self, _: Request) -> Response:
        """List the agents that can be run."""
        return _json({"agents": [self._agent(name) for name in sorted(self._config.agents)]})

    async def agent(self, request: Request) -> Response:
        """Describe one agent."""
        return _json(self._agent(request.path_params["agent"]))

    async def install(self, request: Request) -> Response:
        """Say that an agent is installed; this runner runs only what it was configured with."""
        name = request.path_params["agent"]
        command = find_agent(self._config, name)
        if not executable(command):
            message = f"{name}: {command.command[0]} is not installed, and this runner installs nothing"
            raise Problem(500, "install_failed", message, agent=name)
        return _json({"already_installed": True, "artifacts": []})

    def _agent(self, name: str) -> dict[str, Any]:
        command = find_agent(self._config, name)
        path = executable(command)
        info = {"id": name, "installed": path is not None, "credentialsAvailable": True, "capabilities": CAPABILITIES}
        optional = {"path": path, "version": command.version}
        return info | {key: value for key, value in optional.items() if value}

    async def _request(self, request: Request, connection: Connection, message: Message, line: bytes) -> Response:
        accepted = await connection.request(message, line)
        preferences = [part.strip().lower() for part in request.headers.get("prefer", "").split(",")]
        if "respond-async" in preferences:
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
    """Return which of JSON-RPC's three kinds of message this is; raise `Problem` for none."""
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


def _check_accept(request: Request, media_type: str) -> None:
    accepted = request.headers.get("accept", "*/*")
    ranges = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    if not ranges & {"*/*", media_type, media_type.partition("/")[0] + "/*"}:
        raise _media_problem(406, "not_acceptable", f"accept must allow {media_type}")


def _media_problem(status: int, code: str, message: str) -> Problem:
    return Problem(status, code, message, details={"message": message})


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
