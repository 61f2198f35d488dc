"""The `sync` attachment: a directory of this machine, synchronised with a bucket. Works with every bucket.

It compares three sides: the directory, the bucket, and their last common state (`sync_base.py`). So
it distinguishes an edit from a deletion, and keeps both versions if both sides changed a file.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from session_widgets.errors import NotFound, WorkspaceConflict, WorkspaceError
from session_widgets.host.daemon import locked
from session_widgets.host.directory import Directory, Replaceable
from session_widgets.host.manifest import Entry, Manifest, Occupied, scan
from session_widgets.printing import plural
from session_widgets.progress import Progress, silent
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces import sync_base
from session_widgets.workspaces.barrier import tell_strange, verify
from session_widgets.workspaces.bucket import Changed, Listing, ObjectInfo, Torn, parents
from session_widgets.workspaces.bucket_location import BucketLocation
from session_widgets.workspaces.contract import Scan
from session_widgets.workspaces.files import ObjectFiles
from session_widgets.workspaces.parallel import counted, in_parallel
from session_widgets.workspaces.sync_base import SyncBase, signature
from session_widgets.workspaces.transfer import NoLink, body_of, metadata_of, receive


class SyncWorkspace:
    """See `contract.Workspace`."""

    attachment = "sync"
    managed = True
    copies = True
    remark = ""

    def __init__(self, objects: BucketLocation) -> None:
        self.objects = objects
        self.location = objects.location
        self.path = objects.home / "workspaces" / objects.session_id
        self._place = objects.home / "sync" / objects.session_id
        self._record = self._place / "known.json"
        self._known: dict[str, SyncBase] | None = None
        self._read: tuple[int, int] | None = None
        self._strange: dict[str, str] = {}
        self._swept = False
        self._learned = False
        self._progress: Progress = lambda _: None

    def files(self) -> ObjectFiles:
        """Return the files of the bucket."""
        return ObjectFiles(self.objects)

    def attach(self, progress: Progress) -> bool:
        """Acquire the lease and update the directory."""
        self._progress = progress
        self.objects.reach(progress)
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            if not self.objects.acquire():
                self._forget()  # a new bucket: missing objects were not deleted
            created = self._make()
            if not self._swept:
                with suppress(WorkspaceError):  # keys without the right to list uploads are otherwise sufficient
                    self.objects.prefix.abort_uploads()
                self._swept = True
            try:
                self._pull(progress)
            except OSError as error:
                raise WorkspaceError(
                    f"{self.path} cannot be brought up to date: {error.strerror}.", reason="disk"
                ) from error
        return created

    def persist(self, scan: Scan, changed: Sequence[FileChange]) -> Manifest:
        """Upload the changes, and verify that all of them arrived."""
        with self._alone():
            listing = lambda: self._usable(self.objects.listing())  # noqa: E731
            manifest = verify(scan, self._push, listing, self._same, self.path)
            if self._learned:
                self._save()
            tell_strange(manifest)
            return manifest

    def unblock(self, seconds: float) -> None:
        """Does nothing: there is no mounter."""

    def detach(self) -> None:
        """Release the lease; the directory stays, for the next time."""
        self.objects.reach(silent)
        self.objects.lease.release()

    def remove(self) -> None:
        """Delete the session's objects and the directory; a deleted bucket has none."""
        self.objects.reach(silent)
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            try:
                self.objects.lease.acquire()
                self.objects.wipe()
                self.objects.lease.remove()
            except WorkspaceError as error:
                if error.reason != "missing":
                    raise
            if self.path.exists():
                shutil.rmtree(self.path)
            shutil.rmtree(self._place)
            self._known = None

    def take_over(self) -> None:
        """Acquire the lease, whatever its holder."""
        self.objects.reach(silent)
        self.objects.lease.acquire(forced=True)

    def scan(self) -> Manifest:
        """Scan the directory from this machine."""
        return scan(self.path, {path: one.entry for path, one in self._common().items()})

    def _make(self) -> bool:
        """Create a missing directory; its files then do not count as deleted, but are fetched again."""
        if self.path.is_dir():
            return False
        self.path.mkdir(parents=True, mode=0o700)
        self._forget()
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one kernel at a time compare and transfer: two that end the same turn would see partial results."""
        with locked(self._place):
            if self._known is not None and self._read != sync_base.version(self._record):
                self._known = None  # another kernel wrote since
            yield

    def _forget(self) -> None:
        self._record.unlink(missing_ok=True)
        self._known = None

    # From the bucket

    def _pull(self, progress: Progress) -> None:
        listing = self._usable(self.objects.prefix.listing())
        common, local = self._common(), self.scan().entries
        fetched: list[ObjectInfo] = []
        gone: list[str] = []
        both: list[ObjectInfo] = []
        for path in listing.objects.keys() | common.keys():
            there, here, before = listing.objects.get(path), local.get(path), common.get(path)
            ours = signature(here) != signature(_entry(before))
            if there and before and (before.is_still(there) or (ours and before.etag == there.etag)):
                continue
            if not ours or (there and here is None):
                (gone.append(path) if there is None else fetched.append(there))
            elif there is None:
                del common[path]  # deleted there, changed here: the local file is new
            elif here is not None and self._is_here(there, here):
                common[path] = SyncBase(here, there.etag, there.modified.timestamp())
            else:
                both.append(there)
        with Directory(self.path) as directory:
            for path in sorted(gone, reverse=True):
                with suppress(Occupied):  # a file written just now, and a folder with caches, stay and are new
                    directory.remove(path, _as_seen(local.get(path)))
                del common[path]
            in_the_way = counted(
                lambda info: self._fetch(directory, info, info.path, _as_seen(local.get(info.path))),
                fetched,
                progress,
                "Restoring",
                self.location,
            )
            met = [self._keep_both(directory, info) for info in [*both, *filter(None, in_the_way)]]
        kept = [*filter(None, met)]
        self._save()
        if kept:
            raise WorkspaceConflict(
                f"{plural(len(kept), 'file')} changed both here and in {self.location}: {_some(kept)}. Both versions "
                "are in the workspace now; look at them, then send again."
            )

    def _usable(self, listing: Listing) -> Listing:
        """Return a listing without links that no directory can contain, by their ETag when they were fetched."""
        strange = [path for path, info in listing.objects.items() if self._strange.get(path) == info.etag]
        objects = {path: info for path, info in listing.objects.items() if path not in strange}
        return Listing(objects, (*listing.strange, *strange))

    def _is_here(self, there: ObjectInfo, here: Entry) -> bool:
        """Whether both are equal, without a known common state; the ETag of an upload in parts is not an MD5."""
        if there.etag == here.md5:
            return True
        if here.kind != "file" or there.kind != "file" or there.size != here.size:
            return False
        with suppress(NotFound):  # deleted since the listing
            return self.objects.prefix.digest(there.path) == (there.etag, here.md5)
        return False

    def _fetch(
        self, directory: Directory, info: ObjectInfo, path: str, replaceable: Replaceable | None = None
    ) -> ObjectInfo | None:
        """Put an object at its path, or at another; return it if an entry is in the way, or None."""
        try:
            if info.kind == "directory":
                directory.make(path)
                if path == info.path:  # at another path it is new, and has no object yet
                    self._common()[path] = SyncBase(Entry(path, "directory", 0, 0o755, 0, ""), info.etag)
                return None
            with self.objects.prefix.reading(info.path, info.size) as (body, now, metadata):
                entry = receive(directory, path, body, metadata, replaceable)
        except Occupied:
            return info
        except NotFound:
            return None  # deleted since the listing
        except NoLink:
            self._strange[info.path] = now.etag
            self._common().pop(info.path, None)
            return None
        if path == info.path:
            modified = info.modified.timestamp() if now.etag == info.etag else 0
            self._common()[path] = SyncBase(entry, now.etag, modified)
        return None

    def _keep_both(self, directory: Directory, info: ObjectInfo) -> str:
        """Save the bucket's version beside ours, so that ours replaces it the next time; return the message."""
        mark = f".remote-{info.etag[:8]}"
        places = [f"{place}{mark}{info.path[len(place) :]}" for place in [info.path, *parents(info.path)]]
        beside = next((place for place in places if self._fetch(directory, info, place) is None), None)
        if info.path in self._strange:
            return ""  # ours replaces it, without a loss
        if beside is None:
            raise WorkspaceError(f"{places[0]!r} is in the way of the bucket's version. Rename it.", reason="conflict")
        self._common()[info.path] = SyncBase(Entry(info.path, info.kind, info.size, 0, 0, info.etag), info.etag)
        return f"{info.path!r} (the bucket's version is {beside!r} now)"

    # To the bucket

    def _push(self, manifest: Manifest) -> None:
        common = self._common()
        changed = [e for e in manifest.entries.values() if signature(e) != signature(_entry(common.get(e.path)))]
        removed = [path for path in common if path not in manifest.entries and path not in manifest.large]
        if not changed and not removed:
            return
        self.objects.lease.check()
        in_the_way = _in_the_way(removed, [entry.path for entry in changed])
        met = in_parallel(self._drop, in_the_way)
        with Directory(self.path) as directory:
            met += counted(lambda entry: self._send(directory, entry), changed, self._progress, "Saving", self.location)
        met += in_parallel(self._drop, [path for path in removed if path not in in_the_way])
        self._save()
        if any(met):
            self._pull(lambda _: None)  # accepts equal files, keeps both versions of others, and reports them

    def _send(self, directory: Directory, entry: Entry) -> bool:
        """Store one entry; True if the bucket has another version than the known one."""
        before = self._common().get(entry.path)
        key = f"{entry.path}/" if entry.kind == "directory" else entry.path
        if before is not None and (before.entry.kind == "directory") != (entry.kind == "directory"):
            if self._drop(entry.path):
                return True
            before = None
        expected: str | None = before.etag if before else self._strange.get(entry.path, "")
        if entry.kind == "directory":
            expected = None  # SeaweedFS has it already: it creates the folders of a file
        try:
            etag = self._put(directory, key, entry, expected)
        except (Torn, Occupied, OSError):
            return False  # it changed meanwhile: the next manifest shows it
        except Changed:
            if before is not None or self.objects.prefix.head(key) is not None:
                return True
            etag = self._put(directory, key, entry, None)  # SeaweedFS treats an earlier folder as an object
        self._common()[entry.path] = SyncBase(entry, etag)
        return False

    def _put(self, directory: Directory, key: str, entry: Entry, if_match: str | None) -> str:
        with body_of(directory, entry) as body:
            return self.objects.prefix.put(
                key, body, entry.size, metadata=metadata_of(entry), md5=entry.md5, if_match=if_match
            )

    def _drop(self, path: str) -> bool:
        before = self._common()[path]
        try:
            self.objects.prefix.delete(f"{path}/" if before.entry.kind == "directory" else path, if_match=before.etag)
        except Changed:
            return True
        del self._common()[path]
        return False

    def _same(self, entry: Entry, info: ObjectInfo) -> bool:
        before = self._common().get(entry.path)
        if before is None or before.etag != info.etag or signature(before.entry) != signature(entry):
            return False
        if not before.modified:
            self._common()[entry.path] = replace(before, modified=info.modified.timestamp())
            self._learned = True
        return True

    def _common(self) -> dict[str, SyncBase]:
        if self._known is None:
            self._known, self._read = sync_base.load(self._record), sync_base.version(self._record)
        return self._known

    def _save(self) -> None:
        sync_base.save(self._record, self._common())
        self._learned = False
        self._read = sync_base.version(self._record)


def _in_the_way(removed: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return the entries to delete before the uploads: files that became folders, and folders that became files.

    All others are deleted last, so that a renamed file always exists in one place.
    """
    come = set(new)
    above = {parent for path in new for parent in parents(path)}
    return [path for path in removed if path in above or not come.isdisjoint(parents(path))]


def _as_seen(here: Entry | None) -> Replaceable:
    """Remove the listed entries, not those that a program has written since."""

    def replaceable(info: os.stat_result | None) -> bool:
        if info is None or here is None:
            return info is None
        return stat.S_ISDIR(info.st_mode) or (info.st_size, info.st_mtime_ns) == (here.size, here.mtime_ns)

    return replaceable


def _entry(one: SyncBase | None) -> Entry | None:
    return None if one is None else one.entry


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
