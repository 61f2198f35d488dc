"""`/v1/harnesses/{name}`: an installed harness, uploaded as a tar archive; complete or absent."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from functools import partial
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session_widgets.host.manifest import Readable
from session_widgets.host.tar_stream import CHUNK, BadTar, Member, members
from session_widgets.runner.account import opening_files_as_runner
from session_widgets.runner.bodies import BlockingBody, in_thread
from session_widgets.runner.config import Config
from session_widgets.runner.machine import harness_folder
from session_widgets.runner.problems import Problem, invalid, over_limit, telling

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
PARTIAL = ".partial-"
MAX_MEMBERS = 200_000


class HarnessRoutes:
    """Harnesses by a name that contains the hash of their lock, so that one name is always one content."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folder = harness_folder(config)
        for left in self._folder.glob(f"{PARTIAL}*"):
            shutil.rmtree(left, ignore_errors=True)
        self.routes = [
            Route("/v1/harnesses/{name}", self.show, methods=["GET"]),
            Route("/v1/harnesses/{name}", self.put, methods=["PUT"]),
        ]

    async def show(self, request: Request) -> Response:
        """Return where a harness is; 404 if it is not there."""
        path = self._path(request)
        if not path.is_dir():
            raise Problem(404, "not_found", f"harness {path.name}")
        return _path(path)

    async def put(self, request: Request) -> Response:
        """Unpack the body beside, then move it into place. An existing installation stays."""
        path = self._path(request)
        if not path.is_dir():
            body = BlockingBody(request, "max_file_bytes", self._config.limits.max_file_bytes)
            await in_thread(partial(self._receive, path), body)
        return _path(path)

    def _receive(self, path: Path, body: BlockingBody) -> None:
        with opening_files_as_runner(self._config.user), telling(path.name):
            self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self._folder))
            try:
                links: set[str] = set()
                for count, (member, content) in enumerate(members(body)):
                    if count >= MAX_MEMBERS:
                        raise over_limit(413, "max_entries", MAX_MEMBERS, "too many archive members")
                    _check_parents(member.name, links)
                    _place(member, content, beside / member.name)
                    if member.kind == "link":
                        links.add(member.name)
                beside.chmod(0o755)
                try:
                    beside.rename(path)
                except OSError as error:
                    if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # the other upload was complete first
                        raise
            except BadTar as error:
                raise invalid(str(error)) from error
            finally:
                shutil.rmtree(beside, ignore_errors=True)

    def _path(self, request: Request) -> Path:
        name: str = request.path_params["name"]
        if not NAME.fullmatch(name):
            raise invalid(f"the name of a harness is 1 to 128 characters of A-Z, a-z, 0-9, '.', '_', '-': {name!r:.80}")
        return self._folder / name


def _check_parents(name: str, links: set[str]) -> None:
    """Refuse a member below a link: it would be written where the link leads."""
    parent = name.rpartition("/")[0]
    while parent:
        if parent in links:
            raise invalid(f"path is below a link: {name}")
        parent = parent.rpartition("/")[0]


def _place(member: Member, content: Readable, path: Path) -> None:
    """Create one member; all can read it, and nobody can change it."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if member.kind == "directory":
        path.mkdir(mode=0o755, exist_ok=True)
    elif member.kind == "link":
        if member.target.startswith("/") or _leaves(member):
            raise invalid(f"link leaves the harness: {member.name}")
        path.symlink_to(member.target)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            while piece := content.read(CHUNK):
                file.write(piece)
            os.fchmod(file.fileno(), 0o555 if member.mode & 0o100 else 0o444)


def _leaves(member: Member) -> bool:
    whole = os.path.normpath(f"{os.path.dirname(member.name)}/{member.target}".lstrip("/"))  # noqa: PTH120
    return whole == ".." or whole.startswith("../")


def _path(path: Path) -> Response:
    return Response(orjson.dumps({"path": str(path)}), media_type="application/json")
