"""One line of `doctor`, and how programs are asked for theirs."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        ok: whether it is there and works.
        remedy: what to do; empty when all is well.
        optional: whether all else works without it.
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
    """Return the first line that a program prints, or None if it fails or takes longer than 5 s."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split("\n")
    return lines[0].strip() if done.returncode == 0 and lines[0].strip() else None
