"""A stand-in for Daytona: control plane, toolbox and socket.io for the unmodified SDK, with real processes in boxes.

`python -m tests.standins.daytona HOME` listens on a free port of 127.0.0.1, prints its address, and keeps its boxes
below HOME until its standard input ends. `/standin` is the way of the tests to its books and faults. What it does not
know is answered with 501 and stands in the books as `unknown`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import socketio
from aiohttp import BodyPartReader, MultipartReader, MultipartWriter, web
from daytona_api_client_async.models import CreateSandbox, ListSandboxesResponse, SandboxLabels, SandboxState
from daytona_toolbox_api_client_async.models import (
    ExecuteRequest,
    ExecuteResponse,
    FilesDownloadRequest,
    UserHomeDirResponse,
    WorkDirResponse,
)

from tests.standins.daytona_account import KEY
from tests.standins.daytona_boxes import Box, Refused
from tests.standins.daytona_snapshots import Snapshots
from tests.standins.line import Line

EXEC_SECONDS = 360
"""Without a timeout of its own a command gets this one of the daemon."""
PAGE = 100
REGIONS = ("us", "eu")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """The control plane: boxes, faults and books."""

    def __init__(self, home: Path) -> None:
        self.place = home
        self.boxes: dict[str, Box] = {}
        self.base = ""
        self.snapshots = Snapshots(home / "snapshots", lambda: self.base)
        self.calls: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.created: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.sio = socketio.AsyncServer(async_mode="aiohttp")
        self.sio.on("connect", self._connect)

    async def _connect(self, sid: str, environ: dict[str, Any], auth: dict[str, str] | None = None) -> None:
        if (auth or {}).get("token") != KEY:
            raise socketio.exceptions.ConnectionRefusedError("unauthorized")

    async def changed(self, box: Box, old: SandboxState) -> None:
        """Tell the connected clients of a new state; forget a destroyed box, whose name is then free."""
        told = {"sandbox": box.dto().to_dict(), "oldState": old.value, "newState": box.state.value}
        await self.sio.emit("sandbox.state.updated", told)

    def find(self, wanted: str) -> Box:
        """Return a box by id or name. A box under removal has lost its name."""
        for box in self.boxes.values():
            if box.state is not SandboxState.DESTROYED and (wanted == box.id or (wanted == box.name and box.alive)):
                return box
        raise Refused(404, f"Sandbox with ID or name {wanted} not found")

    async def create(self, request: web.Request) -> web.Response:
        """`POST /sandbox`: the answer comes before the box has started."""
        asked = CreateSandbox.from_dict(await request.json())
        assert asked is not None
        assert not asked.additional_properties, f"a field that the SDK's model does not have: {asked}"
        if asked.target not in {None, *REGIONS}:
            raise Refused(400, f"Region {asked.target} not found")
        if any(asked.name == box.name and box.alive for box in self.boxes.values()):
            raise Refused(409, f"Sandbox with name {asked.name} already exists")
        snapshot = None if asked.build_info else self.snapshots.active(asked.snapshot or "daytona-small")
        root = snapshot is None or snapshot.asked.name != "daytona-small"  # the user of an image, unless it names one
        tree = snapshot and snapshot.tree
        box = Box(asked, self.place, self.base, self.changed, tree=tree, root=root)
        self.boxes[box.id] = box
        self.created.append(asked.to_dict())
        await self.sio.emit("sandbox.created", box.dto().to_dict())
        box.soon(box.fail if self._fault("broken", request) else box.start)
        if late := self._fault("late", request):
            await asyncio.sleep(late["seconds"])
        if self._fault("lost", request):
            return web.Response(status=502, text="Bad Gateway")
        return answer(box.dto())

    async def list(self, request: web.Request) -> web.Response:
        """`GET /sandbox`, by labels, in pages."""
        wanted = json.loads(request.query.get("labels", "{}"))
        found = [box for box in self.boxes.values() if box.alive and wanted.items() <= box.labels.items()]
        begin, size = int(request.query.get("cursor", "0")), int(request.query.get("limit", PAGE))
        end = begin + size
        items = [box.item() for box in found[begin:end]]
        return answer(ListSandboxesResponse(items=items, next_cursor=str(end) if end < len(found) else None))

    async def get(self, request: web.Request) -> web.Response:
        """`GET /sandbox/{box}`."""
        return answer(self.find(request.match_info["box"]).dto())

    def _settled(self, request: web.Request) -> Box:
        """Return the box of a call that changes its state, which the vendor refuses while it changes."""
        box = self.find(request.match_info["box"])
        if box.lock.locked() and box.alive:
            raise Refused(400, "Sandbox state change in progress", "SANDBOX_STATE_ERROR")
        return box

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /sandbox/{box}`."""
        box = self._settled(request)
        if box.state is not SandboxState.DESTROYING:
            box.soon(box.destroy)
        return answer(box.dto())

    async def change(self, request: web.Request) -> web.Response:
        """`POST /sandbox/{box}/start`, `/stop`, `/archive`, `/recover`."""
        box, verb = self._settled(request), request.match_info["verb"]
        allowed = {
            "start": {SandboxState.STOPPED, SandboxState.ARCHIVED, SandboxState.STARTED, SandboxState.STARTING},
            "stop": {SandboxState.STARTED, SandboxState.STOPPED, SandboxState.STOPPING},
            "archive": {SandboxState.STOPPED},
            "recover": {SandboxState.ERROR},
        }[verb]
        if box.state not in allowed:
            raise Refused(400, f"Sandbox is not in a state to {verb}: it is {box.state.value}", "SANDBOX_STATE_ERROR")
        box.soon({"start": box.start, "stop": box.stop, "archive": box.archive, "recover": box.start}[verb])
        return answer(box.dto())

    async def interval(self, request: web.Request) -> web.Response:
        """`POST /sandbox/{box}/autostop/{minutes}`, `/autoarchive` and `/autodelete`."""
        box = self.find(request.match_info["box"])
        box.intervals[request.match_info["which"]] = int(request.match_info["minutes"])
        box.touch()
        return answer(box.dto())

    async def labels(self, request: web.Request) -> web.Response:
        """`PUT /sandbox/{box}/labels`."""
        box = self.find(request.match_info["box"])
        labels = SandboxLabels.from_dict(await request.json())
        assert labels is not None
        box.labels = dict(labels.labels)
        return answer(labels)

    async def activity(self, request: web.Request) -> web.Response:
        """`POST /sandbox/{box}/last-activity`: the beat."""
        self.find(request.match_info["box"]).touch()
        return web.Response(status=201)

    async def preview(self, request: web.Request) -> web.Response:
        """`GET /sandbox/{box}/ports/{port}/preview-url`."""
        box = self.find(request.match_info["box"])
        return answer(await box.preview(int(request.match_info["port"])))

    async def execute(self, request: web.Request) -> web.Response:
        """Toolbox, `POST process/execute`: both outputs as one text; killed when its time is up."""
        box = self._started(request)
        asked = ExecuteRequest.from_dict(await request.json())
        assert asked is not None
        env = {**(box.asked.env or {}), **(asked.envs or {})}
        merged = ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", "/bin/sh", "-c", asked.command]
        try:
            limit = asked.timeout or EXEC_SECONDS
            inside = box.machine
            done = await inside.run(merged, env=env, cwd=asked.cwd or box.home, user=box.user, timeout=limit)
        except TimeoutError as error:
            why = "command execution timeout"
            raise Refused(408, why, "PROCESS_EXECUTION_TIMEOUT", "DAYTONA_DAEMON") from error
        if inside.stopped.is_set():
            raise Refused(502, "runner is unreachable: the sandbox has stopped", "RUNNER_UNREACHABLE", "DAYTONA_PROXY")
        return answer(ExecuteResponse(exit_code=done.code, result=done.out.decode(errors="replace")))

    async def upload(self, request: web.Request) -> web.Response:
        """Toolbox, `POST files/bulk-upload`: fields `files[N].path` and `files[N].file`."""
        box = self._started(request)
        paths: dict[str, str] = {}
        files: dict[str, bytes] = {}
        async for part in MultipartReader(request.headers, request.content):
            assert isinstance(part, BodyPartReader)
            name, _, kind = str(part.name).rpartition(".")
            if kind == "path":
                paths[name] = await part.text()
            elif kind == "file":
                files[paths[name]] = bytes(await part.read())
            else:
                raise Refused(400, f"unknown field {part.name}", "", "DAYTONA_DAEMON")
        await box.machine.write_many(files, user=box.user)
        return web.Response()

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Toolbox, `POST files/bulk-download`: the answer has a part `file` for each, named by its path."""
        box = self._started(request)
        asked = FilesDownloadRequest.from_dict(await request.json())
        assert asked is not None
        with MultipartWriter("form-data") as writer:
            for path in asked.paths:
                part = writer.append(await box.machine.read_at_once(path))
                part.set_content_disposition("form-data", quote_fields=False, name="file", filename=path)
        return web.Response(body=writer)

    async def home(self, request: web.Request) -> web.Response:
        """Toolbox, `GET user-home-dir`."""
        return answer(UserHomeDirResponse(dir=self._started(request).home))

    async def work(self, request: web.Request) -> web.Response:
        """Toolbox, `GET work-dir`."""
        return answer(WorkDirResponse(dir=self._started(request).home))

    def _started(self, request: web.Request) -> Box:
        """Return the box of a toolbox call, which counts as use. Raises for a box that is not started."""
        try:
            box = self.find(request.match_info["box"])
        except Refused as refused:
            raise Refused(404, str(refused), "SANDBOX_NOT_FOUND", "DAYTONA_PROXY") from refused
        assert box.machine
        box.touch()
        return box

    async def books(self, request: web.Request) -> web.Response:
        """For tests: what there is and what was asked."""
        alive = [box for box in self.boxes.values() if box.alive]
        boxes = {box.id: {"name": box.name, "state": box.state.value, "labels": box.labels} for box in alive}
        lines = {box.id: box.line for box in alive}
        asked = {"calls": self.calls, "created": self.created, "unknown": self.unknown}
        snapshots = {"snapshots": self.snapshots.show(), "builds": self.snapshots.asked}
        return web.json_response({"boxes": boxes, "lines": lines, **asked, **snapshots})

    async def set_aside(self, request: web.Request) -> web.Response:
        """For tests: two weeks have passed without use of a snapshot."""
        self.snapshots.set_aside(request.match_info["snapshot"])
        return web.Response()

    async def fault(self, request: web.Request) -> web.Response:
        """For tests: `{"kind": "429", "route": "POST /api/sandbox", "times": 1, ...}`."""
        if request.method == "DELETE":
            self.faults.clear()
        else:
            self.faults.append({"times": 1, **await request.json()})
        return web.Response()

    async def behind_our_back(self, request: web.Request) -> web.Response:
        """For tests: a box is destroyed without anybody's request, minutes pass, its connections are cut, ..."""
        box = self.find(request.match_info["box"])
        if (clock := request.match_info["what"]).startswith("clock"):
            box.ahead = timedelta(seconds=int(clock.removeprefix("clock")))
            return web.Response()
        what, _, minutes = request.match_info["what"].partition("-")
        if what == "cut":
            return web.json_response(box.cut())
        if hasattr(Line, what):
            getattr(box.machine.line, what)()
            return web.Response()
        if what == "error":
            await box.break_down(recoverable=minutes == "recoverable")
        else:
            await (box.let_pass(float(minutes)) if what == "pass" else box.alone(box.destroy))
        return web.Response()

    def _fault(self, kind: str, request: web.Request) -> dict[str, Any] | None:
        route = f"{request.method} {request.path}"
        for fault in self.faults:
            if fault["kind"] == kind and fault["times"] > 0 and route.startswith(fault["route"]):
                fault["times"] -= 1
                return fault
        return None

    @web.middleware
    async def checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the call, check the key, commit the requested fault, and put an error into the vendor's envelope."""
        if request.path.startswith(("/standin", "/api/socket.io")):
            return await handler(request)
        resource = request.match_info.route.resource
        known = resource.canonical if resource is not None else request.path
        self.calls[f"{request.method} {known}"] += 1
        if resource is None:
            self.unknown.append(f"{request.method} {request.path_qs}")
            return web.json_response({"statusCode": 501, "message": "the stand-in does not know this"}, status=501)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"statusCode": 401, "message": "Unauthorized"}, status=401)
        if fault := self._fault("429", request):
            headers = {"Retry-After": str(fault.get("after", 1))}
            told = {"statusCode": 429, "message": "ThrottlerException: Too Many Requests"}
            return web.json_response(told, status=429, headers=headers)
        if page := self._fault("html", request):
            text = "<html><h1>Internal Server Error</h1></html>"
            return web.Response(status=page.get("status", 500), text=text, content_type="text/html")
        if self._fault("502", request):
            return web.Response(status=502, text="Bad Gateway")
        if refused := self._fault("refused", request):
            told = {"statusCode": refused["status"], "message": refused["message"], "source": refused.get("source")}
            return web.json_response(told, status=refused["status"])
        try:
            return await handler(request)
        except Refused as refused:
            return web.json_response(refused.envelope, status=refused.status)
        except AssertionError as error:
            self.unknown.append(f"{request.method} {request.path_qs}: {error}")
            return web.json_response({"statusCode": 501, "message": str(error)}, status=501)

    def application(self) -> web.Application:
        """Return the server."""
        app = web.Application(middlewares=[self.checked], client_max_size=0)
        which = "{which:stop|archive|delete}"
        happening = "{what:gone|cut|stall|repeat|unplug|plug|pass-[0-9]+|clock-?[0-9]+|error-.*}"
        app.add_routes(
            [
                web.post("/api/sandbox", self.create),
                web.get("/api/sandbox", self.list),
                web.get("/api/sandbox/{box}", self.get),
                web.delete("/api/sandbox/{box}", self.delete),
                web.post("/api/sandbox/{box}/{verb:start|stop|archive|recover}", self.change),
                web.post(f"/api/sandbox/{{box}}/auto{which}/{{minutes}}", self.interval),
                web.put("/api/sandbox/{box}/labels", self.labels),
                web.post("/api/sandbox/{box}/last-activity", self.activity),
                web.get("/api/sandbox/{box}/ports/{port}/preview-url", self.preview),
                web.post("/toolbox/{box}/process/execute", self.execute),
                web.post("/toolbox/{box}/files/bulk-upload", self.upload),
                web.post("/toolbox/{box}/files/bulk-download", self.download),
                web.get("/toolbox/{box}/user-home-dir", self.home),
                web.get("/toolbox/{box}/work-dir", self.work),
                *self.snapshots.routes,
                web.get("/standin/books", self.books),
                web.post("/standin/snapshots/{snapshot}/inactive", self.set_aside),
                web.post("/standin/faults", self.fault),
                web.delete("/standin/faults", self.fault),
                web.post(f"/standin/boxes/{{box}}/{happening}", self.behind_our_back),
            ]
        )
        self.sio.attach(app, socketio_path="api/socket.io")
        return app


def answer(model: Any) -> web.Response:
    """Return one of the SDK's models as JSON."""
    return web.json_response(model.to_dict())


async def serve(home: Path) -> None:
    """Run until SIGTERM, or until the starter has ended; end every box."""
    control = Control(home)
    runner = web.AppRunner(control.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    control.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_reader(sys.stdin, lambda: over.set() if not sys.stdin.buffer.read1(1) else None)
    print(control.base, flush=True)
    await over.wait()
    await control.snapshots.close()
    for box in control.boxes.values():
        await box.close()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
