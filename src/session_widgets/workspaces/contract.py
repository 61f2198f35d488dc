"""The contract of a workspace: a directory for sandboxes, and a location that outlives every machine.

All methods block and may be called from any thread; only `unblock` may be called while another runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from session_widgets.host.manifest import Manifest
from session_widgets.progress import Progress
from session_widgets.transcript.records import FileChange

if TYPE_CHECKING:
    from session_widgets.workspaces.bucket_location import BucketLocation
    from session_widgets.workspaces.file_access import FileAccess
    from session_widgets.workspaces.file_tree import FileTree

Scan = Callable[[], Manifest]
"""Makes the manifest inside the sandbox, or on this machine if no sandbox runs."""


class Workspace(Protocol):
    """A session's directory.

    Attributes:
        location: where its files are kept: an absolute directory, or "s3://bucket/prefix/session".
        attachment: how `path` and `location` are synchronised: "directory", "sync", "direct", "fuse:s3fs",
            "fuse:weed" or "fuse:geesefs".
        path: directory of this machine that sandboxes work on.
        managed: whether it was created for the session, and is deleted with it.
        objects: its location in a bucket, if any.
        copies: whether files must be saved from `path` to `location`; otherwise both are one directory.
        mount_report: other facts for the user, such as the capabilities of a mount; "" if none.
    """

    @property
    def location(self) -> str: ...  # noqa: D102 - see the class
    @property
    def attachment(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def managed(self) -> bool: ...  # noqa: D102
    @property
    def objects(self) -> BucketLocation | None: ...  # noqa: D102
    @property
    def copies(self) -> bool: ...  # noqa: D102
    @property
    def mount_report(self) -> str: ...  # noqa: D102

    def files(self) -> FileAccess:
        """Return access to the files at `location`; it needs no sandbox and no lease."""

    def relayed(self, tree: FileTree, place: Path) -> Workspace:
        """Return the same workspace for a sandbox that does not see the files of this host.

        Args:
            tree: the sandbox's directory.
            place: directory of this host for the session's records.

        Raises:
            BadValue: the attachment needs a sandbox on this host.
        """

    def attach(self, progress: Progress) -> bool:
        """Make `path` equal to `location`, and acquire the lease. Cheap if both are done already.

        Returns:
            Whether `path` is another directory than before (mounted again), so that its sandbox must restart.

        Raises:
            WorkspaceTaken: another installation holds the lease.
            WorkspaceConflict: both sides changed a file; both versions are in `path` now, and the next call succeeds.
            WorkspaceError: any other failure; `path` must not be used.
        """

    def persist(self, scan: Scan, changed: Sequence[FileChange]) -> Manifest | None:
        """Save everything to `location`, and return once that is verified; raise `NotDurable` if it fails.

        Returns:
            What was verified; None if nothing is compared, because `path` is `location`.
        """

    def unblock(self, seconds: float) -> None:
        """Kill a mounter that does not answer for `seconds`: waiting processes then get an error and can be killed."""

    def detach(self) -> None:
        """Unmount, wait for the mounter's exit, release the lease; unsaved files stay in `path`."""

    def take_over(self) -> None:
        """Acquire the lease for this installation, whatever its holder."""

    def scan(self) -> Manifest:
        """Scan `path` from this machine."""

    def remove(self) -> None:
        """Detach, and delete the session's files, here and at `location`; verify that none is left."""
