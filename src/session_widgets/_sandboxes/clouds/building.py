"""An image at a vendor: found by its name, or built once, while others who need it wait."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from session_widgets._sandboxes.clouds.contract import BoxSpec, Builder
from session_widgets._sandboxes.clouds.recipes import FAILED, Recipe
from session_widgets._sandboxes.images import TAIL_LINES
from session_widgets._sandboxes.setup_commands import doing, failed
from session_widgets.errors import SandboxError
from session_widgets.progress import Progress

_STEP = re.compile(r"(?:RUN|step \d+ of \d+:) (?:: )?([^;]+)")
_OWN = re.compile(r"setup, (\d+) of \d+$")
_FAILED = re.compile(rf"{FAILED} (\d+) with code (\d+)$")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


async def built(
    builder: Builder, title: str, recipe: Recipe, spec: BoxSpec, locks: Path, progress: Progress
) -> str | None:
    """Return what `BoxSpec.built` takes; None if the vendor cannot build this.

    Args:
        builder: the vendor's.
        title: of the vendor, for messages.
        recipe: what the image contains.
        spec: of the box that it is for.
        locks: folder for the locks of this installation's kernels; two installations may build at the same time.
        progress: receives the output.

    Raises:
        SandboxError: a command failed; the message ends with the last output.
    """
    if (name := builder.name(recipe, spec)) is None:
        return None
    if found := await builder.find(name):
        return found
    output = _Output(f"Building the image of the sandbox at {title}", recipe, progress)
    async with _alone(locks / f"{name}.lock", progress):
        if found := await builder.find(name):
            return found
        output.begin()
        try:
            return await builder.build(name, recipe, spec, output)
        except SandboxError as error:
            raise (output.failure(error) if type(error) is SandboxError else error) from error


class _Output:
    """What a builder says: people see the step, or its latest line; a failure has the lines of the last step."""

    def __init__(self, doing: str, recipe: Recipe, progress: Progress) -> None:
        self._doing = doing
        self._setup = recipe.setup
        self._progress = progress
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._failed: tuple[str, int] | None = None

    def begin(self) -> None:
        self._progress(f"{self._doing}, which takes some minutes, once")

    def __call__(self, text: str) -> None:
        for line in filter(None, map(str.strip, _COLOURS.sub("", text).splitlines())):
            if step := _STEP.search(line):
                self._tail.clear()
                self._progress(self._step(step[1]))
            elif ended := _FAILED.search(line):
                self._failed = self._setup[int(ended[1]) - 1], int(ended[2])
            elif self._failed is None:
                self._tail.append(line)
                self._progress(f"{self._doing}: {line:.100}")

    def failure(self, error: SandboxError) -> SandboxError:
        """Return the error of a failed build."""
        said = "\n".join(self._tail)
        if self._failed:
            return failed(*self._failed, said)
        return SandboxError(f"{error}\nThe output ended:\n{said}") if said else error

    def _step(self, title: str) -> str:
        if own := _OWN.match(title):
            number = int(own[1])
            return doing(number, len(self._setup), self._setup[number - 1])
        return f"{self._doing}: {title}"


@asynccontextmanager
async def _alone(lock: Path, progress: Progress) -> AsyncIterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    told = False
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    progress("Waiting for another session that builds the image of the sandbox")
                told = True
                await asyncio.sleep(0.2)  # a wait in a thread could not be cancelled
        yield
    finally:
        os.close(handle)
