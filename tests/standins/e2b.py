"""A stand-in for E2B: control plane, envd and ports of boxes, for the unmodified SDK.

`python -m tests.standins.e2b HOME` prints its address. It ends with its standard input, and all boxes with it. Routes
below `/standin` are for tests: the books, faults, and what happens to a box behind its owner's back.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import uvicorn
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.request import RequestContext
from e2b.api.client.models import ConnectSandboxV2, Error, NewSandboxV2, SandboxPauseRequest, SandboxTimeoutRequest
from e2b.envd.process import process_pb as pb
from e2b.envd.process.process_connect import Process, ProcessASGIApplication
from protobuf import Oneof
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.standins.e2b_account import KEY
from tests.standins.e2b_boxes import Conflict, House, Missing, Refused, Rented
from tests.standins.e2b_templates import Templates
from tests.standins.machine import ROOT, Box, BoxGone, Running
from tests.standins.proxy import forward

ENVD_PORT = 49983
USERS = {"root": ROOT, "user": (1000, 1000)}
PAGE = 2
"""Boxes a page of a listing: few, so that pages are followed."""


class Envd(Process):
    """Processes in boxes."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def start(
        self, request: pb.StartRequest, ctx: RequestContext[pb.StartRequest, pb.StartResponse], /
    ) -> AsyncIterator[pb.StartResponse]:
        config = request.process
        assert config is not None
        box = self._house.get(ctx.request_headers["e2b-sandbox-id"]).box
        argv = [config.cmd, *config.args]
        user = USERS[user_of(ctx.request_headers.get("authorization", ""))]
        try:
            running = await box.exec(argv, env=dict(config.envs), cwd=config.cwd or "/", user=user)
        except BoxGone as error:
            raise ConnectError(Code.UNAVAILABLE, "the sandbox was not found") from error
        yield _event(Oneof("start", pb.ProcessEvent.StartEvent(pid=running.pid)))
        left = ctx.timeout_ms
        try:
            async with asyncio.timeout(None if left is None else left / 1000):
                async for name, data in _output(running, box):
                    yield _event(Oneof("data", pb.ProcessEvent.DataEvent(output=Oneof(name, data))))
                if box.stopped.is_set():
                    raise ConnectError(Code.UNAVAILABLE, "the sandbox was not found")
                code = await running.wait()
        except TimeoutError as error:
            running.signal(signal.SIGKILL)
            raise ConnectError(Code.DEADLINE_EXCEEDED, "context deadline exceeded") from error
        yield _event(Oneof("end", pb.ProcessEvent.EndEvent(exit_code=code, exited=code >= 0, status=f"exit {code}")))


class StandIn:
    """The whole vendor as an ASGI application."""

    def __init__(self, home: Path) -> None:
        self.house = House(home)
        self.templates = Templates(home / "templates")
        self.calls: Counter[str] = Counter()
        self.created: list[dict[str, Any]] = []
        self.unknown: list[str] = []
        self.faults: list[dict[str, Any]] = []
        self._works = asyncio.Event()
        self._works.set()
        self._envd = ProcessASGIApplication(Envd(self.house))
        self._files = Starlette(
            routes=[
                Route("/files", self.upload, methods=["POST"]),
                Route("/files", self.download, methods=["GET"]),
                Route("/health", lambda _: Response(status_code=204), methods=["GET"]),
            ]
        )
        self._control = Starlette(
            routes=[
                Route("/v2/sandboxes", self.create, methods=["POST"]),
                Route("/v2/sandboxes", self.list, methods=["GET"]),
                Route("/v2/sandboxes/{id}/connect", self.connect, methods=["POST"]),
                Route("/sandboxes/{id}/pause", self.pause, methods=["POST"]),
                Route("/sandboxes/{id}/timeout", self.timeout, methods=["POST"]),
                Route("/sandboxes/{id}", self.detail, methods=["GET"]),
                Route("/sandboxes/{id}", self.kill, methods=["DELETE"]),
                *self.templates.routes,
                Route("/standin/books", self.books, methods=["GET"]),
                Route("/standin/faults", self.change_faults, methods=["POST", "DELETE"]),
                Route("/standin/network/{what}", self.network, methods=["POST"]),
                Route("/standin/boxes/{id}/{what}", self.behind_our_back, methods=["POST"]),
            ],
            exception_handlers={
                Refused: _problem(400),
                Missing: _problem(404),
                Conflict: _problem(409),
                404: self.refuse,
                405: self.refuse,
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if not scope["path"].startswith("/standin"):
            await self._works.wait()
        if "e2b-sandbox-id" in headers:
            await self._box(headers, scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        if not path.startswith("/standin"):
            if headers.get("x-api-key") != KEY:
                await _error(401, "Invalid API key")(scope, receive, send)
                return
            self.calls[f"{method} {_pattern(path)}"] += 1
            if fault := self._fault(f"{method} {_pattern(path)}"):
                if fault["kind"] != "late":
                    await _failing(fault)(scope, receive, send)
                    return
                scope["state"] = {"late": fault["seconds"]}
        await self._control(scope, receive, send)

    # The control plane

    async def create(self, request: Request) -> Response:
        body = await request.json()
        self.created.append(body)
        asked, key = NewSandboxV2.from_dict(body), request.headers.get("idempotency-key")
        rented = await self.house.create(asked, key, self.templates.ready)
        await asyncio.sleep(getattr(request.state, "late", 0))
        return JSONResponse(rented.created(), status_code=201)

    async def connect(self, request: Request) -> Response:
        rented = self.house.get(request.path_params["id"])
        self.house.connect(rented, int(ConnectSandboxV2.from_dict(await request.json()).timeout or 15))
        if self._fault("rename"):
            self.house.rename(rented)
        return JSONResponse(rented.created())

    async def pause(self, request: Request) -> Response:
        assert SandboxPauseRequest.from_dict(await request.json()).memory is not False
        await self.house.pause(self.house.get(request.path_params["id"]))
        return Response(status_code=204)

    async def timeout(self, request: Request) -> Response:
        rented = self.house.get(request.path_params["id"])
        self.house.set_timeout(rented, SandboxTimeoutRequest.from_dict(await request.json()).timeout)
        return Response(status_code=204)

    async def detail(self, request: Request) -> Response:
        return JSONResponse(self.house.get(request.path_params["id"]).detail())

    async def kill(self, request: Request) -> Response:
        if not await self.house.kill(request.path_params["id"]):
            raise Missing(f"sandbox {request.path_params['id']} not found")
        return Response(status_code=204)

    async def list(self, request: Request) -> Response:
        query = request.query_params
        wanted = {unquote(name): unquote(value) for name, value in parse_qsl(query.get("metadata", ""))}
        found = [one for one in self.house.rented.values() if wanted.items() <= one.metadata.items()]
        start = int(query.get("nextToken", 0))
        more = {"X-Next-Token": str(start + PAGE)} if len(found) > start + PAGE else {}
        return JSONResponse([one.listed() for one in found[start : start + PAGE]], headers=more)

    async def refuse(self, request: Request, _: Exception) -> Response:
        """Answer what is not known, and remember it: the test fails."""
        self.unknown.append(f"{request.method} {request.url.path}")
        return _error(501, "the stand-in does not know this")

    # What runs in a box

    async def _box(self, headers: dict[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        rented = self.house.rented.get(headers["e2b-sandbox-id"])
        port = int(headers["e2b-sandbox-port"])
        if rented is None or rented.box.state != "running":
            await _error(502, "The sandbox was not found")(scope, receive, send)
        elif port != ENVD_PORT:
            if rented.traffic_token not in (None, headers.get("e2b-traffic-access-token")):
                await _error(403, "Token header 'e2b-traffic-access-token' is missing")(scope, receive, send)
            elif fault := self._fault("port"):
                await _failing(fault)(scope, receive, send)
            else:
                await forward(rented.box, port, scope, receive, send)
        elif headers.get("x-access-token") != rented.envd_token:
            await _error(401, "unauthenticated")(scope, receive, send)
        elif fault := self._fault(f"envd {scope['path']}"):
            await _failing(fault)(scope, receive, send)
        elif scope["path"].startswith("/process.Process/"):
            if scope["path"].rpartition("/")[2] != "Start":
                self.unknown.append(scope["path"])
            await self._envd(scope, receive, send)
        elif scope["path"] in ("/files", "/health"):
            await self._files(scope, receive, send)
        else:
            self.unknown.append(f"{scope['method']} envd {scope['path']}")
            await _error(501, "the stand-in does not know this")(scope, receive, send)

    async def upload(self, request: Request) -> Response:
        box = self.house.get(request.headers["e2b-sandbox-id"]).box
        user = USERS[request.query_params.get("username", "user")]
        async with request.form(max_files=10_000) as form:
            parts = [part for part in form.getlist("file") if not isinstance(part, str)]
            named = request.query_params.get("path")
            files = {named or str(part.filename): await part.read() for part in parts}
        await box.write_many(files, user=user)
        return JSONResponse([{"name": Path(path).name, "type": "file", "path": path} for path in files])

    async def download(self, request: Request) -> Response:
        box = self.house.get(request.headers["e2b-sandbox-id"]).box
        try:
            return Response(await box.read_at_once(request.query_params["path"]))
        except OSError as error:
            return _error(404, str(error))

    # For tests

    async def books(self, _: Request) -> Response:
        boxes = {one.id: one.state.value for one in self.house.rented.values()}
        ends = {one.id: one.ends.timestamp() for one in self.house.rented.values()}
        facts: dict[str, Any] = {"calls": self.calls, "created": self.created, "unknown": self.unknown}
        facts["sizes"] = {one.id: one.size for one in self.house.rented.values()}
        facts["lines"] = {one.id: one.box.line.seen for one in self.house.rented.values()}
        templates = {"templates": self.templates.show(), "builds": self.templates.started}
        return JSONResponse({"boxes": boxes, "ends": ends, **facts, **templates})

    async def change_faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.faults.clear()
        else:
            self.faults.append(await request.json())
        return Response(status_code=204)

    async def network(self, request: Request) -> Response:
        """Unplug the vendor with all its boxes, or plug it in again."""
        what = request.path_params["what"]
        (self._works.set if what == "plug" else self._works.clear)()
        for rented in self.house.rented.values():
            getattr(rented.box.line, what)()
        return Response(status_code=204)

    async def behind_our_back(self, request: Request) -> Response:
        rented: Rented = self.house.get(request.path_params["id"])
        match request.path_params["what"]:
            case "gone":
                await self.house.kill(rented.id)
            case "expire":
                await self.house.expire(rented)
            case "cut":
                rented.box.cut()
            case what if what.startswith("clock"):
                rented.ahead = timedelta(seconds=int(what.removeprefix("clock")))
            case what if what.startswith("lead-out-"):
                await rented.box.lead_out(int(what.rpartition("-")[2]))
            case what:
                getattr(rented.box.line, what)()
        return Response(status_code=204)

    def _fault(self, route: str) -> dict[str, Any] | None:
        found = next((fault for fault in self.faults if fault["route"] == route), None)
        if found is not None:
            found["times"] = found.get("times", 1) - 1
            if not found["times"]:
                self.faults.remove(found)
        return found


def user_of(authorization: str) -> str:
    """Return the user of a request to envd."""
    return base64.b64decode(authorization.removeprefix("Basic ")).decode().rstrip(":") or "user"


async def _output(running: Running, box: Box) -> AsyncIterator[tuple[Any, bytes]]:
    """Yield what a command writes, to its end or its box's: not what it has left in the background writes later."""
    queue: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()

    async def pump(name: str, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        while piece := await stream.read(1 << 16):
            queue.put_nowait((name, piece))

    async def end() -> None:
        await running.wait()
        await asyncio.wait(pumps, timeout=0.1)
        queue.put_nowait(None)

    streams = {"stdout": running.process.stdout, "stderr": running.process.stderr}
    pumps = [asyncio.ensure_future(pump(name, stream)) for name, stream in streams.items()]
    ending = asyncio.ensure_future(end())
    stopping = asyncio.ensure_future(box.stopped.wait())
    stopping.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (piece := await queue.get()) is not None:
            yield piece
    finally:
        for task in (*pumps, ending, stopping):
            task.cancel()
        await asyncio.gather(*pumps, ending, stopping, return_exceptions=True)


def _event(event: Any) -> pb.StartResponse:
    return pb.StartResponse(event=pb.ProcessEvent(event=event))


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse(Error(code=status, message=message).to_dict(), status_code=status)


def _problem(status: int) -> Any:
    async def answer(_: Request, error: Exception) -> Response:
        return _error(status, str(error))

    return answer


def _failing(fault: dict[str, Any]) -> Response:
    match fault["kind"]:
        case "html":
            page = "<html><h1>Internal Server Error</h1></html>"
            return Response(page, fault.get("status", 500), media_type="text/html")
        case kind:
            answer = _error(int(kind), fault.get("message", "the stand-in was asked to fail"))
            if "after" in fault:
                answer.headers["Retry-After"] = str(fault["after"])
            return answer


def _pattern(path: str) -> str:
    """Return a path without the ids in it."""
    return "/".join("{id}" if part.startswith(("i0", "tpl-", "session-widgets-")) else part for part in path.split("/"))


async def serve(home: Path) -> None:
    """Run until SIGTERM, or until the starter has ended; end every box."""
    standin = StandIn(home)
    config = uvicorn.Config(
        standin,
        port=0,
        lifespan="off",
        log_level="critical",
        timeout_keep_alive=60,  # longer than httpx keeps an idle connection (5 s): no request meets a closing server
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(sys.stdin, lambda: over.set() if not sys.stdin.buffer.read1(1) else None)
    print(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", flush=True)
    await asyncio.wait({asyncio.create_task(over.wait()), serving}, return_when="FIRST_COMPLETED")
    await standin.templates.close()
    await standin.house.close()
    server.should_exit = True
    with suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
