"""A directory of this machine, as durable as its disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from session_widgets.errors import BadValue, NotDurable
from session_widgets.host.directory import Directory
from session_widgets.host.manifest import Manifest, scan
from session_widgets.progress import Progress
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces.contract import Scan, Workspace
from session_widgets.workspaces.directory_files import DirectoryFiles
from session_widgets.workspaces.directory_side import DirectorySide
from session_widgets.workspaces.file_tree import FileTree
from session_widgets.workspaces.relayed import RelayedWorkspace


@dataclass(frozen=True, slots=True)
class LocalWorkspace:
    """See `contract.Workspace`; `managed` directories are created and deleted with their session."""

    path: Path
    managed: bool
    attachment = "directory"
    objects = None
    copies = False
    mount_report = ""

    @classmethod
    def place(cls, home: Path, session_id: str, given: str | Path | None) -> LocalWorkspace:
        """Choose the directory of a session: the user's own, which must exist, or one below `home`."""
        if given is None:
            return cls(home / "workspaces" / session_id, managed=True)
        path = Path(given).expanduser()
        if not path.is_dir():
            raise BadValue(f"workspace must be an existing directory; got {str(given)!r:.200}. Create it first.")
        return cls(path.resolve(), managed=False)

    @property
    def location(self) -> str:
        """The directory itself."""
        return str(self.path)

    def files(self) -> DirectoryFiles:
        """Return the files of the directory."""
        return DirectoryFiles(self.path, managed=self.managed)

    def relayed(self, tree: FileTree, place: Path) -> Workspace:
        """Copy the directory to a sandbox elsewhere, and its changes back."""
        side = DirectorySide(self.path, place / "directory.json", managed=self.managed)
        return RelayedWorkspace(self, side, tree, place)

    def attach(self, progress: Progress) -> bool:
        """Create a missing managed directory, readable only by its owner."""
        if self.path.is_dir() or not self.managed:
            return False
        self.path.mkdir(parents=True, mode=0o700)
        return True

    def persist(self, scan: Scan, changed: Sequence[FileChange]) -> Manifest | None:
        """Sync changed files and their directories to disk."""
        folders = {change.path.rpartition("/")[0] for change in changed}
        try:
            with Directory(self.path) as directory:
                for change in changed:
                    if change.change != "deleted":
                        directory.fsync(change.path)
                for folder in folders:
                    directory.fsync(folder)
        except OSError as error:
            raise NotDurable(f"{self.path} cannot be forced to disk: {error.strerror}.", reason="disk") from error
        return None

    def unblock(self, seconds: float) -> None:
        """Does nothing: there is no mounter."""

    def detach(self) -> None:
        """Does nothing: there is no lease."""

    def remove(self) -> None:
        """Delete a managed directory; the user's own stays."""
        if self.managed and self.path.exists():
            shutil.rmtree(self.path)

    def take_over(self) -> None:
        """Does nothing: there is no lease."""

    def scan(self) -> Manifest:
        """Scan the directory from this machine."""
        return scan(self.path)
