"""`/v1/fs`."""

from __future__ import annotations

import os
import shutil
import stat

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from session_widgets.runner.bodies import read_object
from session_widgets.runner.config import Config
from session_widgets.runner.files import Files
from session_widgets.runner.jail import Jail
from session_widgets.runner.listing import Listing
from session_widgets.runner.manifests import Manifests
from session_widgets.runner.problems import invalid
from session_widgets.runner.queries import flag, required
from session_widgets.runner.snapshots import Snapshots
from session_widgets.runner.uploads import TarUpload
from session_widgets.runner.writing import make_directory, move

SMALL_BODY = 64 << 10


class FsRoutes:
    """The workspace over HTTP; blocking calls run in a thread."""

    def __init__(self, config: Config, snapshots: Snapshots) -> None:
        self._jail = jail = Jail(config.root)
        listing = Listing(jail, config.limits)
        files = Files(jail, config.limits)
        tar = TarUpload(jail, config.limits, config.state)
        self.routes: list[BaseRoute] = [
            Route("/v1/fs/entries", listing.entries, methods=["GET"]),
            Route("/v1/fs/stat", listing.stat, methods=["GET"]),
            Route("/v1/fs/file", files.read, methods=["GET"]),
            Route("/v1/fs/file", files.write, methods=["PUT"]),
            Route("/v1/fs/entry", self.delete, methods=["DELETE"]),
            Route("/v1/fs/mkdir", self.mkdir, methods=["POST"]),
            Route("/v1/fs/move", self.move, methods=["POST"]),
            Route("/v1/fs/upload-batch", tar.upload, methods=["POST"]),
            Route("/v1/fs/watch", snapshots.watch, methods=["GET"]),
            Route("/v1/fs/manifest", Manifests(jail).look, methods=["POST"]),
            Route("/v1/fs/snapshots/{name}", snapshots.put, methods=["PUT"]),
            Route("/v1/fs/snapshots/{name}", snapshots.delete, methods=["DELETE"]),
            Route("/v1/fs/snapshots/{name}/changes", snapshots.changes, methods=["GET"]),
        ]

    def mkdir(self, request: Request) -> Response:
        """Create a directory and its missing parents; an existing one is no error."""
        return _path(make_directory(self._jail, required(request, "path")))

    def delete(self, request: Request) -> Response:
        """Delete a file, a link itself, or a directory; one that is not empty needs `recursive=true`."""
        path = required(request, "path")
        recursive = flag(request, "recursive")
        with self._jail.locate(path, follow=False) as place:
            if place.name == ".":
                raise invalid("the workspace itself cannot be deleted")
            if not stat.S_ISDIR(place.stat().st_mode):
                os.unlink(place.name, dir_fd=place.directory)
            elif recursive:
                shutil.rmtree(place.name, dir_fd=place.directory)
            else:
                os.rmdir(place.name, dir_fd=place.directory)
            return _path(place.path)

    async def move(self, request: Request) -> Response:
        """Rename; an existing destination is replaced only with `overwrite`."""
        body = await read_object(request, "max_envelope_bytes", SMALL_BODY)
        source, destination, overwrite = body.get("from"), body.get("to"), body.get("overwrite", False)
        if not isinstance(source, str) or not isinstance(destination, str) or not isinstance(overwrite, bool):
            raise invalid("from and to must be text, overwrite true or false")
        old, new = await run_in_threadpool(move, self._jail, source, destination, overwrite=overwrite)
        return Response(orjson.dumps({"from": old, "to": new}), media_type="application/json")


def _path(path: str) -> Response:
    return Response(orjson.dumps({"path": path}), media_type="application/json")
