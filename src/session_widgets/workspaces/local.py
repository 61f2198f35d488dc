"""A directory of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from session_widgets.errors import BadValue
from session_widgets.model import FileChange


@dataclass(frozen=True, slots=True)
class LocalWorkspace:
    """A directory of this machine; `managed` ones are made and removed with their session."""

    path: Path
    managed: bool

    @classmethod
    def place(cls, home: Path, session_id: str, given: str | Path | None) -> LocalWorkspace:
        """Choose the directory of a session: the user's own, which must exist, or one below `home`."""
        if given is None:
            return cls(home / "workspaces" / session_id, managed=True)
        path = Path(given).expanduser()
        if not path.is_dir():
            raise BadValue(f"workspace must be an existing directory; got {str(given)!r:.200}. Make it first.")
        return cls(path.resolve(), managed=False)

    def make(self) -> None:
        """Make a managed directory, readable by its owner alone."""
        if self.managed:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def persist(self, changes: Iterable[FileChange]) -> None:
        """Force changed files and their directories to disk; raises OSError if the disk refuses."""
        folders = set()
        for change in changes:
            target = self.path / change.path
            folders.add(target.parent)
            if change.change != "deleted" and target.is_file() and not target.is_symlink():
                _fsync(target)
        for folder in folders:
            if folder.is_dir():
                _fsync(folder)

    def remove(self) -> None:
        """Remove a managed directory; one that the user gave stays."""
        if self.managed and self.path.exists():
            shutil.rmtree(self.path)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
