"""Gets a runner to run in a box: an archive is uploaded unless it is there, then the runner is started."""

from __future__ import annotations

import asyncio
import base64
import io
import secrets
import shlex
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from session_widgets._sandboxes.clouds import inside
from session_widgets._sandboxes.clouds.archive import Target, runner_archive
from session_widgets._sandboxes.clouds.contract import Box
from session_widgets._sandboxes.clouds.recipes import AS_ROOT, mark, note
from session_widgets._sandboxes.contract import RUNNER_LIMITS
from session_widgets._sandboxes.setup_commands import SETUP_SECONDS, TAIL, doing, failed, too_slow
from session_widgets.errors import ExecTimeout, SandboxError
from session_widgets.model import Machine
from session_widgets.progress import Progress

PORT = 2468
NO_PYTHON = 64
"""Exit code of the script."""
SECONDS = 120
"""For each step in the box."""
MACHINE = Machine(
    root=str(inside.WORKSPACE),
    python=f"{inside.VENV}/bin/python",
    node=None,
    path=inside.PATH,
    platform="linux-x64",
    harnesses="uploaded",
    harness_folder=str(inside.HARNESSES),
)
_PYTHONS = "python3 python3.14 python3.13 python3.12 python3.11 /usr/local/bin/python3 /opt/python/bin/python3"


class BoxSetup:
    """The way from a bare box to one whose runner listens on `PORT`.

    Args:
        title: of the vendor, for messages.
        box: the box.
        progress: receives what is being done.
    """

    def __init__(self, title: str, box: Box, progress: Progress) -> None:
        self._title = title
        self._box = box
        self._progress = progress

    async def start(self, known: Mapping[str, str], commands: Sequence[str], *, node: bool = False) -> None:
        """Run the user's commands once, as root, and start the runner, which is uploaded if it is not there.

        Args:
            known: token and nonce of the runner.
            commands: they may install what the image lacks.
            node: whether Node.js must be there.

        Raises:
            SandboxError: there is no Python 3.11 or no Node.js, or a command failed; the message has its output.
        """
        await self._set_up(commands)
        found = await self._run("probe")
        if not found["root"]:
            raise SandboxError(f"{self._title} runs commands without the rights of root: the runner needs them.")
        if node and not found["node"]:
            raise SandboxError(
                "the harness needs Node.js, which the sandbox does not have. Leave image= out, because the image of "
                "this package has it, choose another one with it, or install it: "
                "setup=['apt-get update && apt-get install -y nodejs']."
            )
        version = (int(found["python"][0]), int(found["python"][1]))
        target = Target(version, found["processor"], found["libc"])
        archive = await asyncio.to_thread(runner_archive, target)
        listens = {"host": "0.0.0.0", "port": PORT}  # noqa: S104 - of the box; behind the vendor's proxy
        config = {**known, **listens, "claims": True, "idle_seconds": 0, "limits": RUNNER_LIMITS}
        files = {inside.CONFIG.name: orjson.dumps(config)}
        if found["installed"] != archive.name:
            files[inside.ARCHIVE.name] = archive.data
            self._progress(f"Uploading the runner to {self._title}: {len(archive.data) / 1e6:.0f} MB")
        await self._box.write(str(inside.UPLOADED), _bundle(files))
        self._progress(f"Starting the runner at {self._title}")
        told = await self._run("start", archive.name)
        if why := told.get("failed"):
            raise SandboxError(f"the runner did not start in the sandbox. Its log ends:\n{why}")

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

    async def _run(self, *arguments: str) -> dict[str, Any]:
        """Run `inside.py`, and return what it reports."""
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
            raise SandboxError(f"the sandbox could not be prepared ({arguments[0]}):\n{done.out[-TAIL:]}")
        return told


def _script(arguments: Sequence[str]) -> str:
    """Return a script that finds a Python and runs the program with it. The program is compressed: 4 KB."""
    program = base64.b64encode(zlib.compress(Path(inside.__file__).read_bytes(), 9)).decode()
    unpack = f'import base64, sys, zlib; exec(zlib.decompress(base64.b64decode("{program}")))'
    words = shlex.join([unpack, *arguments])
    return (
        f"for python in {_PYTHONS}; do "
        'if "$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then '
        f'exec "$python" -I -c {words}; fi; done; exit {NO_PYTHON}'
    )


def _bundle(files: Mapping[str, bytes]) -> bytes:
    """Return files as one, because each request takes a way to the vendor and back."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))
    return target.getvalue()


def new_secrets() -> dict[str, str]:
    """Return a token and a nonce for one start of a runner."""
    return {"token": secrets.token_urlsafe(32), "nonce": secrets.token_hex(16)}
