"""A runner that one session at a time claims: `/v1/session`.

Every claim has a `Runner` of its own, which ends when the session is parked. So a parked session finds what a restarted
runner restores: files, journals, snapshots, and no process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from session_widgets.runner.about import AboutRoutes
from session_widgets.runner.app import CLAIM, Gate, Runner, application
from session_widgets.runner.bodies import read_object
from session_widgets.runner.children import Children
from session_widgets.runner.claims import Claim, ClaimRecord
from session_widgets.runner.config import Config, agents_of, is_text_by_name
from session_widgets.runner.guard import Guard
from session_widgets.runner.harnesses import HarnessRoutes
from session_widgets.runner.machine import MachineRoutes
from session_widgets.runner.problems import Problem, gone, invalid
from session_widgets.runner.queries import required
from session_widgets.runner.tool_boards import Boards

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
CLAIM_ID = re.compile(r"[A-Za-z0-9]{1,64}")
MAX_CLAIM_BYTES = 4 << 20
MAX_IDLE_SECONDS = 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Work:
    """What the session wants to run; `env` and the agents may contain keys, which are never written to disk."""

    config: Config
    idle_seconds: float


class ClaimedRunner:
    """Serves the session that holds it, and everybody else's question who that is."""

    def __init__(self, config: Config, guard: Guard) -> None:
        self._config = config
        self._guard = guard
        self._record = ClaimRecord(config.root, config.state)
        self._claim = self._record.read()
        self._work: Work | None = None
        self._runner: Runner | None = None
        self._nobody = Children(config, guard)
        self._changing = asyncio.Lock()
        self._open: set[asyncio.Task[Any]] = set()
        routes = [
            Route("/v1/session", self.show, methods=["GET"]),
            Route("/v1/session", self.claim, methods=["PUT"]),
            Route("/v1/session", self.release, methods=["DELETE"]),
            Route("/v1/session/park", self.park, methods=["POST"]),
            *HarnessRoutes(config).routes,
            *MachineRoutes(config).routes,
            *AboutRoutes(config).routes,
        ]
        self._own = {route.path for route in routes if "{" not in route.path}
        self._idle = Gate(application([*routes, Route("/{path:path}", self.refuse, methods=METHODS)]), config, Boards())
        self.gate: ASGIApp = self

    # Requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        runner = self._runner
        if runner is None or scope["type"] not in ("http", "websocket") or self._is_own(scope["path"]):
            await self._idle(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None, "a request is a task"
        self._open.add(task)
        try:
            await runner.gate(scope, receive, send)
        except asyncio.CancelledError:
            if runner is self._runner:
                raise
            # parked meanwhile: the connection is closed
        finally:
            self._open.discard(task)

    def _is_own(self, path: str) -> bool:
        return path in self._own or path.startswith("/v1/harnesses/")

    async def show(self, _: Request) -> Response:
        """Return the session that holds the runner; 404 if none does."""
        return self._told(self._held())

    async def claim(self, request: Request) -> Response:
        """Start the session's agents, for a first claim or one of before; an equal claim that runs is left alone."""
        body = await read_object(request, "max_envelope_bytes", MAX_CLAIM_BYTES)
        wanted, is_new = _claim_of(body), body.get("new", False)
        work = self._work_of(body)
        async with self._changing:
            held = self._claim
            if held is not None and held.id != wanted.id:
                raise _taken(held)
            if held is None:
                if not is_new:
                    raise gone()
                if not await asyncio.to_thread(self._record.is_empty):
                    raise Problem(409, "not_empty", f"{self._config.root} holds files that are no session's: empty it")
                await asyncio.to_thread(self._record.write, wanted)
                self._claim = held = wanted
            if self._runner is None or self._work != work:
                await self._stop()
                self._runner = Runner(work.config, Children(work.config, self._guard), held.id)
                self._work = work
        return self._told(held)

    async def park(self, request: Request) -> Response:
        """Kill every process of the session, and refuse its requests until it claims the runner again."""
        id_ = required(request, "id")
        async with self._changing:
            held = self._held(id_)
            await self._stop()
        return self._told(held)

    async def release(self, request: Request) -> Response:
        """Kill every process, and remove the session's files and journals."""
        id_ = required(request, "id")
        async with self._changing:
            held = self._held(id_)
            await self._stop()
            await asyncio.shield(asyncio.to_thread(self._record.release, held))
            self._claim = None
        return Response(status_code=204)

    async def refuse(self, request: Request) -> Response:
        """Refuse a request for the workspace of a session that is parked, or does not hold the runner."""
        named = request.headers.get(CLAIM.decode())
        if self._claim is None or named not in (None, self._claim.id):
            raise gone()
        raise Problem(409, "sandbox_parked", f"session {self._claim.session} is parked", session=self._claim.session)

    def _held(self, id_: str | None = None) -> Claim:
        if self._claim is None:
            raise gone()
        if id_ not in (None, self._claim.id):
            raise gone()
        return self._claim

    def _told(self, claim: Claim) -> Response:
        state = "parked" if self._runner is None else "running"
        body = {"id": claim.id, "session": claim.session, "owner": claim.owner, "created": claim.created}
        return Response(orjson.dumps(body | {"state": state}), media_type="application/json")

    def _work_of(self, body: dict[str, Any]) -> Work:
        idle, env = body.get("idleSeconds", 0), body.get("env") or {}
        if not isinstance(idle, int | float) or isinstance(idle, bool) or not 0 <= idle <= MAX_IDLE_SECONDS:
            raise invalid(f"idleSeconds must be a number from 0 to {MAX_IDLE_SECONDS}")
        if not is_text_by_name(env):
            raise invalid("env must hold text by name")
        try:
            agents = agents_of(body.get("agents", {}))
        except ValueError as error:
            raise invalid(str(error)) from error
        return Work(replace(self._config, agents=agents, env={**self._config.env, **env}), idle)

    # Life

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last request ended and the last process exited."""
        return min(self._idle.idle_seconds, self._runner.idle_seconds if self._runner else self._idle.idle_seconds)

    async def look_after(self) -> None:
        """Reap orphans, and park a session that has been idle for too long; called each second."""
        runner, work = self._runner, self._work
        if runner is None or work is None:
            with contextlib.suppress(OSError):
                self._nobody.reap_orphans()  # of a session that was just parked
            return
        await runner.look_after()
        if work.idle_seconds and runner.idle_seconds > work.idle_seconds and not self._changing.locked():
            async with self._changing:
                await self._stop()

    async def stop(self) -> None:
        """Kill every process."""
        async with self._changing:
            await self._stop()

    async def _stop(self) -> None:
        runner, self._runner, self._work = self._runner, None, None
        if runner is None:
            return
        await runner.stop()
        if left := set(self._open):
            for task in left:  # watches and logs would wait for ever
                task.cancel()
            await asyncio.wait(left)  # uploads end with their threads: none writes into what comes next
        del runner
        gc.collect()  # with it go the descriptors of its directories


def _claim_of(body: dict[str, Any]) -> Claim:
    named = [body.get(name) for name in ("id", "session", "owner")]
    if not all(isinstance(one, str) and len(one) <= 200 for one in named):
        raise invalid("id, session and owner must be text of at most 200 characters")
    id_, session, owner = (str(one) for one in named)
    if not CLAIM_ID.fullmatch(id_):
        raise invalid("id must be 1 to 64 characters of A-Z, a-z and 0-9")
    return Claim(id_, session, owner, datetime.now(UTC).isoformat())


def _taken(held: Claim) -> Problem:
    words = f"session {held.session!r} of {held.owner} holds this runner: delete it, or switch it to another sandbox"
    return Problem(409, "taken", words, id=held.id, session=held.session, owner=held.owner)
