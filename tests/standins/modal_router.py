"""The second service of Modal's stand-in: the command router of its boxes, over gRPC."""

from __future__ import annotations

import time
from typing import Any

from grpclib import GRPCError, Status
from modal_proto import task_command_router_pb2 as router
from modal_proto.task_command_router_grpc import TaskCommandRouterBase

from tests.standins.modal_boxes import Box, Command
from tests.standins.modal_service import Service, answers

MOST_ARGUMENTS = 64 << 10
CHUNK = 64 << 10


class Router(Service, TaskCommandRouterBase):
    """Starts commands in boxes, and hands their streams over from any offset."""

    def check(self, name: str, metadata: Any) -> None:
        """Refuse a call without the token that came with the box's access."""
        if metadata.get("authorization") not in {f"Bearer {token}" for token in self.books.router_tokens}:
            raise GRPCError(Status.UNAUTHENTICATED, "the command router's token is not valid")

    def _box(self, task: str) -> Box:
        for box in self.books.boxes.values():
            if box.task == task and box.result is None:
                return box
        raise GRPCError(Status.NOT_FOUND, f"task {task} is not running")

    def _command(self, request: Any) -> tuple[Box, Command]:
        box = self._box(request.task_id)
        command = box.commands.get(request.exec_id)
        if command is None:
            raise GRPCError(Status.NOT_FOUND, f"exec {request.exec_id} not found")
        box.used()
        return box, command

    @answers
    async def TaskExecStart(self, request: router.TaskExecStartRequest) -> router.TaskExecStartResponse:
        """Start a command once, however often it is asked for."""
        box = self._box(request.task_id)
        if sum(map(len, request.command_args)) > MOST_ARGUMENTS:
            raise GRPCError(Status.INVALID_ARGUMENT, "the arguments are too long")
        if request.exec_id not in box.commands:
            box.used()
            given = {key: value for source in request.secret_sources for key, value in source.env.contents.items()}
            workdir = request.workdir or box.definition.workdir or "/"
            env = {**box.env, **given}
            running = await box.machine.exec(list(request.command_args), env=env, cwd=workdir, stdin=True)
            box.commands[request.exec_id] = Command(running, request.timeout_secs)
        return router.TaskExecStartResponse()

    async def TaskExecStdioRead(self, stream: Any) -> None:
        """Send what a command prints, from the requested offset until it closes the stream."""
        request = await stream.recv_message()
        box, command = self._command(request)
        fd = 1 if request.file_descriptor == router.TASK_EXEC_STDIO_FILE_DESCRIPTOR_STDOUT else 2
        sent = request.offset
        while True:
            output = command.output[fd]
            await command.until(lambda: len(output) > sent or fd in command.ended)  # noqa: B023 - awaited at once
            if len(output) <= sent:
                return
            chunk = bytes(output[sent : sent + CHUNK])
            await stream.send_message(router.TaskExecStdioReadResponse(data=chunk))
            sent += len(chunk)
            box.used()
            if self.books.take_fault("cut"):
                raise GRPCError(Status.UNAVAILABLE, "the connection to the worker was cut")

    @answers
    async def TaskExecWait(self, request: router.TaskExecWaitRequest) -> router.TaskExecWaitResponse:
        """Answer when the command has ended."""
        _, command = self._command(request)
        await command.until(lambda: command.code is not None)
        return _exit(router.TaskExecWaitResponse(), command.code)

    @answers
    async def TaskExecPoll(self, request: router.TaskExecPollRequest) -> router.TaskExecPollResponse:
        """Say whether the command has ended."""
        return _exit(router.TaskExecPollResponse(), self._command(request)[1].code)

    @answers
    async def TaskExecStdinWrite(self, request: Any) -> router.TaskExecStdinWriteResponse:
        """Give a command input."""
        _, command = self._command(request)
        await command.write(request.offset, request.data)
        if request.eof:
            command.close_input()
        return router.TaskExecStdinWriteResponse()

    async def TaskExecStdinWriteStream(self, stream: Any) -> None:
        """Give a command a stream of input."""
        command, offset = None, 0
        async for message in stream:
            part = message.WhichOneof("payload")
            if part == "start":
                _, command = self._command(message.start)
                offset = message.start.offset
            elif command is None:
                raise GRPCError(Status.INVALID_ARGUMENT, "data came before the start")
            elif part == "data":
                if command.code is not None:
                    raise GRPCError(Status.FAILED_PRECONDITION, "the command has ended")
                await command.write(offset, message.data)
                offset += len(message.data)
            else:
                command.close_input()
        await stream.send_message(router.TaskExecStdinWriteStreamResponse())

    @answers
    async def TaskExecStdinStatus(self, request: Any) -> router.TaskExecStdinStatusResponse:
        """Say how much input has arrived."""
        _, command = self._command(request)
        return router.TaskExecStdinStatusResponse(num_bytes_written=command.written, closed=command.closed)

    @answers
    async def TaskSnapshotFilesystem(self, request: Any) -> router.TaskSnapshotFilesystemResponse:
        """Copy the disk of a box into a new image."""
        image = await self.books.snapshot(self._box(request.task_id), request.ttl_seconds)
        return router.TaskSnapshotFilesystemResponse(image_id=image.id)

    @answers
    async def SandboxWaitUntilReady(self, request: Any) -> router.SandboxWaitUntilReadyTcrResponse:
        """A machine is ready when it exists."""
        self._box(request.task_id)
        return router.SandboxWaitUntilReadyTcrResponse(ready_at=time.time())


def _exit(answer: Any, code: int | None) -> Any:
    if code is not None and code < 0:
        answer.signal = -code
    elif code is not None:
        answer.code = code
    return answer
