"""What a workspace promises: a directory that sandboxes work on, and a place that outlives every machine.

All methods block and may be called from any thread; none but `unblock` may be called while another runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from session_widgets.host.manifest import Manifest
from session_widgets.transcript.records import FileChange

if TYPE_CHECKING:
    from session_widgets.workspaces.objects import Objects

Look = Callable[[], Manifest]
"""Looks at the workspace from inside the sandbox, or on this machine where none runs."""

Progress = Callable[[str], None]
"""Told what is being done, in a few words, whenever it takes time."""


class Workspace(Protocol):
    """A session's directory.

    Attributes:
        location: where it is kept: an absolute directory, or "s3://bucket/prefix/session".
        attachment: how `path` and `location` are kept the same: "directory", "sync", "fuse:s3fs", "fuse:weed" or
            "fuse:geesefs".
        path: directory of this machine that sandboxes work on.
        managed: whether it was made for the session, and goes with it.
        objects: its place in a bucket, if it has one.
        remark: what else a user should know of it, such as what a mount was found to do; "" if nothing.
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
    def objects(self) -> Objects | None: ...  # noqa: D102
    @property
    def remark(self) -> str: ...  # noqa: D102

    def attach(self, progress: Progress) -> bool:
        """Make `path` hold what `location` holds, and this installation its one writer. Cheap when it does already.

        Returns:
            Whether `path` is another directory than before (mounted anew), so that a sandbox on it must start again.

        Raises:
            WorkspaceTaken: another installation writes it.
            WorkspaceConflict: both sides changed a file; both versions are in `path` now, and the next call is fine.
            WorkspaceError: anything else; `path` must not be worked on.
        """

    def persist(self, look: Look, changed: Sequence[FileChange]) -> None:
        """Bring everything to `location`, and return once that is proven; raise `NotDurable` if it cannot be."""

    def unblock(self, seconds: float) -> None:
        """End a mounter that says nothing for `seconds`: who waits for it then gets an error, and can be stopped."""

    def detach(self) -> None:
        """Let go: unmount, wait for the mounter's end, give the lease back; what is not persisted stays in `path`."""

    def take_over(self) -> None:
        """Make this installation the one writer, whoever was it."""

    def scan(self) -> Manifest:
        """Look at `path` from this machine."""

    def remove(self) -> None:
        """Detach, and remove what belongs to the session, here and at `location`; proven empty afterwards."""
