"""The `sync` attachment: a directory of this machine, kept in step with a bucket. Works wherever a bucket does.

Three things are compared: the directory, the bucket, and what both were last known to have in common (`known.py`). So
an edit is told from a deletion, and a change on both sides is a conflict, in which both versions are kept.
"""

from __future__ import annotations

import shutil
import stat
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from threading import Thread
from typing import IO, TypeVar

from session_widgets.daemon import locked
from session_widgets.errors import NotFound, WorkspaceConflict, WorkspaceError
from session_widgets.manifest import Entry, EntryKind, Manifest, md5, scan, stamp
from session_widgets.model import FileChange
from session_widgets.workspaces import known
from session_widgets.workspaces.barrier import prove, tell_strange
from session_widgets.workspaces.bucket import Changed, ObjectInfo, Torn, parents
from session_widgets.workspaces.contract import Look, Progress
from session_widgets.workspaces.directory import Directory, Occupied
from session_widgets.workspaces.known import Known, signature
from session_widgets.workspaces.local_s3 import silent
from session_widgets.workspaces.objects import Objects

T = TypeVar("T")
R = TypeVar("R")

PARALLEL = 16
MAX_LINK = 4096
_GREATEST = 1 << 33
"""Of a mode, and of a time in seconds."""
TELL_FROM = 50
"""Fewer files than this are moved without a word."""


class SyncWorkspace:
    """See `contract.Workspace`."""

    attachment = "sync"
    managed = True
    remark = ""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.location = objects.location
        self.path = objects.home / "workspaces" / objects.session_id
        self._place = objects.home / "sync" / objects.session_id
        self._record = self._place / "known.json"
        self._known: dict[str, Known] | None = None
        self._read: tuple[int, int] | None = None
        self._swept = False
        self._progress: Progress = lambda _: None

    def attach(self, progress: Progress) -> bool:
        """Take the lease and bring the directory up to date."""
        self._progress = progress
        self.objects.reach(progress)
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            if not self.objects.acquire():
                self._forget()  # the bucket is a new one: what it lacks was not deleted
            anew = self._make()
            if not self._swept:
                with suppress(WorkspaceError):  # keys that may not look for them do for all the rest
                    self.objects.prefix.abort_uploads()
                self._swept = True
            try:
                self._pull(progress)
            except OSError as error:
                raise WorkspaceError(
                    f"{self.path} cannot be brought up to date: {error.strerror}.", reason="disk"
                ) from error
        return anew

    def persist(self, look: Look, changed: Sequence[FileChange]) -> None:
        """Send what is new, and prove that all of it arrived."""
        with self._alone():
            tell_strange(prove(look, self._push, self.objects.listing, self._same, self.path))

    def detach(self) -> None:
        """Give the lease back; the directory stays, for the next time."""
        self.objects.reach(silent)
        self.objects.lease.release()

    def remove(self) -> None:
        """Remove the session's objects and the directory; a bucket that is no more holds none."""
        self.objects.reach(silent)
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            try:
                self.objects.lease.acquire()
                self.objects.prefix.delete_folder("")
                self.objects.lease.remove()
            except WorkspaceError as error:
                if error.reason != "missing":
                    raise
            if self.path.exists():
                shutil.rmtree(self.path)
            shutil.rmtree(self._place)
            self._known = None

    def take_over(self) -> None:
        """Become the one writer, whoever was it."""
        self.objects.reach(silent)
        self.objects.lease.acquire(forced=True)

    def scan(self) -> Manifest:
        """Look at the directory from this machine."""
        return scan(self.path, {path: one.entry for path, one in self._common().items()})

    def _make(self) -> bool:
        """Make the directory if it is not there; what it held is then not taken for deleted, but fetched again."""
        if self.path.is_dir():
            return False
        self.path.mkdir(parents=True, mode=0o700)
        self._forget()
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one kernel at a time compare and carry: two that end the same turn would meet each other's half."""
        with locked(self._place):
            if self._known is not None and self._read != known.version(self._record):
                self._known = None  # another kernel wrote since
            yield

    def _forget(self) -> None:
        self._record.unlink(missing_ok=True)
        self._known = None

    # From the bucket

    def _pull(self, progress: Progress) -> None:
        common, listing, local = self._common(), self.objects.prefix.listing(), self.scan().entries
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
                with suppress(Occupied):  # a folder that holds caches stays, and counts as new
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
        mark = f".remote-{info.etag[:8]}"
        places = [f"{place}{mark}{info.path[len(place) :]}" for place in [info.path, *parents(info.path)]]
        beside = next((place for place in places if self._fetch(directory, info, place) is None), None)
        if beside is None:
            raise WorkspaceError(f"{places[0]!r} is in the way of the bucket's version. Rename it.", reason="conflict")
        self._common()[info.path] = Known(Entry(info.path, info.kind, info.size, 0, 0, info.etag), info.etag)
        return f"{info.path!r} (the bucket's version is {beside!r} now)"

    # To the bucket

    def _push(self, manifest: Manifest) -> None:
        common = self._common()
        changed = [e for e in manifest.entries.values() if signature(e) != signature(_entry(common.get(e.path)))]
        removed = [path for path in common if path not in manifest.entries]
        if not changed and not removed:
            return
        self.objects.lease.check()
        in_the_way = _in_the_way(removed, [entry.path for entry in changed])
        met = _in_parallel(self._drop, in_the_way)
        with Directory(self.path) as directory:
            met += _counted(
                lambda entry: self._send(directory, entry), changed, self._progress, "Saving", self.location
            )
        met += _in_parallel(self._drop, [path for path in removed if path not in in_the_way])
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
            etag = self._put(directory, key, entry, before.etag if before else "")
        except (Torn, Occupied, OSError):
            return False  # it changed under our hands: the next look sees it
        except Changed:
            if before is not None or self.objects.prefix.head(key) is not None:
                return True
            etag = self._put(directory, key, entry, None)  # SeaweedFS takes a folder that was here for an object
        self._common()[entry.path] = Known(entry, etag)
        return False

    def _put(self, directory: Directory, key: str, entry: Entry, if_match: str | None) -> str:
        with _body(directory, entry) as body:
            return self.objects.prefix.put(
                key, body, entry.size, metadata=_metadata(entry), md5=entry.md5, if_match=if_match
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
        return before is not None and before.etag == info.etag and signature(before.entry) == signature(entry)

    def _common(self) -> dict[str, Known]:
        if self._known is None:
            self._known, self._read = known.load(self._record), known.version(self._record)
        return self._known

    def _save(self) -> None:
        known.save(self._record, self._common())
        self._read = known.version(self._record)


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
    """Do `work` to every item. One that is refused does not keep the others; what concerns all of them stops them.

    The threads are none that the interpreter waits for when it ends: what is not done then is done the next time.
    """
    waiting, results, errors = deque(items), list[R](), list[Exception]()

    def take() -> None:
        while (item := _next(waiting)) is not None:
            try:
                results.append(work(item))
            except Exception as error:
                errors.append(error)
                if not isinstance(error, WorkspaceError) or error.reason != "refused":
                    waiting.clear()

    threads = [Thread(target=take, daemon=True) for _ in range(min(PARALLEL, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def _next(waiting: deque[T]) -> T | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _in_the_way(removed: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return what has to go before the new can come: files that became folders, and folders that became files.

    Everything else goes last, so that what was renamed is at no moment in neither place.
    """
    come = set(new)
    above = {parent for path in new for parent in parents(path)}
    return [path for path in removed if path in above or not come.isdisjoint(parents(path))]


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
    """Read what anybody may have written into the bucket."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number <= _GREATEST else None


def _entry(one: Known | None) -> Entry | None:
    return None if one is None else one.entry


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
