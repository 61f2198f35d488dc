"""Gets a runner to run in a box: an archive is uploaded unless it is there, then the runner is started."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shlex
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from session_widgets._sandboxes.clouds import inside
from session_widgets._sandboxes.clouds.archive import Archive, Target, runner_archive, this_target
from session_widgets._sandboxes.clouds.contract import Box
from session_widgets._sandboxes.clouds.recipes import AS_ROOT, mark, note
from session_widgets._sandboxes.contract import RUNNER_LIMITS
from session_widgets._sandboxes.setup_commands import SETUP_SECONDS, TAIL, doing, failed, too_slow
from session_widgets.errors import ExecTimeout, SandboxError
from session_widgets.model import Machine
from session_widgets.progress import Progress

PORT = 2468
NO_PYTHON = 64
OTHER_PYTHON = 65
"""Exit codes of the script, and of one Python: it is too old."""
SECONDS = 120
"""For each step in the box."""
MACHINE = Machine(
    root=inside.WORKSPACE,
    python=f"{inside.VENV}/bin/python",
    node=None,
    path=inside.PATH,
    platform="linux-x64",
    harnesses="uploaded",
    harness_folder=inside.HARNESSES,
)
_PYTHONS = "python3 python3.14 python3.13 python3.12 python3.11 /usr/local/bin/python3 /opt/python/bin/python3"


_targets: dict[str, Target] = {}
"""What was seen in a box of an image: the next one of it is like that."""


class BoxSetup:
    """The way from a bare box to one whose runner listens on `PORT`.

    Args:
        title: of the vendor, for messages.
        image: of the box.
        box: the box.
        progress: receives what is being done.
    """

    def __init__(self, title: str, image: str, box: Box, progress: Progress) -> None:
        self._title = title
        self._image = f"{title}: {image}"
        self._box = box
        self._progress = progress

    async def start(self, token: str, commands: Sequence[str], *, new: bool, node: bool = False) -> str:
        """Run the user's commands once, as root, and start the runner, which is uploaded if it is not there.

        Each request takes a way to the vendor and back. So a new box gets the archive that probably fits before it is
        looked at, and the command that looks at it starts the runner, unless it needs another archive.

        Args:
            token: of the runner, which only receives its hash.
            commands: they may install what the image lacks.
            new: whether nothing was ever started in the box.
            node: whether Node.js must be there.

        Returns:
            The nonce by which this start of the runner is known.

        Raises:
            SandboxError: there is no Python 3.11 or no Node.js, or a command failed; the message has its output.
        """
        await self._set_up(commands)
        listens = {"host": "0.0.0.0", "port": PORT}  # noqa: S104 - of the box; behind the vendor's proxy
        limits = {"claims": True, "idle_seconds": 0, "limits": RUNNER_LIMITS}
        config = {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), **listens, **limits}
        target = _targets.get(self._image) or this_target()
        archive = await asyncio.to_thread(runner_archive, target) if target.is_known else None
        uploaded = await self._upload(archive) if new and archive else None
        self._progress(f"Starting the runner at {self._title}")
        found = await self._run(config, target, archive, uploaded, node=node)
        if not found.get("root", True):
            raise SandboxError(f"{self._title} runs commands without the rights of root: the runner needs them.")
        if node and not found.get("node", True):
            raise SandboxError(
                "the harness needs Node.js, which the sandbox does not have. Leave image= out, because the image of "
                "this package has it, choose another one with it, or install it: "
                "setup=['apt-get update && apt-get install -y nodejs']."
            )
        if not {"nonce", "failed"} & found.keys():
            version = (int(found["python"][0]), int(found["python"][1]))
            target = _targets[self._image] = Target(version, str(found["processor"]), str(found["libc"]))
            archive = await asyncio.to_thread(runner_archive, target)
            uploaded = await self._upload(archive) if found["installed"] != archive.name else None
            found = await self._run(config, target, archive, uploaded, node=node)
        if not isinstance(nonce := found.get("nonce"), str):
            raise SandboxError(f"the runner did not start in the sandbox. Its log ends:\n{found.get('failed')}")
        return nonce

    async def _upload(self, archive: Archive) -> str:
        """Put an archive into the box, where others may read it; what is unpacked is compared with its hash."""
        self._progress(f"Uploading the runner to {self._title}: {len(archive.data) / 1e6:.0f} MB")
        path = f"/tmp/.session-widgets-{uuid4().hex}"  # noqa: S108 - in the box
        await self._box.write(path, archive.data)
        return path

    async def _set_up(self, commands: Sequence[str]) -> None:
        if not commands:
            return
        done = await self._box.exec(f"cat {inside.SETUP_DONE} 2>/dev/null", timeout=SECONDS)
        if done.out.strip() == mark(commands):  # the image has them, or an earlier start ran them
            return
        for number, command in enumerate(commands, start=1):
            self._progress(doing(number, len(commands), command))
            script = f"{AS_ROOT} 2>/dev/null; {{ {command}\n}} 2>&1"
            try:
                done = await self._box.exec(script, timeout=SETUP_SECONDS)
            except ExecTimeout as error:
                raise too_slow(command) from error
            if done.code:
                raise failed(command, done.code, done.out)
        await self._box.exec(note(commands), timeout=SECONDS)

    async def _run(
        self, config: Mapping[str, Any], target: Target, archive: Archive | None, uploaded: str | None, *, node: bool
    ) -> dict[str, Any]:
        """Run `inside.py`, and return what it reports."""
        name, sha256 = (archive.name, archive.sha256) if archive else ("", "")
        wanted = f"{target.python[0]} {target.python[1]} {target.processor} {target.libc}"
        arguments = [name, wanted, "node" if node else "", uploaded or "", sha256, orjson.dumps(config).decode()]
        done = await self._box.exec(_script(arguments), timeout=SECONDS)
        last = done.out.strip().rpartition("\n")[2]
        try:
            told = orjson.loads(last)
        except orjson.JSONDecodeError:
            told = None
        if done.code == NO_PYTHON:
            raise SandboxError(
                "the image of the sandbox has no Python 3.11 or newer, which the runner needs. Choose another one: "
                "image='python:3.12' would do. Or install it: setup=['apt-get update && apt-get install -y python3']."
            )
        if done.code or not isinstance(told, dict):
            raise SandboxError(f"the sandbox could not be prepared:\n{done.out[-TAIL:]}")
        return told


def _script(arguments: Sequence[str]) -> str:
    """Return a script that runs the program with the first Python that is new enough. It is compressed: 4 KB."""
    program = base64.b64encode(zlib.compress(Path(inside.__file__).read_bytes(), 9)).decode()
    old = f"sys.version_info < (3, 11) and sys.exit({OTHER_PYTHON})"
    unpack = f'import sys; {old}; import binascii, zlib; exec(zlib.decompress(binascii.a2b_base64("{program}")))'
    return (
        f'for python in {_PYTHONS}; do command -v "$python" >/dev/null 2>&1 || continue; '
        f'"$python" -I -S -c {shlex.join([unpack, *arguments])}; code=$?; '
        f"case $code in {OTHER_PYTHON}|126|127) ;; *) exit $code ;; esac; done; exit {NO_PYTHON}"
    )
