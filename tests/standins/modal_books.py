"""The books of Modal's stand-in: what exists, what was called, which faults are due."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grpclib import GRPCError, Status
from modal._utils.name_utils import check_tag_dict
from modal.exception import InvalidError
from modal_proto import api_pb2

from session_widgets._sandboxes.clouds.recipes import Recipe
from tests.standins.machine import Box as Machine
from tests.standins.modal_boxes import FILE_TOOL, STATUS, Box, Image, new_id

PAGE = 2
"""Boxes on a page of a listing: few, so that every longer listing turns pages."""


class Books:
    """State of one stand-in.

    Args:
        place: directory of its boxes and images.
        token: id and secret of the only account.
    """

    def __init__(self, place: Path, token: tuple[str, str]) -> None:
        self.place = place
        self.token = token
        self.url = ""
        self.apps: dict[str, str] = {}
        own = Image(new_id("im"), ["the image of this package"])
        self.images: dict[str, Image] = {own.id: own}
        self.names = {Recipe(None, ()).name(*sys.version_info[:2]): own.id}
        self.failed: dict[str, Image] = {}
        self.boxes: dict[str, Box] = {}
        self.keys: dict[str, str] = {}
        self.requests: list[api_pb2.Sandbox] = []
        self.router_tokens: set[str] = set()
        self.calls: list[str] = []
        self.unexpected: list[str] = []
        self.faults: list[dict[str, Any]] = []
        self.ahead = 0.0
        """Seconds that the vendor's clock shows more than ours."""

    def take_fault(self, name: str) -> dict[str, Any] | None:
        """Return the next fault of this call, if one was asked for."""
        for fault in self.faults:
            if fault["call"] == name and fault.setdefault("times", 1) > 0:
                fault["times"] -= 1
                return fault
        return None

    def app(self, name: str) -> str:
        """Return the id of an app, made if it is new."""
        return self.apps.setdefault(name, new_id("ap"))

    def image(self, id: str) -> Image:
        """Return an image."""
        if (image := self.images.get(id)) is None:
            raise GRPCError(Status.NOT_FOUND, f"image {id} not found")
        return image

    def layer(self, commands: list[str]) -> Image:
        """Return the layer of these Dockerfile commands, noted once."""
        for image in self.images.values():
            if image.ttl is None and image.commands == commands:
                return image
        image = Image(new_id("im"), commands)
        self.images[image.id] = image
        return image

    async def snapshot(self, box: Box, ttl: int) -> Image:
        """Copy the disk of a box into a new image."""
        image = Image(new_id("im"), tree=self.place / "images" / secrets.token_hex(6), ttl=ttl)
        assert image.tree is not None
        await box.machine.snapshot(image.tree)
        self.images[image.id] = image
        return image

    def forget_image(self, id: str) -> None:
        """Remove an image."""
        if tree := self.image(id).tree:
            shutil.rmtree(tree, ignore_errors=True)
        del self.images[id]
        self.names = {name: image for name, image in self.names.items() if image != id}

    async def create(self, request: api_pb2.SandboxCreateV2Request, key: str) -> Box:
        """Make a box; a call that is repeated with its key makes no second one."""
        if key in self.keys:
            return self.boxes[self.keys[key]]
        wanted = request.definition
        image = self.image(wanted.image_id)
        if wanted.name and self.named(request.app_id, wanted.name):
            raise GRPCError(Status.ALREADY_EXISTS, f"Sandbox with name '{wanted.name}' already exists")
        self.requests.append(wanted)
        tags = self.tags(request.tags)
        id = new_id("sb")
        machine = await Machine.start(id, self.place / "boxes" / id, copy_of=image.tree)
        plant(machine.root)
        env = {name: value for source in request.secret_sources for name, value in source.env.contents.items()}
        box = Box(request.app_id, wanted, tags, machine, env)
        self.boxes[box.id] = box
        self.keys[key] = box.id
        await box.start()
        if not wanted.entrypoint_args and image.ttl is None and not any("CMD" in line for line in image.commands):
            await box.end(STATUS.GENERIC_STATUS_SUCCESS, 0)  # the interpreter of a registry's image, without a terminal
        return box

    @staticmethod
    def tags(given: Iterable[api_pb2.SandboxTag]) -> dict[str, str]:
        """Return tags by name; the SDK's rule for those of apps is taken to be the one of sandboxes, too."""
        tags = {tag.tag_name: tag.tag_value for tag in given}
        try:
            check_tag_dict(tags)
        except InvalidError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        return tags

    def named(self, app: str, name: str) -> Box | None:
        """Return the running box of this name."""
        found = (box for box in self.running() if (box.app, box.name) == (app, name))
        return next(found, None)

    def running(self) -> list[Box]:
        """Return the running boxes, newest first."""
        return sorted((box for box in self.boxes.values() if box.result is None), key=lambda box: -box.created)

    def box(self, id: str) -> Box:
        """Return a box, running or not."""
        if (box := self.boxes.get(id)) is None:
            raise GRPCError(Status.NOT_FOUND, f"Sandbox {id} not found")
        return box

    def access(self) -> api_pb2.CommandRouterAccess:
        """Return address and token of the command router."""
        token = self.jwt(3600)
        self.router_tokens.add(token)
        return api_pb2.CommandRouterAccess(url=self.url, jwt=token)

    def jwt(self, seconds: float) -> str:
        """Return a token with a deadline, in the form that the SDK parses."""
        body = json.dumps({"exp": time.time() + self.ahead + seconds, "jti": secrets.token_hex(8)}).encode()
        parts = (b'{"alg":"none"}', body, b"-")
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

    async def end(self) -> None:
        """End every box, and forget the faults that were not taken."""
        self.faults.clear()
        for image in self.images.values():
            if image.building:
                image.building.cancel()
        for box in self.running():
            await box.end(STATUS.GENERIC_STATUS_TERMINATED, 137)

    def show(self) -> dict[str, Any]:
        """Return the books as JSON."""
        return {
            "boxes": [
                {"id": box.id, "name": box.name, "app": box.app, "tags": box.tags, "busy": box.busy}
                for box in self.running()
            ],
            "lines": {box.id: box.machine.line.seen for box in self.running()},
            "made": len(self.boxes),
            "images": [image.id for image in self.images.values() if image.ttl is not None],
            "built": [image.commands for image in self.images.values() if image.ttl is None],
            "names": self.names,
            "calls": dict(Counter(self.calls)),
            "requests": [{**_request(one)} for one in self.requests],
        }


def plant(root: Path) -> None:
    """Put Modal's file tool into a box."""
    tool = root / FILE_TOOL.lstrip("/")
    tool.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("modal_file_tool.py"), tool)
    tool.chmod(0o755)


def _request(wanted: api_pb2.Sandbox) -> dict[str, Any]:
    return {
        "timeout": wanted.timeout_secs,
        "idle": wanted.idle_timeout_secs,
        "cpu": wanted.resources.milli_cpu,
        "memory": wanted.resources.memory_mb,
        "most": [wanted.resources.milli_cpu_max, wanted.resources.memory_mb_max],
        "gpu": wanted.resources.gpu_config.gpu_type,
        "ports": [spec.port for spec in wanted.open_ports.ports],
        "network": api_pb2.NetworkAccess.NetworkAccessType.Name(wanted.network_access.network_access_type),
        "cidrs": list(wanted.network_access.allowed_cidrs),
        "domains": list(wanted.network_access.allowed_domains),
    }
