"""`GET /v1/machine`: the machine, as the agents on it see it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session_widgets.host.machine import this_platform
from session_widgets.runner.config import Config


class MachineRoutes:
    """Describes the machine."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.routes = [Route("/v1/machine", self.describe, methods=["GET"])]

    async def describe(self, _: Request) -> Response:
        """Return the paths of workspace, programs, harnesses and cache, PATH, and the platform."""
        body = {
            "root": str(self._config.root),
            "python": sys.executable,
            "node": shutil.which("node"),
            "path": os.environ.get("PATH", os.defpath),
            "platform": this_platform(),
            "harnesses": str(harness_folder(self._config)),
            "cache": "/tmp/cache" if self._config.user else str(self._config.state.parent / "cache"),  # noqa: S108
        }
        return Response(orjson.dumps(body), media_type="application/json")


def harness_folder(config: Config) -> Path:
    """Return the folder of uploaded harnesses."""
    return config.harnesses or config.state.parent / "harnesses"
