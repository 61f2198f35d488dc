"""The builder of Modal's stand-in: layers of images, their output, and the names of published ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.standins import builds
from tests.standins.modal_boxes import STATUS, Image, new_id
from tests.standins.modal_service import answers

if TYPE_CHECKING:
    from tests.standins.modal_books import Books

BUILDER = "2025.06"
_METADATA = api_pb2.ImageMetadata(image_builder_version=BUILDER, python_version_info="Python 3.11")


class ImageCalls:
    """The part of the control plane that is about images."""

    books: Books

    @answers
    async def ImageGetOrCreate(self, request: Any) -> api_pb2.ImageGetOrCreateResponse:
        """Find or begin the build of a layer; a base has the files of this machine."""
        wanted = request.image
        bases = [one.image_id for one in wanted.base_images]
        image = self.books.layer([*bases, *wanted.dockerfile_commands])
        if image.building is None and image.result is None:
            if bases:
                image.building = asyncio.ensure_future(self._build(image, self.books.image(bases[0])))
            else:
                image.result = api_pb2.GenericResult(status=STATUS.GENERIC_STATUS_SUCCESS)
        return api_pb2.ImageGetOrCreateResponse(image_id=image.id, result=image.result, metadata=_METADATA)

    async def _build(self, image: Image, base: Image) -> None:
        commands = [line.removeprefix("RUN ") for line in image.commands if line.startswith("RUN ")]
        image.started.GetCurrentTime()
        try:
            place = self.books.place / "layers"
            image.tree = await builds.build(place, base.tree, commands, ("/bin/sh", "-c"), image.log.append)
            result = api_pb2.GenericResult(status=STATUS.GENERIC_STATUS_SUCCESS)
        except builds.Failed:
            result = api_pb2.GenericResult(status=STATUS.GENERIC_STATUS_FAILURE)
        image.finished.GetCurrentTime()
        image.result = result

    async def ImageJoinStreaming(self, stream: Any) -> None:
        """Send the output of a build once it has ended, and its result."""
        request = await stream.recv_message()
        image = self.books.image(request.image_id)
        assert image.building is not None
        await image.building
        logs = [api_pb2.TaskLogs(data=f"{line}\n") for line in image.log]
        answer = api_pb2.ImageJoinStreamingResponse(task_logs=logs, result=image.result, metadata=_METADATA)
        if image.result is not None and image.result.status == STATUS.GENERIC_STATUS_FAILURE:
            del self.books.images[image.id]  # it is built again when it is asked for again
            self.books.failed[image.id] = image
        await stream.send_message(answer)

    @answers
    async def ImageBuildChainGet(self, request: Any) -> api_pb2.ImageBuildChainGetResponse:
        """Describe the build that failed: one step."""
        image = self.books.failed[request.image_id]
        step = api_pb2.ImageBuildStep(
            image_id=image.id,
            started_at=image.started,
            finished_at=image.finished,
            builder_app_id="ap-BUILDER",
            builder_task_id=image.id,
        )
        return api_pb2.ImageBuildChainGetResponse(build_steps=[step])

    @answers
    async def AppFetchLogs(self, request: Any) -> api_pb2.AppFetchLogsResponse:
        """Send the end of the output of a build that failed."""
        lines = self.books.failed[request.task_id].log[-request.limit :]
        batch = api_pb2.TaskLogsBatch(items=[api_pb2.TaskLogs(data=f"{line}\n") for line in lines])
        return api_pb2.AppFetchLogsResponse(batches=[batch])

    @answers
    async def ImageFromId(self, request: Any) -> api_pb2.ImageFromIdResponse:
        """Find an image."""
        return api_pb2.ImageFromIdResponse(image_id=self.books.image(request.image_id).id, metadata=_METADATA)

    @answers
    async def ImageGetByTag(self, request: Any) -> api_pb2.ImageGetByTagResponse:
        """Find a published image."""
        if (id := self.books.names.get(_plain(request.tag))) is None:
            raise GRPCError(Status.NOT_FOUND, f"Image '{request.tag}' not found")
        return api_pb2.ImageGetByTagResponse(image_id=id)

    @answers
    async def ImagePublish(self, request: Any) -> api_pb2.ImagePublishResponse:
        """Give an image a name."""
        assert not request.allow_public
        self.books.names[_plain(request.tag)] = self.books.image(request.image_id).id
        return api_pb2.ImagePublishResponse(image_id=request.image_id, revision_id=new_id("rv"))

    @answers
    async def ImageDelete(self, request: Any) -> Empty:
        """Remove an image."""
        self.books.forget_image(request.image_id)
        return Empty()


def _plain(tag: str) -> str:
    """Return a name without the environment and the usual tag."""
    return tag.rpartition("/")[2].removesuffix(":latest")
