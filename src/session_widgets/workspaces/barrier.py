"""The durability barrier: compares the sandbox's manifest with this machine's listing of the bucket.

No file system call is trusted alone: a mount may acknowledge data that it has not stored, and a sandbox may see an
unexpected directory. One implementation serves all attachments.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from session_widgets.errors import NotDurable, WorkspaceError
from session_widgets.host.manifest import MAX_ENTRIES, MAX_FILE_BYTES, Entry, Manifest
from session_widgets.host.tree import MAX_DEPTH
from session_widgets.printing import one_line, plural
from session_widgets.workspaces.contract import Scan
from session_widgets.workspaces.objects import Listing, ObjectInfo

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
BUSY_LOOKS = 5
"""After this many scans, about a second, the barrier no longer waits for files that keep changing."""
SHOWN = 5

Same = Callable[[Entry, ObjectInfo], bool]


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that differs between the two sides."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path!r:.120} ({self.what})"


def verify(
    scan: Scan,
    flush: Callable[[Manifest], None],
    listing: Callable[[], Listing],
    same: Same,
    root: Path | None,
    patience: float = PATIENCE_SECONDS,
    noun: str = "the bucket",
) -> Manifest:
    """Flush and compare until both sides are equal; return the verified manifest.

    Args:
        scan: the sandbox's side.
        flush: uploads the files of a manifest; a `WorkspaceError` of it is final.
        listing: the bucket's side, listed by this machine.
        same: whether an object equals an entry, given that both are files.
        root: the directory on which the sandbox must work; None if it is not on this host.
        patience: seconds after which a difference is final.
        noun: the other side, for people.

    Raises:
        NotDurable: both sides differ; `reason` says why.
    """
    deadline = time.monotonic() + patience
    attempt = 0
    manifest: Manifest | None = None
    while True:
        before = manifest
        try:
            manifest = scan()
            if root is not None:
                _check_root(manifest, root)
            _check_whole(manifest)
            flush(manifest)
            found = differences(manifest, listing(), same, noun)
        except NotDurable:
            raise
        except WorkspaceError as error:
            raise NotDurable(str(error), reason=error.reason) from error
        if not found:
            return manifest
        if attempt >= BUSY_LOOKS and (busy := _still_changing(found, before, manifest)):
            raise NotDurable(
                f"all files are saved except those that keep changing: {some(busy)}. Stop the program "
                "that writes there, or let it write elsewhere, and send again.",
                reason="changing",
            )
        if time.monotonic() > deadline:
            raise NotDurable(
                f"after {patience:g} s {noun.removeprefix('the ')} and sandbox still differ: {some(found)}. The files "
                f"are still in the workspace; send again when {noun} has caught up, or park() to try again.",
                reason="mismatch",
            )
        time.sleep(PAUSE_SECONDS[min(attempt, len(PAUSE_SECONDS) - 1)])
        attempt += 1


def _still_changing(found: list[Difference], before: Manifest | None, now: Manifest) -> list[Difference]:
    """Return the differences if each is a file that changed between two scans: waiting will not help."""
    earlier = before.entries if before else {}
    rests = [one for one in found if earlier.get(one.path) == now.entries.get(one.path)]
    return [] if rests else found


def tell_strange(manifest: Manifest, noun: str = "the bucket") -> None:
    """Raise if a file could not be saved to `noun` because of its name, kind or size; all others were saved."""
    if manifest.strange:
        raise NotDurable(
            f"all files are saved except {plural(len(manifest.strange), 'entry')} that cannot be saved to {noun} "
            "(a backslash in the name, not UTF-8, or neither file nor link), the first "
            f"'{one_line(manifest.strange[0], 120)}'. Rename or remove them.",
            reason="name",
        )
    if manifest.large:
        raise NotDurable(
            f"all files are saved except {plural(len(manifest.large), 'file')} larger than {MAX_FILE_BYTES >> 30} GiB, "
            f"the limit of a file in {noun} (MAX_FILE_BYTES), the first "
            f"'{one_line(manifest.large[0], 120)}'. Make it smaller, or move it out of the workspace.",
            reason="name",
        )


def differences(manifest: Manifest, listing: Listing, same: Same, noun: str = "the bucket") -> list[Difference]:
    """Return the paths on which both sides differ, sorted."""
    found = []
    for path, entry in manifest.entries.items():
        info = listing.objects.get(path)
        if info is None:
            found.append(Difference(path, f"not in {noun}"))
        elif (entry.kind == "directory") != (info.kind == "directory"):
            found.append(Difference(path, "a directory on one side only"))
        elif entry.kind != "directory" and not same(entry, info):
            found.append(Difference(path, f"another content in {noun}"))
    extra = listing.objects.keys() - manifest.entries.keys() - set(manifest.large)
    found += [Difference(path, f"in {noun} alone") for path in extra]
    return sorted(found, key=lambda one: one.path)


def some(differences: list[Difference]) -> str:
    """Name the first few."""
    more = f" and {len(differences) - SHOWN:,} more" if len(differences) > SHOWN else ""
    return ", ".join(map(str, differences[:SHOWN])) + more


def _check_root(manifest: Manifest, root: Path) -> None:
    """Refuse another directory's manifest: its missing files would count as deleted."""
    try:
        info = root.stat()
    except OSError as error:
        raise NotDurable(f"{root} cannot be scanned: {error.strerror}. Send again.", reason="mount") from error
    if sys.platform == "linux" and (info.st_dev, info.st_ino) != manifest.root:
        raise NotDurable(
            f"the sandbox works on another directory than {root}: it was replaced or unmounted while it ran. What the "
            "sandbox wrote since then is in neither place. Park the session and send again.",
            reason="mount",
        )


def _check_whole(manifest: Manifest) -> None:
    if manifest.truncated:
        raise NotDurable(
            f"the workspace holds more than {MAX_ENTRIES:,} files, or folders nested more than {MAX_DEPTH} deep, which "
            "are not scanned, and so not saved. Move temporary files elsewhere, then send again.",
            reason="name",
        )
    files = [entry.path for entry in manifest.entries.values() if entry.kind == "file" and not entry.md5]
    if unreadable := [*manifest.unreadable, *files]:
        raise NotDurable(
            f"{len(unreadable):,} of the files and folders cannot be read, the first {unreadable[0]!r:.120}. Nothing "
            "was saved; allow its owner to read it (chmod u+rwX).",
            reason="disk",
        )
