"""The `sync` attachment: a directory of this machine, synchronised with a bucket. Works with every bucket."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from session_widgets.errors import WorkspaceError
from session_widgets.host.host_tree import HostTree
from session_widgets.host.manifest import Entry, Manifest, scan
from session_widgets.progress import Progress, silent
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces.barrier import tell_strange, verify
from session_widgets.workspaces.bucket_location import BucketLocation
from session_widgets.workspaces.bucket_side import BucketSide
from session_widgets.workspaces.contract import Scan, Workspace
from session_widgets.workspaces.direct import Direct
from session_widgets.workspaces.file_tree import FileTree
from session_widgets.workspaces.files import ObjectFiles
from session_widgets.workspaces.relayed import RelayedWorkspace
from session_widgets.workspaces.signing import Signer
from session_widgets.workspaces.sync_engine import SyncEngine


class SyncWorkspace:
    """See `contract.Workspace`.

    Args:
        objects: the bucket.
        direct: whether a sandbox elsewhere transfers contents by itself ("direct"); otherwise this kernel relays them.
    """

    managed = True
    copies = True
    mount_report = ""

    def __init__(self, objects: BucketLocation, *, direct: bool = False) -> None:
        self.attachment = "direct" if direct else "sync"
        self.objects = objects
        self.location = objects.location
        self.path = objects.home / "workspaces" / objects.session_id
        self._place = objects.home / "sync" / objects.session_id
        self._engine = SyncEngine(BucketSide(objects), self._place, "known.json")
        self._swept = False

    def files(self) -> ObjectFiles:
        """Return the files of the bucket."""
        return ObjectFiles(self.objects)

    def relayed(self, tree: FileTree, place: Path) -> Workspace:
        """Copy the bucket to a sandbox elsewhere, and its changes back; the directory of this machine is not used."""
        direct = Direct(Signer(self.objects)) if self.attachment == "direct" else None
        return RelayedWorkspace(self, BucketSide(self.objects), tree, place, direct)

    def attach(self, progress: Progress) -> bool:
        """Acquire the lease and update the directory."""
        engine = self._engine
        engine.progress = progress
        engine.side.reach(progress)
        with engine.alone():
            if not engine.side.acquire():
                engine.forget()  # a new bucket: missing objects were not deleted
            created = self._make()
            if not self._swept:
                engine.side.tidy()
                self._swept = True
            try:
                with closing(HostTree(self.path)) as tree:
                    engine.pull(tree, tree.manifest(engine.entries()).entries)
            except OSError as error:
                raise WorkspaceError(
                    f"{self.path} cannot be brought up to date: {error.strerror}.", reason="disk"
                ) from error
        return created

    def persist(self, scan: Scan, changed: Sequence[FileChange]) -> Manifest:
        """Upload the changes, and verify that all of them arrived."""
        engine = self._engine
        with engine.alone():
            manifest = verify(scan, self._push, engine.listing, engine.same, self.path)
            engine.save_learned()
            tell_strange(manifest)
            return manifest

    def unblock(self, seconds: float) -> None:
        """Does nothing: there is no mounter."""

    def detach(self) -> None:
        """Release the lease; the directory stays, for the next time."""
        self._engine.side.reach(silent)
        self._engine.side.release()

    def remove(self) -> None:
        """Delete the session's objects and the directory; a deleted bucket has none."""
        self._engine.side.reach(silent)
        with self._engine.alone():
            try:
                self.objects.lease.acquire()
                self.objects.wipe()
                self.objects.lease.remove()
            except WorkspaceError as error:
                if error.reason != "missing":
                    raise
            if self.path.exists():
                shutil.rmtree(self.path)
            self._engine.forget()
            shutil.rmtree(self._place)

    def take_over(self) -> None:
        """Acquire the lease, whatever its holder."""
        self._engine.side.reach(silent)
        self._engine.side.take_over()

    def scan(self) -> Manifest:
        """Scan the directory from this machine."""
        return scan(self.path, self._engine.entries())

    def _push(self, manifest: Manifest) -> None:
        with closing(HostTree(self.path)) as tree:
            self._engine.push(tree, manifest, lambda: self._now(tree))

    def _now(self, tree: HostTree) -> Mapping[str, Entry]:
        return tree.manifest(self._engine.entries()).entries

    def _make(self) -> bool:
        """Create a missing directory; its files then do not count as deleted, but are fetched again."""
        if self.path.is_dir():
            return False
        self.path.mkdir(parents=True, mode=0o700)
        self._engine.forget()
        return True
