"""The `sync` attachment: a directory of this machine, kept in step with a bucket. Works wherever a bucket does.

Three things are compared: the directory, the bucket, and what both were last known to have in common (`known.py`). So
an edit is told from a deletion, and a change on both sides is a conflict, in which both versions are kept.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import IO, TypeVar

from session_widgets.errors import NotDurable, NotFound, WorkspaceConflict, WorkspaceError
from session_widgets.manifest import Entry, EntryKind, Manifest, md5, scan, stamp
from session_widgets.model import FileChange
from session_widgets.workspaces import known
from session_widgets.workspaces.barrier import prove
from session_widgets.workspaces.bucket import Changed, ObjectInfo, Torn
from session_widgets.workspaces.contract import Look, Progress
from session_widgets.workspaces.directory import Directory, Occupied
from session_widgets.workspaces.known import Known, signature
from session_widgets.workspaces.objects import Objects

T = TypeVar("T")
R = TypeVar("R")

PARALLEL = 16
MAX_LINK = 4096
TELL_FROM = 50
"""Fewer files than this are moved without a word."""


class SyncWorkspace:
    """See `contract.Workspace`."""

    attachment = "sync"
    managed = True

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.location = objects.location
        self.path = objects.home / "workspaces" / objects.session_id
        self._record = objects.home / "workspaces" / f"{objects.session_id}.known.json"
        self._known: dict[str, Known] | None = None
        self._leased = False
        self._progress: Progress = lambda _: None

    def attach(self, progress: Progress) -> bool:
        """Take the lease and bring the directory up to date."""
        self._progress = progress
        self.objects.reach(progress)
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._leased:
            self.objects.lease.check()
        else:
            self.objects.lease.acquire()
            self.objects.prefix.abort_uploads()
            self._leased = True
        try:
            self._pull(progress)
        except OSError as error:
            raise WorkspaceError(
                f"{self.path} cannot be brought up to date: {error.strerror}.", reason="disk"
            ) from error
        return False

    def persist(self, look: Look, changed: Sequence[FileChange]) -> None:
        """Send what is new, and prove that all of it arrived."""
        manifest = prove(look, self._push, self.objects.prefix.listing, self._same)
        self.objects.lease.check()
        if manifest.strange:
            raise NotDurable(
                f"everything is saved but {len(manifest.strange)} entries that no bucket can keep (a backslash in the "
                f"name, not UTF-8, or neither file nor link), the first {manifest.strange[0]!r:.120}. Rename them.",
                reason="name",
            )

    def detach(self) -> None:
        """Give the lease back; the directory stays, for the next time."""
        self.objects.lease.release()
        self._leased = False

    def remove(self) -> None:
        """Remove the session's objects and the directory."""
        self.objects.lease.acquire()
        self.objects.prefix.delete_folder("")
        if self.path.exists():
            shutil.rmtree(self.path)
        self._record.unlink(missing_ok=True)
        self._known = None
        self.detach()

    def take_over(self) -> None:
        """Become the one writer, whoever was it."""
        self.objects.lease.take_over()
        self._leased = True

    def scan(self) -> Manifest:
        """Look at the directory from this machine."""
        return scan(self.path, {path: one.entry for path, one in self._common().items()})

    # From the bucket

    def _pull(self, progress: Progress) -> None:
        listing, local, common = self.objects.prefix.listing(), self.scan().entries, self._common()
        fetched: list[ObjectInfo] = []
        gone: list[str] = []
        both: list[ObjectInfo] = []
        for path in listing.objects.keys() | common.keys():
            there, here, before = listing.objects.get(path), local.get(path), common.get(path)
            if (there and there.etag) == (before and before.etag):
                continue
            if signature(here) == signature(_entry(before)) or (there and here is None):
                (gone.append(path) if there is None else fetched.append(there))
            elif there is None:
                del common[path]  # removed there, changed here: what is here is new
            elif here is not None and there.etag == here.md5:
                common[path] = Known(here, there.etag)
            else:
                both.append(there)
        with Directory(self.path) as directory:
            for path in sorted(gone, reverse=True):
                directory.remove(path)
                del common[path]
            in_the_way = _counted(
                lambda info: self._fetch(directory, info), fetched, progress, "Restoring", self.location
            )
            kept = [self._keep_both(directory, info) for info in [*both, *filter(None, in_the_way)]]
        self._save()
        if kept:
            raise WorkspaceConflict(
                f"{len(kept)} files were changed both here and in {self.location}: {_some(kept)}. Both versions are in "
                "the workspace now; look at them, then send again."
            )

    def _fetch(self, directory: Directory, info: ObjectInfo, name: str | None = None) -> ObjectInfo | None:
        """Put an object in its place; return it if something is in the way, or None."""
        path = name or info.path
        try:
            if info.kind == "directory":
                directory.make(path)
                entry = Entry(path, "directory", 0, 0o755, 0, "")
                self._common()[path] = Known(entry, info.etag)
                return None
            with self.objects.prefix.reading(info.path) as (body, now, metadata):
                md5 = _place(directory, path, body, metadata)
        except Occupied:
            return info
        except NotFound:
            return None  # deleted since it was listed
        if name is None:
            self._common()[path] = Known(_entry_of(directory, path, md5), now.etag)
        return None

    def _keep_both(self, directory: Directory, info: ObjectInfo) -> str:
        """Put the bucket's version beside ours, and let ours replace it there the next time."""
        beside = f"{info.path}.remote-{info.etag[:8]}"
        if self._fetch(directory, info, beside) is not None:
            raise WorkspaceError(f"{beside!r} is in the way of the bucket's version. Rename it.", reason="conflict")
        self._common()[info.path] = Known(Entry(info.path, "file", info.size, 0, 0, info.etag), info.etag)
        return f"{info.path!r} (the bucket's version is {beside!r} now)"

    # To the bucket

    def _push(self, manifest: Manifest) -> None:
        common = self._common()
        changed = [e for e in manifest.entries.values() if signature(e) != signature(_entry(common.get(e.path)))]
        removed = [path for path in common if path not in manifest.entries]
        if not changed and not removed:
            return
        with Directory(self.path) as directory:
            met = _counted(lambda entry: self._send(directory, entry), changed, self._progress, "Saving", self.location)
        met += _in_parallel(self._drop, removed)
        self._save()
        if any(met):
            self._pull(lambda _: None)  # adopts what is the same, keeps both of what is not, and says so

    def _send(self, directory: Directory, entry: Entry) -> bool:
        """Store one entry; True if the bucket has another one than we knew of."""
        before = self._common().get(entry.path)
        key = f"{entry.path}/" if entry.kind == "directory" else entry.path
        if before is not None and (before.entry.kind == "directory") != (entry.kind == "directory"):
            if self._drop(entry.path):
                return True
            before = None
        try:
            with _body(directory, entry) as body:
                etag = self.objects.prefix.put(
                    key,
                    body,
                    entry.size,
                    metadata=_metadata(entry),
                    md5=entry.md5,
                    if_match=before.etag if before else "",
                )
        except (Torn, FileNotFoundError, Occupied, OSError):
            return False  # it changed under our hands: the next look sees it
        except Changed:
            return True
        self._common()[entry.path] = Known(entry, etag)
        return False

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
        return before is not None and before.etag == info.etag and signature(before.entry) == signature(entry)

    def _common(self) -> dict[str, Known]:
        if self._known is None:
            self._known = known.load(self._record)
        return self._known

    def _save(self) -> None:
        known.save(self._record, self._common())


def _counted(work: Callable[[T], R], items: Sequence[T], progress: Progress, verb: str, where: str) -> list[R]:
    """Do `work` to every item, several at a time, and tell how far it is if there are many."""
    done = 0
    step = max(1, len(items) // 50)

    def counted(item: T) -> R:
        nonlocal done
        result = work(item)
        done += 1
        if len(items) >= TELL_FROM and done % step == 0:
            progress(f"{verb} {done:,} of {len(items):,} files ({where})")
        return result

    return _in_parallel(counted, items)


def _in_parallel(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do `work` to every item. One that is refused does not keep the others; what concerns all of them stops them."""
    if not items:
        return []
    with ThreadPoolExecutor(min(PARALLEL, len(items))) as pool:
        futures = [pool.submit(work, item) for item in items]
        first: WorkspaceError | None = None
        results: list[R] = []
        for future in futures:
            try:
                results.append(future.result())
            except CancelledError:
                continue
            except WorkspaceError as error:
                first = first or error
                if error.reason != "refused":
                    pool.shutdown(wait=False, cancel_futures=True)
    if first is not None:
        raise first
    return results


def _place(directory: Directory, path: str, body: IO[bytes], metadata: Mapping[str, str]) -> str:
    """Write what came from the bucket, as a file or as the link that it stands for; return its MD5."""
    mode, mtime = _number(metadata.get("mode")), _number(metadata.get("mtime"))
    if mode is not None and stat.S_ISLNK(int(mode)):
        target = body.read(MAX_LINK)
        directory.link(path, target)
        return md5(target).hexdigest()
    hashed = _Hashing(body)
    directory.write(path, hashed, stat.S_IMODE(int(mode)) if mode else 0o644, mtime)
    return hashed.digest.hexdigest()


def _entry_of(directory: Directory, path: str, md5: str) -> Entry:
    info = directory.stat(path)
    kind: EntryKind = "link" if stat.S_ISLNK(info.st_mode) else "file"
    return Entry(
        path, kind, info.st_size, info.st_mode & 0o7777, info.st_mtime_ns, md5, stamp(info) if kind == "file" else ""
    )


def _metadata(entry: Entry) -> dict[str, str]:
    """Return mode and time as s3fs keeps them, so that both attachments read each other's files."""
    kind = {"file": stat.S_IFREG, "link": stat.S_IFLNK, "directory": stat.S_IFDIR}[entry.kind]
    return {"mode": str(kind | entry.mode), "mtime": str(entry.mtime_ns // 1_000_000_000)}


@contextmanager
def _body(directory: Directory, entry: Entry) -> Iterator[IO[bytes]]:
    if entry.kind == "file":
        with directory.open(entry.path) as file:
            yield file
    else:
        yield BytesIO(directory.read_link(entry.path) if entry.kind == "link" else b"")


class _Hashing:
    """A stream that hashes what is read from it."""

    def __init__(self, body: IO[bytes]) -> None:
        self._body = body
        self.digest = md5()

    def read(self, size: int) -> bytes:
        piece = self._body.read(size)
        self.digest.update(piece)
        return piece


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _entry(one: Known | None) -> Entry | None:
    return None if one is None else one.entry


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
