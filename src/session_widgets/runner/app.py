"""The runner as an ASGI application: authentication, routes, idle time."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_widgets.runner.about import AboutRoutes
from session_widgets.runner.acp_routes import AcpRoutes
from session_widgets.runner.agents import AgentRoutes
from session_widgets.runner.children import Children
from session_widgets.runner.config import Config
from session_widgets.runner.config_routes import ConfigRoutes
from session_widgets.runner.connections import Connections
from session_widgets.runner.fs_routes import FsRoutes
from session_widgets.runner.interview import Interview
from session_widgets.runner.jail import Jail
from session_widgets.runner.machine import MachineRoutes
from session_widgets.runner.problems import (
    Problem,
    answer_bug,
    answer_nobody,
    answer_unknown_route,
    gone,
    over_limit,
    stopping,
)
from session_widgets.runner.process_routes import ProcessRoutes
from session_widgets.runner.processes import Processes
from session_widgets.runner.refusals import answer_problem
from session_widgets.runner.snapshots import Snapshots
from session_widgets.runner.tool_boards import Boards
from session_widgets.runner.tool_routes import ToolRoutes
from session_widgets.runner.trees import TreeRoutes

CLAIM = b"session-widgets-claim"
"""Header with the claim that a client works for, so that it never reaches another session's files."""
OPEN = {"/ui", "/ui/"}
"""The page that needs no token: it names the program."""
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Runner:
    """The state of one runner; `asgi` is its application."""

    def __init__(self, config: Config, children: Children, claim: str | None = None) -> None:
        self._children = children
        self.connections = Connections(config, children)
        self.processes = Processes(config, children)
        boards = Boards()
        snapshots = Snapshots(Jail(config.root), config.limits, config.state / "snapshots")
        routes: list[BaseRoute] = [
            *AboutRoutes(config).routes,
            *AcpRoutes(config, self.connections, snapshots).routes,
            *AgentRoutes(config, self.connections, Interview(children, str(config.root))).routes,
            *ConfigRoutes(Jail(config.root)).routes,
            *FsRoutes(config, snapshots).routes,
            *MachineRoutes(config).routes,
            *ProcessRoutes(self.processes).routes,
            *ToolRoutes(config, boards).routes,
            *TreeRoutes(config).routes,
        ]
        self.gate = Gate(application(routes), config, boards, claim)

    @property
    def idle_seconds(self) -> float:
        """Start of the idle time: no open request, no agent that owes an answer, no process."""
        if self.connections.busy or self.processes.busy:
            self.gate.touch()
        return self.gate.idle_seconds

    async def stop(self) -> None:
        """Kill every process; streams then end by themselves."""
        await asyncio.gather(self.connections.stop(), self.processes.stop())
        await self._children.end_strays()

    async def look_after(self) -> None:
        """Reap orphans; called each second."""
        with contextlib.suppress(OSError):  # no file can be opened, or no process inspected: the next call retries
            self._children.reap_orphans()


def application(routes: Sequence[BaseRoute]) -> Starlette:
    """Return an application that answers each error as a problem."""
    handlers = {
        Problem: answer_problem,
        HTTPException: answer_unknown_route,
        ClientDisconnect: answer_nobody,
        Exception: answer_bug,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


class Gate:
    """Authenticates requests, and counts the open ones; those that name another claim are refused."""

    def __init__(self, app: ASGIApp, config: Config, boards: Boards, claim: str | None = None) -> None:
        self._app = app
        self._claim = None if claim is None else claim.encode()
        self._boards = boards
        self._digest = config.token_sha256 or sha256(config.token.encode()).hexdigest()
        self._limit = config.limits.max_requests
        self._inside = 0
        self._last = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not self._known(scope, headers):
            await _leaving(self._for_strangers(scope))(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._for_clients(headers)(scope, receive, send)
        finally:
            self._inside -= 1
            self.touch()

    def touch(self) -> None:
        """Record activity."""
        self._last = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last request ended; 0 while one is open."""
        return 0 if self._inside else time.monotonic() - self._last

    def _for_strangers(self, scope: Scope) -> ASGIApp:
        """Return the response to a request without the token; such a request does not count as activity."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            return Response()  # a browser's preflight has no token, and this response allows it nothing
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] in OPEN:
            return self._app
        return Problem(401, "token_invalid", details={"message": "missing or invalid bearer token"}).response()

    def _for_clients(self, headers: dict[bytes, bytes]) -> ASGIApp:
        """Return the response to a request with the token: the routes, or an error."""
        if not _from_here(headers):
            problem = Problem(403, "permission_denied", "requests from web pages of other origins are refused")
        elif self._claim is not None and headers.get(CLAIM, self._claim) != self._claim:
            problem = gone()
        elif self._inside > self._limit:
            problem = over_limit(503, "max_requests", self._limit, f"{self._limit} requests are open")
        else:
            return self._app
        return problem.response()

    def _known(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" and scope["type"] == "websocket":
            token = parse_qs(scope["query_string"]).get(b"access_token", [b""])[0]
        elif scheme.lower() != b"bearer":
            token = b""
        token = token.strip()
        if hmac.compare_digest(sha256(token).hexdigest(), self._digest):
            return True
        return self._boards.admits(scope.get("method", ""), scope["path"], token)


def refusing_at_the_end(app: ASGIApp, ending: asyncio.Event) -> ASGIApp:
    """Pass requests on until the runner ends: it stops agents first, and a prompt for another one would be lost."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        refused = ending.is_set() and scope["type"] in ("http", "websocket")
        await (_leaving(stopping().response()) if refused else app)(scope, receive, send)

    return answer


def _leaving(app: ASGIApp) -> ASGIApp:
    """Let `app` respond, then close the connection: only clients with the token keep one open."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await app(scope, receive, closing if scope["type"] == "http" else send)

    return answer


def _from_here(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser's request comes from a page of this server under a loopback name (DNS rebinding)."""
    origin = headers.get(b"origin")
    if origin is None:
        return True
    parts = urlsplit(origin.decode("latin-1"))
    return parts.hostname in LOOPBACK and parts.netloc.encode("latin-1") == headers.get(b"host")
