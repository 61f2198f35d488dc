"""Builds of images at the stand-ins: the commands run for real, in a box on the base's files.

The base of every registry is this machine. What the image of this package consists of is in the cache of every builder,
as it is where somebody has built it before: its steps install packages from the internet.
"""

from __future__ import annotations

import asyncio
import functools
import shutil
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

from session_widgets._sandboxes.clouds.recipes import Recipe
from tests.standins.machine import Box

_numbers = count(1)


class Failed(Exception):
    """A command failed; the text is the vendor's reason."""


@functools.cache
def cached() -> frozenset[str]:
    """The commands whose layers the account has."""
    return frozenset(Recipe(None, ()).commands)


async def build(
    place: Path, base: Path | None, commands: Iterable[str], shell: tuple[str, ...], log: Callable[[str], None]
) -> Path | None:
    """Return the files of an image; None: those of this machine alone.

    Args:
        place: directory for images.
        base: files that it begins with.
        commands: run as root, one after the other.
        shell: what runs a command.
        log: receives the output.
    """
    due = [command for command in commands if command not in cached()]
    if not due:
        return base
    id = f"build{next(_numbers)}"
    root = place / id
    box = await Box.start(id, root, copy_of=base)
    try:
        for number, command in enumerate(due, start=1):
            log(f"[builder {number}/{len(due)}] RUN {command}")
            done = await box.run([*shell, command])
            for line in (done.out + done.err).decode(errors="replace").splitlines():
                log(line)
            if done.code:
                raise Failed(f"failed to run command '{command}': exit status {done.code}")
    except BaseException:
        await box.kill()
        raise
    await box.kill(keep=True)
    return root


async def forget(tree: Path | None) -> None:
    """Remove the files of an image."""
    if tree is not None:
        await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
