"""A workspace whose sandbox is elsewhere: the kernel relays between its tree and the durable side."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from session_widgets.errors import NotDurable, SandboxError, WorkspaceError
from session_widgets.host.manifest import Manifest
from session_widgets.progress import Progress
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces.barrier import tell_strange, verify
from session_widgets.workspaces.contract import Scan, Workspace
from session_widgets.workspaces.direct import Direct
from session_widgets.workspaces.durable import DurableSide
from session_widgets.workspaces.file_tree import FileTree
from session_widgets.workspaces.sync_engine import SyncEngine

if TYPE_CHECKING:
    from session_widgets.workspaces.bucket_location import BucketLocation
    from session_widgets.workspaces.file_access import FileAccess

RECORD = "relayed.json"


class RelayedWorkspace:
    """See `contract.Workspace`. It lives as long as the sandbox's tree does; `base` is the same workspace without it.

    The last common state belongs to one tree (`Manifest.root`): a new sandbox is empty, and nothing counts as deleted.
    """

    copies = True
    mount_report = ""

    def __init__(
        self, base: Workspace, side: DurableSide, tree: FileTree, place: Path, direct: Direct | None = None
    ) -> None:
        self.base = base
        self._tree = tree
        self._engine = SyncEngine(side, place, RECORD, direct)
        self._root: tuple[int, int] | None = None
        self._swept = False

    @property
    def location(self) -> str:
        """That of the base."""
        return self.base.location

    @property
    def attachment(self) -> str:
        """That of the base."""
        return self.base.attachment

    @property
    def path(self) -> Path:
        """That of the base; the sandbox does not see it."""
        return self.base.path

    @property
    def managed(self) -> bool:
        """That of the base."""
        return self.base.managed

    @property
    def objects(self) -> BucketLocation | None:
        """That of the base."""
        return self.base.objects

    def files(self) -> FileAccess:
        """Return the files at the location."""
        return self.base.files()

    def attach(self, progress: Progress) -> bool:
        """Acquire the right to write, and bring the changes of the durable side into the tree."""
        engine = self._engine
        engine.progress = progress
        engine.side.reach(progress)
        with engine.alone(), _explained():
            manifest = self.scan()
            self._root = manifest.root
            engine.of(manifest.root)
            if not engine.side.acquire():
                engine.forget()  # a new bucket or directory: missing files were not deleted
            if engine.direct is not None:
                engine.direct.check(self._tree)
            if not self._swept:
                engine.side.tidy()
                self._swept = True
            engine.pull(self._tree, manifest.entries)
        return False

    def persist(self, scan: Scan, changed: Sequence[FileChange]) -> Manifest:
        """Bring the changes of the tree to the durable side, and verify that all of them arrived."""
        engine = self._engine
        with engine.alone():
            manifest = verify(self._look, self._push, engine.listing, engine.same, None, noun=engine.side.noun)
            engine.save_learned()
            tell_strange(manifest, engine.side.noun)
            return manifest

    def relayed(self, tree: FileTree, place: Path) -> Workspace:
        """Return the base with another tree."""
        return self.base.relayed(tree, place)

    def unblock(self, seconds: float) -> None:
        """Does nothing: there is no mounter."""

    def detach(self) -> None:
        """Give the right to write back."""
        self.base.detach()

    def remove(self) -> None:
        """Delete the files at the location."""
        self.base.remove()

    def take_over(self) -> None:
        """Acquire the right to write, whatever its holder."""
        self.base.take_over()

    def scan(self) -> Manifest:
        """List the tree."""
        return self._tree.manifest(self._engine.entries())

    def _look(self) -> Manifest:
        with _explained():
            manifest = self.scan()
        if self._root is None:
            self._root = manifest.root
            self._engine.of(manifest.root)
        if manifest.root != self._root:
            raise NotDurable(
                "the sandbox's directory was replaced while it ran. Send again: the next turn begins with the saved "
                "files.",
                reason="mount",
            )
        return manifest

    def _push(self, manifest: Manifest) -> None:
        with _explained():
            self._engine.push(self._tree, manifest, lambda: self.scan().entries)


def forget_tree(place: Path) -> None:
    """Drop the last common state before a sandbox is created: it has no files yet, and none of them was deleted.

    Args:
        place: directory of the session's records.
    """
    (place / RECORD).unlink(missing_ok=True)


def forget_records(place: Path) -> None:
    """Delete the records of a deleted session."""
    shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors of the sandbox's tree into those of a workspace."""
    try:
        yield
    except (SandboxError, OSError) as error:
        if isinstance(error, WorkspaceError):
            raise
        raise WorkspaceError(
            f"the files of the sandbox cannot be reached: {error}. They are still there; send again.",
            reason="unreachable",
        ) from error
