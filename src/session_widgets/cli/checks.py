"""One line of `doctor`, and the versions of programs."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One checked part.

    Attributes:
        ok: whether it exists and works.
        remedy: for a problem; empty without one.
        optional: whether everything else works without it.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""
    optional: bool = False


def program(name: str, commands: tuple[str, ...], remedy: str, *, optional: bool = False) -> Check:
    """Look for the first of some programs on PATH."""
    path = next(filter(None, map(shutil.which, commands)), None)
    if path is None:
        return Check(name, False, "not found", remedy, optional)
    return Check(name, True, f"{output([path, '--version']) or 'does not say its version'} ({path})")


def output(command: list[str]) -> str | None:
    """Return the first line of a program's output, or None if it fails or takes longer than 5 s."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split("\n")
    return lines[0].strip() if done.returncode == 0 and lines[0].strip() else None
