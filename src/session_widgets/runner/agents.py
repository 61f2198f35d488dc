"""`/v1/agents`: the agents that can run here, and the capabilities of each."""

from __future__ import annotations

import os
import time
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session_widgets.runner.bodies import read_json_object
from session_widgets.runner.config import AgentCommand, Config
from session_widgets.runner.connections import Connections, executable, find_agent
from session_widgets.runner.interview import Answers, Interview
from session_widgets.runner.problems import Problem, unprocessable
from session_widgets.runner.queries import flag

SMALL_BODY = 64 << 10

# The capabilities that sandbox-agent's clients check. Every ACP agent has the first; the rest depends on the agent.
_BY_PROTOCOL = frozenset(
    {
        "commandExecution",
        "errorEvents",
        "fileChanges",
        "mcpTools",
        "permissions",
        "streamingDeltas",
        "textMessages",
        "toolCalls",
        "toolResults",
    }
)
_BY_AGENT = frozenset(
    {
        "fileAttachments",
        "images",
        "itemStarted",
        "planMode",
        "questions",
        "reasoning",
        "sessionLifecycle",
        "sharedProcess",
        "status",
    }
)


class AgentRoutes:
    """Describes agents; with `config=true` from their responses to `initialize` and `session/new`."""

    def __init__(self, config: Config, connections: Connections, interview: Interview) -> None:
        self._config = config
        self._connections = connections
        self._interview = interview
        self.routes = [
            Route("/v1/agents", self.list, methods=["GET"]),
            Route("/v1/agents/{agent}", self.get, methods=["GET"]),
            Route("/v1/agents/{agent}/install", self.install, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """List the available agents."""
        agents = [await self._describe(name, request) for name in sorted(self._config.agents)]
        return _json({"agents": agents})

    async def get(self, request: Request) -> Response:
        """Describe one agent."""
        return _json(await self._describe(request.path_params["agent"], request))

    async def install(self, request: Request) -> Response:
        """Report an agent as installed; this runner runs only configured agents."""
        name = request.path_params["agent"]
        body = await read_json_object(request, "max_envelope_bytes", SMALL_BODY)
        again = body.get("reinstall") or False
        if not isinstance(again, bool):
            raise unprocessable("reinstall must be true or false")
        command = find_agent(self._config, name)
        if again or not executable(command):
            why = "cannot be installed again" if again else f"{command.command[0]} is not installed"
            raise Problem(500, "install_failed", f"{name}: {why}; this runner installs nothing", agent=name)
        return _json({"already_installed": True, "artifacts": []})

    async def _describe(self, name: str, request: Request) -> dict[str, Any]:
        command = find_agent(self._config, name)
        path = executable(command)
        wanted, fresh = flag(request, "config"), flag(request, "no_cache")
        answers = self._interview.known(name)
        if wanted and path:
            answers = await self._interview.ask(name, command, fresh=fresh)
        info = {
            "id": name,
            "installed": path is not None,
            "credentialsAvailable": _has_key(command),
            "capabilities": _capabilities(answers),
        }
        optional: dict[str, Any] = {"path": path, "version": command.version or answers.version}
        if wanted:
            optional |= {"serverStatus": self._status(name), "configOptions": answers.options}
            optional |= {"configError": answers.error or (None if path else f"{command.command[0]} is not installed")}
        return info | {key: value for key, value in optional.items() if value is not None}

    def _status(self, name: str) -> dict[str, Any]:
        """Return the start time of this agent's process."""
        started = [one["createdAtMs"] for one in self._connections.list() if one["agent"] == name]
        if not started:
            return {"status": "stopped"}
        return {"status": "running", "uptimeMs": max(0, time.time_ns() // 1_000_000 - min(started))}


def _has_key(command: AgentCommand) -> bool:
    """Whether one of the agent's key variables is set; an agent without key variables needs none."""
    return not command.keys or any(command.env.get(key) or os.environ.get(key) for key in command.keys)


def _capabilities(answers: Answers) -> dict[str, bool]:
    """Return the agent's capabilities: those of every ACP agent, and those that the agent reported."""
    can = _BY_PROTOCOL | answers.capabilities
    return {name: name in can for name in sorted(_BY_PROTOCOL | _BY_AGENT)}


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
