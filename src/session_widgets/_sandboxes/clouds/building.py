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
from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets._sandboxes.images import TAIL_LINES
from session_widgets.errors import SandboxError
from session_widgets.progress import Progress

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
    doing = f"Building the image of the sandbox at {title}"
    tail: deque[str] = deque(maxlen=TAIL_LINES)

    def log(text: str) -> None:
        for line in filter(None, map(str.strip, _COLOURS.sub("", text).splitlines())):
            tail.append(line)
            progress(f"{doing}: {line:.100}")

    async with _alone(locks / f"{name}.lock", progress):
        if found := await builder.find(name):
            return found
        progress(f"{doing}, which takes some minutes, once")
        try:
            return await builder.build(name, recipe, spec, log)
        except SandboxError as error:
            if type(error) is not SandboxError or not tail:
                raise
            said = "\n".join(tail)
            raise SandboxError(f"{error}\nThe output ended:\n{said}") from error


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
