"""A stand-in of Modal: its control plane and command router on one port, spoken to by the unmodified SDK.

`python -m tests.standins.modal DIRECTORY` prints its addresses as JSON, and ends with its boxes when its input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from grpclib.server import Server
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase

from tests.standins.modal_account import TOKEN
from tests.standins.modal_books import PAGE, Books
from tests.standins.modal_boxes import STATUS, Box
from tests.standins.modal_images import BUILDER, ImageCalls
from tests.standins.modal_router import Router
from tests.standins.modal_service import Service, answers

LONG_POLL = 55


def _check_environment(name: str) -> None:
    if name not in ("", "main"):
        raise GRPCError(Status.NOT_FOUND, f"Environment '{name}' not found")


class ControlPlane(ImageCalls, Service, ModalClientBase):
    """Apps, images and sandboxes of Modal's V2. A sandbox of V1 (a GPU) is checked at the request, and refused."""

    def check(self, name: str, metadata: Any) -> None:
        """Refuse a call of another account; those of V2 carry a short token, too."""
        if (metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret")) != self.books.token:
            raise GRPCError(Status.UNAUTHENTICATED, "Token validation failed. Could not find a valid token.")
        if name.startswith("Sandbox") and name.endswith("V2") and not metadata.get("x-modal-auth-token"):
            raise GRPCError(Status.UNAUTHENTICATED, "x-modal-auth-token is missing")

    @answers
    async def ClientHello(self, request: Any) -> api_pb2.ClientHelloResponse:
        """Greet."""
        return api_pb2.ClientHelloResponse()

    @answers
    async def AuthTokenGet(self, request: Any) -> api_pb2.AuthTokenGetResponse:
        """Give the short token."""
        return api_pb2.AuthTokenGetResponse(token=self.books.jwt(1200))

    @answers
    async def EnvironmentGetOrCreate(self, request: Any) -> api_pb2.EnvironmentGetOrCreateResponse:
        """Describe the only environment."""
        _check_environment(request.deployment_name)
        settings = api_pb2.EnvironmentSettings(image_builder_version=BUILDER)
        metadata = api_pb2.EnvironmentMetadata(name=request.deployment_name or "main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-STANDIN", metadata=metadata)

    @answers
    async def AppGetOrCreate(self, request: Any) -> api_pb2.AppGetOrCreateResponse:
        """Find or make an app."""
        _check_environment(request.environment_name)
        make = api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING
        if request.app_name not in self.books.apps and request.object_creation_type != make:
            raise GRPCError(Status.NOT_FOUND, f"App '{request.app_name}' not found")
        return api_pb2.AppGetOrCreateResponse(app_id=self.books.app(request.app_name))

    async def SandboxCreateV2(self, stream: Any) -> None:
        """Make a box. A fault may delay the answer: then the box exists before anybody knows its id."""
        request = await stream.recv_message()
        box = await self.books.create(request, str(stream.metadata.get("x-idempotency-key")))
        if fault := self.books.take_fault("late creation"):
            await asyncio.sleep(fault["seconds"])
        await stream.send_message(
            api_pb2.SandboxCreateV2Response(
                sandbox_id=box.id,
                task_id=box.task,
                metadata=api_pb2.SandboxHandleMetadata(app_id=box.app),
                command_router_access=self.books.access(),
                tunnels=[_tunnel(box, spec) for spec in box.definition.open_ports.ports if not spec.unencrypted],
            )
        )

    @answers
    async def SandboxCreate(self, request: api_pb2.SandboxCreateRequest) -> api_pb2.SandboxCreateResponse:
        """Note the request of a GPU, and refuse it."""
        self.books.requests.append(request.definition)
        raise GRPCError(Status.RESOURCE_EXHAUSTED, "the stand-in has no GPU")

    @answers
    async def SandboxWaitV2(self, request: Any) -> api_pb2.SandboxWaitResponse:
        """Say how a box ended, or that it has not."""
        box = self.books.box(request.sandbox_id)
        if box.result is None and request.timeout > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(box.over.wait(), min(request.timeout, LONG_POLL))
        return api_pb2.SandboxWaitResponse(result=box.result, metadata=self._metadata(box))

    @answers
    async def SandboxGetFromNameV2(self, request: Any) -> api_pb2.SandboxGetFromNameResponse:
        """Find a running box by its name."""
        box = self.books.named(self.books.apps.get(request.app_name, ""), request.sandbox_name)
        if box is None:
            raise GRPCError(Status.NOT_FOUND, f"Sandbox with name '{request.sandbox_name}' not found")
        return api_pb2.SandboxGetFromNameResponse(sandbox_id=box.id, metadata=self._metadata(box))

    @answers
    async def SandboxGetFromName(self, request: Any) -> api_pb2.SandboxGetFromNameResponse:
        """V1, asked by the SDK when V2 has no such name."""
        raise GRPCError(Status.NOT_FOUND, f"Sandbox with name '{request.sandbox_name}' not found")

    @answers
    async def SandboxListV2(self, request: Any) -> api_pb2.SandboxListResponse:
        """List running boxes that have these tags, newest first, by pages."""
        wanted = set(self.books.tags(request.tags).items())
        found = [
            box
            for box in self.books.running()
            if request.app_id in ("", box.app)
            and wanted <= set(box.tags.items())
            and (not request.before_timestamp or box.created + self.books.ahead < request.before_timestamp)
        ]
        return api_pb2.SandboxListResponse(sandboxes=[self._info(box) for box in found[:PAGE]])

    @answers
    async def SandboxTagsGetV2(self, request: Any) -> api_pb2.SandboxTagsGetResponse:
        """Return the tags of a box."""
        return api_pb2.SandboxTagsGetResponse(tags=_tags(self.books.box(request.sandbox_id)))

    @answers
    async def SandboxTagsSetV2(self, request: Any) -> Empty:
        """Replace the tags of a box."""
        self.books.box(request.sandbox_id).tags = self.books.tags(request.tags)
        return Empty()

    @answers
    async def SandboxGetTunnelsV2(self, request: Any) -> api_pb2.SandboxGetTunnelsResponse:
        """Return the addresses of the ports that were named at creation."""
        box = self.books.box(request.sandbox_id)
        if self.books.take_fault("no tunnels"):
            late = api_pb2.GenericResult(status=STATUS.GENERIC_STATUS_TIMEOUT)
            return api_pb2.SandboxGetTunnelsResponse(result=late)
        tunnels = [_tunnel(box, spec) for spec in box.definition.open_ports.ports]
        return api_pb2.SandboxGetTunnelsResponse(result=box.result, tunnels=tunnels)

    @answers
    async def SandboxGetTaskIdV2(self, request: Any) -> api_pb2.SandboxGetTaskIdResponse:
        """Return the task of a running box, or how the box ended."""
        box = self.books.box(request.sandbox_id)
        if box.result is not None:
            return api_pb2.SandboxGetTaskIdResponse(task_result=box.result)
        return api_pb2.SandboxGetTaskIdResponse(task_id=box.task)

    @answers
    async def SandboxGetCommandRouterAccess(self, request: Any) -> Any:
        """Give access to the command router of a running box."""
        if self.books.box(request.sandbox_id).result is not None:
            raise GRPCError(Status.FAILED_PRECONDITION, "Sandbox has already completed")
        access = self.books.access()
        return api_pb2.SandboxGetCommandRouterAccessResponse(url=access.url, jwt=access.jwt)

    @answers
    async def SandboxTerminateV2(self, request: Any) -> api_pb2.SandboxTerminateResponse:
        """End a box."""
        box = self.books.box(request.sandbox_id)
        earlier = box.result
        await box.end(STATUS.GENERIC_STATUS_TERMINATED, 137)
        return api_pb2.SandboxTerminateResponse(existing_result=earlier)

    @staticmethod
    def _metadata(box: Box) -> api_pb2.SandboxHandleMetadata:
        return api_pb2.SandboxHandleMetadata(result=box.result, app_id=box.app)

    def _info(self, box: Box) -> api_pb2.SandboxInfo:
        return api_pb2.SandboxInfo(
            id=box.id,
            created_at=box.created + self.books.ahead,
            app_id=box.app,
            name=box.name,
            tags=_tags(box),
            task_info=api_pb2.TaskInfo(id=box.task),
            metadata=self._metadata(box),
            timeout_secs=box.definition.timeout_secs,
        )


def _tags(box: Box) -> list[api_pb2.SandboxTag]:
    return [api_pb2.SandboxTag(tag_name=name, tag_value=value) for name, value in box.tags.items()]


def _tunnel(box: Box, spec: api_pb2.PortSpec) -> api_pb2.TunnelData:
    """Return the address of a tunnel: plain HTTP, on this machine."""
    at = {"host": "127.0.0.1", "port": box.tunnels[spec.port], "container_port": spec.port}
    if spec.unencrypted:
        at |= {"unencrypted_host": at["host"], "unencrypted_port": at["port"]}
    return api_pb2.TunnelData(**at)


async def main(place: Path) -> None:
    """Serve until the input ends."""
    books = Books(place, TOKEN)
    server = Server([ControlPlane(books), Router(books)])
    await server.start("127.0.0.1", 0)
    port = server._server.sockets[0].getsockname()[1]
    books.url = f"http://127.0.0.1:{port}"
    print(json.dumps({"url": books.url}), flush=True)
    try:
        await _orders(books)
    finally:
        server.close()
        await books.end()


async def _orders(books: Books) -> None:
    """Carry out the orders of the test, one JSON line each, until the input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        answer: dict[str, Any] = {}
        match order.pop("order"):
            case "books":
                answer = books.show()
            case "unexpected":
                answer = {"unexpected": books.unexpected[:]}
                books.unexpected.clear()
            case "fault":
                books.faults.append(order)
            case "forget faults":
                books.faults.clear()
            case "clock":
                books.ahead = order["ahead"]
            case "end":
                await books.box(order["id"]).end(STATUS.GENERIC_STATUS_TIMEOUT, 124)
            case "cut":
                books.box(order["id"]).cut()
            case "line":
                getattr(books.box(order["id"]).machine.line, order["what"])()
            case "forget image":
                books.forget_image(order["id"])
            case "end all":
                await books.end()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
