"""`POST /v1/fs/manifest`: the content of the workspace with hashes, as the sandbox sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping

import orjson
from starlette.requests import Request
from starlette.responses import Response

from session_widgets.host.manifest import Entry, scan
from session_widgets.runner.jail import Jail


class Manifests:
    """Keeps the latest manifest, so that only changed files are read again."""

    def __init__(self, jail: Jail) -> None:
        self._jail = jail
        self._known: Mapping[str, Entry] = {}

    def look(self, _: Request) -> Response:
        """Make a manifest of the whole workspace."""
        with self._jail.locate("") as place:
            directory = place.open_directory()
            try:
                manifest = scan(directory, self._known)
            finally:
                os.close(directory)
        self._known = manifest.entries
        return Response(orjson.dumps(manifest.to_json()), media_type="application/json")
