"""The `fuse` attachments: the session's prefix, mounted on this machine. A closed file is in the bucket."""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from session_widgets.errors import BadValue, NotDurable, NotFound, WorkspaceError
from session_widgets.host.directory import Directory
from session_widgets.host.manifest import Entry, Manifest, scan
from session_widgets.printing import plural
from session_widgets.progress import Progress, silent
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces.barrier import tell_strange, verify
from session_widgets.workspaces.bucket_location import BucketLocation
from session_widgets.workspaces.contract import Scan, Workspace
from session_widgets.workspaces.credentials import ROLE
from session_widgets.workspaces.file_tree import FileTree
from session_widgets.workspaces.files import ObjectFiles
from session_widgets.workspaces.mounts import DRIVERS, Abilities, Mount, probe
from session_widgets.workspaces.mounts.drivers import Target
from session_widgets.workspaces.mounts.mountinfo import ANSWER_SECONDS
from session_widgets.workspaces.objects import Changed, ObjectInfo

FILER = "SESSION_WIDGETS_WEED_FILER"
"""Host and port of SeaweedFS's filer, for `weed mount` on any store but the embedded one."""
AGENT = 1000
"""User and group in containers, if the kernel runs as root."""
_FULL = {errno.ENOSPC, errno.EDQUOT}
_log = logging.getLogger(__name__)


class MountedWorkspace:
    """See `contract.Workspace`.

    Attributes:
        abilities: capabilities of the mount; None before the first mount.
        warning: a fact about the mounter's keys for the user; "" if they reach only this session's objects.
    """

    managed = True
    copies = True

    def __init__(self, objects: BucketLocation, driver: str) -> None:
        self.objects = objects
        self.attachment = f"fuse:{driver}"
        self.location = objects.location
        self.abilities: Abilities | None = None
        self.warning = ""
        self._driver = DRIVERS[driver]
        self._mount = Mount(objects.home, objects.session_id, self._driver)
        self._proven: Mapping[str, Entry] = {}
        self._contents: dict[str, str] = {}

    @property
    def mount_report(self) -> str:
        """The capabilities of the mount, and the warning."""
        found = "" if self.abilities is None else self.abilities.describe()
        return ". ".join(filter(None, (found, self.warning)))

    @property
    def path(self) -> Path:
        """The mount point."""
        return self._mount.point

    def files(self) -> ObjectFiles:
        """Return the files of the bucket."""
        return ObjectFiles(self.objects)

    def relayed(self, tree: FileTree, place: Path) -> Workspace:
        """Raise `BadValue`: a mount is on this host."""
        raise BadValue(
            f"attachment={self.attachment!r} mounts the bucket on this machine, and the sandbox is elsewhere. Open the "
            "session with attachment='sync'."
        )

    def attach(self, progress: Progress) -> bool:
        """Acquire the lease, and mount if nothing is mounted, the mount is dead, or its keys are about to expire."""
        self.objects.reach(progress)
        asked = time.monotonic()
        self.objects.acquire()
        patience = ANSWER_SECONDS + 3 * (time.monotonic() - asked)  # a mount is as slow as its store
        own = self._target()
        self.abilities = self._mount.abilities() if self._mount.is_current(own, patience) else None
        if self.abilities is not None:
            self._say_whose_keys()
            return False
        progress(f"mounting {self.location} with {self._driver.name}")
        self._make_marker()
        self._mount.mount(*self._narrower(own), own)
        self._say_whose_keys()
        self._proven = {}
        self.abilities = self._probe()
        self._mount.remember(self.abilities)
        return True

    def persist(self, scan: Scan, changed: Sequence[FileChange]) -> Manifest:
        """Sync the changes through the mount, and verify that the bucket has them."""
        self._check_alive()
        manifest = verify(
            lambda: self._comparable(scan()),
            lambda _: self._flush(changed),
            self.objects.listing,
            self._same,
            self.path,
        )
        self._proven = manifest.entries
        tell_strange(manifest)
        links = [entry.path for entry in manifest.entries.values() if entry.kind == "link"]
        if links and not self._driver.keeps_links:
            raise NotDurable(
                f"all files are saved except {plural(len(links), 'symbolic link')}, which {self._driver.name} does not "
                f"keep, the first {links[0]!r:.120}. Replace them by files, or choose another attachment.",
                reason="name",
            )
        return manifest

    def unblock(self, seconds: float) -> None:
        """Kill a hanging mounter."""
        if self._mount.end_if_it_hangs(seconds):
            _log.warning("%s: %s hung, and was killed. The next turn mounts again", self.location, self._driver.name)

    def detach(self) -> None:
        """Unmount, wait until the mounter has exited, and release the lease."""
        self.objects.reach(silent)
        self._mount.unmount()
        self.objects.lease.release()

    def remove(self) -> None:
        """Unmount, then delete the session's objects."""
        self.objects.reach(silent)
        try:
            self.objects.lease.acquire()
            self._mount.remove()
            self.objects.wipe()
            self.objects.connection.retire(self._prefix)
            self.objects.lease.remove()
        except WorkspaceError as error:
            if error.reason != "missing":  # a deleted bucket has no objects
                raise
            self._mount.remove()

    def take_over(self) -> None:
        """Acquire the lease, whatever its holder."""
        self.objects.reach(silent)
        self.objects.lease.acquire(forced=True)

    def scan(self) -> Manifest:
        """Scan the mount from this machine."""
        self._check_alive()
        return scan(self.path, self._proven)

    # Mounting

    @property
    def _prefix(self) -> str:
        return self.objects.prefix.prefix.rstrip("/")

    def _target(self) -> Target:
        """The target of the mount, with keys for the bucket."""
        connection = self.objects.connection
        embedded = connection.embedded
        owner = (AGENT, AGENT) if os.getuid() == 0 else (os.getuid(), os.getgid())
        return Target(
            endpoint=connection.endpoint,
            region=connection.region,
            bucket=self.objects.bucket,
            prefix=self._prefix,
            keys=connection.credentials() if self._driver.needs_keys else None,
            filer=embedded.filer if embedded else os.environ.get(FILER),
            owner=owner,
        )

    def _narrower(self, own: Target) -> list[Target]:
        if own.keys is None:
            return []
        keys = self.objects.connection.scoped(self._prefix)
        return [replace(own, keys=keys, confined=True)] if keys else []

    def _say_whose_keys(self) -> None:
        before = self.warning
        if self._mount.is_confined():
            self.warning = ""
        elif not self._driver.needs_keys:
            self.warning = "SeaweedFS's filer needs no keys: a program that reaches its port reaches every object"
        elif self.objects.connection.embedded is not None:
            self.warning = f"this {self._driver.name} cannot work with keys of one prefix; it uses those of the bucket"
        else:
            self.warning = f"{self._driver.name} uses your own keys, not some for this session alone; see {ROLE}"
        if self.warning not in {"", before}:
            _log.warning("%s: %s", self.location, self.warning)

    def _make_marker(self) -> None:
        """Create the prefix: mounters refuse an empty one."""
        try:
            self.objects.prefix.put("", b"", 0, metadata={"mode": str(stat.S_IFDIR | 0o700)}, if_match="")
        except Changed:
            return

    def _probe(self) -> Abilities:
        try:
            return probe(self.path)
        except OSError as error:
            raise WorkspaceError(
                f"{self.location} is mounted on {self.path}, but nothing can be written there: {error.strerror}. "
                f"The mounter's log ends:\n{self._mount.log()}",
                reason="mount",
            ) from error

    def _check_alive(self) -> None:
        health = self._mount.health()
        if health == "alive":
            return
        what = "is not mounted" if health == "absent" else "its mounter no longer answers"
        lost = f"{self.path} should show {self.location}, and {what}."
        then = "The next turn mounts it again; later writes are lost."
        try:
            self.objects.lease.read()
        except WorkspaceError as error:  # it applies to the mounter, too
            raise NotDurable(f"{lost} {error} {then}", reason=error.reason) from error
        if self._mount.have_keys_ended():
            raise NotDurable(f"{lost} Its keys ended in the meantime. {then}", reason="expired")
        raise NotDurable(f"{lost} {then}", reason="mount")

    # Proving

    def _comparable(self, manifest: Manifest) -> Manifest:
        """Drop empty directories that the bucket does not list."""
        if self._driver.lists_directories:
            return manifest
        kept = {path: entry for path, entry in manifest.entries.items() if entry.kind != "directory"}
        return replace(manifest, entries=kept)

    def _flush(self, changed: Sequence[FileChange]) -> None:
        folders = {change.path.rpartition("/")[0] for change in changed}
        written = [change.path for change in changed if change.change != "deleted"]
        try:
            with Directory(self.path) as directory:
                for path in (*written, *folders):
                    directory.fsync(path)
        except OSError as error:
            raise NotDurable(
                f"{self._driver.name} could not store the written data: {error.strerror}. Its log ends:\n"
                f"{self._mount.log()}",
                reason="disk" if error.errno in _FULL else "mount",
            ) from error

    def _same(self, entry: Entry, info: ObjectInfo) -> bool:
        """Compare content: by an ETag that is an MD5, else by reading the object once."""
        if entry.kind == "link" and not self._driver.lists_links:
            return True
        if info.size != entry.size:
            return False
        return info.etag == entry.md5 or self._content(info) == entry.md5

    def _content(self, info: ObjectInfo) -> str:
        known = f"{info.etag} {info.path}"
        if info.etag and known in self._contents:
            return self._contents[known]
        try:
            etag, digest = self.objects.prefix.digest(info.path)
        except NotFound:
            return ""
        self._contents[f"{etag} {info.path}"] = digest
        return digest
