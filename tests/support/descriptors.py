"""Open files of this process: those of a test, not those of threads that earlier tests have left to end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def opened_below(folder: Path) -> list[str]:
    """Return the paths of the files and directories that this process has open in a directory, and the directory."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it is closed now
            found.append(descriptor.readlink())
    return sorted(str(path) for path in found if path.is_relative_to(folder))
