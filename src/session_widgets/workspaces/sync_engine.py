"""Synchronises a tree, in which a sandbox works, with the durable side.

It compares three sides: the tree, the durable side, and their last common state (`sync_base.py`). So it distinguishes
an edit from a deletion, and keeps both versions if both sides changed a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from session_widgets.errors import NotFound, WorkspaceConflict, WorkspaceError
from session_widgets.host.daemon import locked
from session_widgets.host.manifest import Entry, Manifest, Occupied, Readable
from session_widgets.printing import plural
from session_widgets.progress import Progress, silent
from session_widgets.workspaces import sync_base
from session_widgets.workspaces.direct import Direct
from session_widgets.workspaces.durable import DurableSide, NoLink
from session_widgets.workspaces.file_tree import BulkTree, FileTree
from session_widgets.workspaces.objects import Changed, Listing, ObjectInfo, Torn, parents
from session_widgets.workspaces.parallel import TELL_FROM, counted, in_parallel
from session_widgets.workspaces.small import LARGEST
from session_widgets.workspaces.sync_base import Root, SyncBase, signature

T = TypeVar("T")

STREAMS = 4
"""Streams into a tree at a time."""
BATCH_FILES = 1_000
BATCH_BYTES = 8 << 20
"""Small files, and bytes of them, that are read ahead for each: one request has so many."""
LEAST_FILES = 250
"""A request has at least so many, if there are enough for all streams."""


class SyncEngine:
    """One tree and one durable side, compared and transferred by one kernel at a time.

    Args:
        side: the durable side.
        place: directory of its records.
        record: the file of the last common state, in `place`.
        direct: the way of contents that do not pass this kernel; None: all do.
    """

    def __init__(self, side: DurableSide, place: Path, record: str, direct: Direct | None = None) -> None:
        self.side = side
        self.direct = direct
        self.progress: Progress = silent
        self._place = place
        self._record = place / record
        self._root: Root = None
        self._known: dict[str, SyncBase] | None = None
        self._read: tuple[int, int] | None = None
        self._strange: dict[str, str] = {}
        self._learned = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one kernel at a time compare and transfer: two that end the same turn would see partial results."""
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self._place):
            if self._known is not None and self._read != sync_base.version(self._record):
                self._known = None  # another kernel wrote since
            yield

    def of(self, root: Root) -> None:
        """Use the last common state of this tree; another tree has none."""
        if root != self._root:
            self._root, self._known = root, None

    def forget(self) -> None:
        """Drop the last common state: what one side lacks was not deleted there."""
        self._record.unlink(missing_ok=True)
        self._known = None

    def entries(self) -> dict[str, Entry]:
        """Return the entries of the last common state."""
        return {path: one.entry for path, one in self._common().items()}

    # From the durable side

    def pull(self, tree: FileTree, local: Mapping[str, Entry]) -> None:
        """Bring the changes of the durable side into the tree.

        Args:
            tree: the tree.
            local: its entries.

        Raises:
            WorkspaceConflict: both sides changed a file; both versions are in the tree now.
        """
        listing = self.usable(self.side.listing())
        common = self._common()
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
        for path in sorted(gone, reverse=True):
            with suppress(Occupied):  # a file written just now, and a folder with caches, stay and are new
                tree.delete(path, local.get(path))
            del common[path]
        in_the_way = self._fetch_all(tree, fetched, local)
        met = [self._keep_both(tree, info, local) for info in [*both, *in_the_way]]
        kept = [*filter(None, met)]
        self.save()
        if kept:
            raise WorkspaceConflict(
                f"{plural(len(kept), 'file')} changed both here and in {self.side.location}: {_some(kept)}. Both "
                "versions are in the workspace now; look at them, then send again."
            )

    def usable(self, listing: Listing) -> Listing:
        """Return a listing without links that no directory can contain, by their ETag when they were fetched."""
        strange = [path for path, info in listing.objects.items() if self._strange.get(path) == info.etag]
        objects = {path: info for path, info in listing.objects.items() if path not in strange}
        return Listing(objects, (*listing.strange, *strange))

    def listing(self) -> Listing:
        """List the durable side; valid only if no other installation wrote there meanwhile."""
        found = self.usable(self.side.listing())
        self.side.check()
        return found

    def _is_here(self, there: ObjectInfo, here: Entry) -> bool:
        """Whether both are equal, without a known common state; the ETag of an upload in parts is not an MD5."""
        if there.etag == here.md5 or there.kind == here.kind == "directory":
            return True
        if here.kind != "file" or there.kind != "file" or there.size != here.size:
            return False
        with suppress(NotFound):  # deleted since the listing
            return self.side.digest(there.path) == (there.etag, here.md5)
        return False

    def _fetch_all(self, tree: FileTree, infos: Sequence[ObjectInfo], local: Mapping[str, Entry]) -> list[ObjectInfo]:
        """Put objects at their paths; return those that have an entry in their way."""
        small: list[ObjectInfo] = []
        met_directly: list[ObjectInfo] = []
        if self.direct is not None:
            infos, met_directly = self.direct.fetch(
                tree, infos, local, lambda info, entry: self._note_fetched(info, info, entry)
            )
        rest = infos
        if isinstance(tree, BulkTree):
            small = [info for info in infos if info.kind == "file" and info.size <= LARGEST]
            rest = [info for info in infos if info.kind != "file" or info.size > LARGEST]
        met = counted(
            lambda info: self._fetch(tree, info, info.path, local.get(info.path)),
            rest,
            len(rest),
            self.progress,
            "Restoring",
            self.side.location,
        )
        in_the_way = [*met_directly, *filter(None, met)]
        if isinstance(tree, BulkTree) and small:
            in_the_way += self._fetch_many(tree, small, local)
        return in_the_way

    def _fetch_many(self, tree: BulkTree, infos: Sequence[ObjectInfo], local: Mapping[str, Entry]) -> list[ObjectInfo]:
        """Do `_fetch` for small objects, in a few streams side by side: both ends wait for their disks."""
        done = 0

        def read(info: ObjectInfo) -> tuple[ObjectInfo, ObjectInfo, Entry, bytes] | None:
            try:
                with self.side.reading(info) as (entry, body, now):
                    return info, now, entry, _whole(body)
            except (NotFound, NoLink) as error:
                self._note_missing(info, error)
                return None

        def move(batch: Sequence[ObjectInfo]) -> list[ObjectInfo]:
            nonlocal done
            found = [*filter(None, in_parallel(read, batch) if self.side.distant else map(read, batch))]
            items = ((replace(e, size=len(c)), BytesIO(c), local.get(info.path)) for info, _, e, c in found)
            in_the_way = []
            for (info, now, _, _), result in zip(found, tree.write_many(items), strict=True):
                if isinstance(result, Occupied):
                    in_the_way.append(info)
                else:
                    self._note_fetched(info, now, result)
            done += len(batch)
            if len(infos) >= TELL_FROM:
                self.progress(f"Restoring {done:,} of {len(infos):,} files ({self.side.location})")
            return in_the_way

        return [info for met in in_parallel(move, _batches(infos), STREAMS) for info in met]

    def _fetch(self, tree: FileTree, info: ObjectInfo, path: str, seen: Entry | None) -> ObjectInfo | None:
        """Put an object at its path, or at another; return it if an entry is in the way, or None."""
        try:
            if info.kind == "directory":
                tree.mkdir(path)
                if path == info.path:  # at another path it is new, and has no object yet
                    self._common()[path] = SyncBase(Entry(path, "directory", 0, 0o755, 0, ""), info.etag)
                return None
            with self.side.reading(info) as (entry, body, now):
                result = tree.write(replace(entry, path=path), body, seen)
        except Occupied:
            return info
        except (NotFound, NoLink) as error:
            self._note_missing(info, error)
            return None
        if path == info.path:
            self._note_fetched(info, now, result)
        return None

    def _note_fetched(self, info: ObjectInfo, now: ObjectInfo, entry: Entry) -> None:
        etag = now.etag or entry.md5
        self._common()[info.path] = SyncBase(entry, etag, info.modified.timestamp() if etag == info.etag else 0)

    def _note_missing(self, info: ObjectInfo, error: NotFound | NoLink) -> None:
        """Take note of an object that was deleted since the listing, or that no directory can contain."""
        if isinstance(error, NoLink):
            self._strange[info.path] = error.etag
            self._common().pop(info.path, None)

    def _keep_both(self, tree: FileTree, info: ObjectInfo, local: Mapping[str, Entry]) -> str:
        """Save the durable version beside ours, so that ours replaces it the next time; return the message."""
        mark = f".remote-{info.etag[:8]}"
        places = [f"{place}{mark}{info.path[len(place) :]}" for place in [info.path, *parents(info.path)]]
        beside = next((p for p in places if self._fetch(tree, info, p, local.get(p)) is None), None)
        if info.path in self._strange:
            return ""  # ours replaces it, without a loss
        if beside is None:
            raise WorkspaceError(
                f"{places[0]!r} is in the way of {self.side.noun}'s version. Rename it.", reason="conflict"
            )
        self._common()[info.path] = SyncBase(Entry(info.path, info.kind, info.size, 0, 0, info.etag), info.etag)
        return f"{info.path!r} ({self.side.noun}'s version is {beside!r} now)"

    # To the durable side

    def push(self, tree: FileTree, manifest: Manifest, again: Callable[[], Mapping[str, Entry]]) -> None:
        """Bring the changes of the tree to the durable side.

        Args:
            tree: the tree.
            manifest: its entries.
            again: lists them once more, if the durable side has changed, too.
        """
        common = self._common()
        changed = [e for e in manifest.entries.values() if signature(e) != signature(_entry(common.get(e.path)))]
        removed = [path for path in common if path not in manifest.entries and path not in manifest.large]
        if not changed and not removed:
            return
        self.side.check()
        in_the_way = _in_the_way(removed, [entry.path for entry in changed])
        met = in_parallel(self._drop, in_the_way)
        met += self._send_all(tree, [entry for entry in changed if entry.kind != "directory"])
        met += in_parallel(self._drop, [path for path in removed if path not in in_the_way])
        # last: a directory loses the folders that a deletion empties
        met += in_parallel(lambda entry: self._send(entry, BytesIO()), [e for e in changed if e.kind == "directory"])
        self.save()
        if any(met):
            self.pull(tree, again())  # accepts equal files, keeps both versions of others, and reports them

    def _send_all(self, tree: FileTree, entries: Sequence[Entry]) -> list[bool]:
        small: list[Entry] = []
        if self.direct is not None:
            entries = self.direct.send(tree, entries, self._replaced, self._note_sent)
        rest = entries
        if isinstance(tree, BulkTree):
            small = [entry for entry in entries if entry.size <= LARGEST]
            rest = [entry for entry in entries if entry.size > LARGEST]
        met = self._send_in_parallel(lambda entry: self._read_and_send(tree, entry), rest, len(rest))
        if isinstance(tree, BulkTree) and small:
            stream = ((entry, _whole(body)) for entry, body in tree.read_many(small))
            met += self._send_in_parallel(lambda item: self._send(item[0], BytesIO(item[1])), stream, len(small))
        return met

    def _send_in_parallel(self, work: Callable[[T], bool], items: Iterable[T], count: int) -> list[bool]:
        return counted(work, items, count, self.progress, "Saving", self.side.location)

    def _read_and_send(self, tree: FileTree, entry: Entry) -> bool:
        try:
            with tree.read(entry) as body:
                return self._send(entry, body)
        except (Occupied, OSError):
            return False  # it changed meanwhile: the next manifest shows it

    def _send(self, entry: Entry, body: Readable) -> bool:
        """Store one entry; True if the durable side has another version than the known one."""
        before = self._common().get(entry.path)
        if before is not None and (before.entry.kind == "directory") != (entry.kind == "directory"):
            if self._drop(entry.path):
                return True
            before = None
        try:
            etag = self.side.put(entry, body, before.etag if before else self._strange.get(entry.path, ""))
        except Torn:
            return False  # it changed meanwhile: the next manifest shows it
        except Changed:
            self._strange.pop(entry.path, None)
            return True
        self._note_sent(entry, etag)
        return False

    def _note_sent(self, entry: Entry, etag: str) -> None:
        self._common()[entry.path] = SyncBase(entry, etag)

    def _replaced(self, entry: Entry) -> str | None:
        """Return the ETag of the object that an entry replaces, "" if there is none; None for that of a directory."""
        before = self._common().get(entry.path)
        if before is not None and before.entry.kind == "directory":
            return None
        return before.etag if before else self._strange.get(entry.path, "")

    def _drop(self, path: str) -> bool:
        before = self._common()[path]
        try:
            self.side.delete(before.entry, before.etag)
        except Changed:
            return True
        del self._common()[path]
        return False

    def same(self, entry: Entry, info: ObjectInfo) -> bool:
        """Whether an object is what was stored for an entry."""
        before = self._common().get(entry.path)
        if before is None or before.etag != info.etag or signature(before.entry) != signature(entry):
            return False
        if not before.modified:
            self._common()[entry.path] = replace(before, modified=info.modified.timestamp())
            self._learned = True
        return True

    def _common(self) -> dict[str, SyncBase]:
        if self._known is None:
            self._known, self._read = sync_base.load(self._record, self._root), sync_base.version(self._record)
        return self._known

    def save(self) -> None:
        """Store the last common state."""
        sync_base.save(self._record, self._common(), self._root)
        self._learned = False
        self._read = sync_base.version(self._record)

    def save_learned(self) -> None:
        """Store it if a comparison has completed it."""
        if self._learned:
            self.save()


def _in_the_way(removed: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return the entries to delete before the uploads: files that became folders, and folders that became files.

    All others are deleted last, so that a renamed file always exists in one place.
    """
    come = set(new)
    above = {parent for path in new for parent in parents(path)}
    return [path for path in removed if path in above or not come.isdisjoint(parents(path))]


def _batches(infos: Sequence[ObjectInfo]) -> Iterator[list[ObjectInfo]]:
    most = min(BATCH_FILES, max(LEAST_FILES, -(-len(infos) // STREAMS)))
    batch, size = list[ObjectInfo](), 0
    for info in infos:
        batch.append(info)
        size += info.size
        if size >= BATCH_BYTES or len(batch) >= most:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _whole(body: Readable) -> bytes:
    return b"".join(iter(lambda: body.read(LARGEST), b""))


def _entry(one: SyncBase | None) -> Entry | None:
    return None if one is None else one.entry


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
