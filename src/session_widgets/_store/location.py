"""Location of the store."""

from __future__ import annotations

import os
from pathlib import Path

from session_widgets.host.data_directory import data_directory

FILE_NAME = "transcripts.duckdb"


def locate(path: str | Path | None) -> Path:
    """Return the real path of a store, and create its missing directory (0700)."""
    found = Path(path).expanduser() if path is not None else data_directory() / FILE_NAME
    found = Path(os.path.realpath(found))
    found.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def home_of(path: Path) -> Path:
    """Return the directory beside a store for its sessions' files, so that two stores never share it."""
    return path.parent if path.name == FILE_NAME else path.with_name(f"{path.stem}-sessions")
