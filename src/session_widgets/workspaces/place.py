"""Chooses the workspace of a session, from the user's arguments or from the store's record."""

from __future__ import annotations

from pathlib import Path

from session_widgets.errors import BadValue
from session_widgets.progress import silent
from session_widgets.workspaces.bucket_contents import BucketContents
from session_widgets.workspaces.bucket_location import SCHEME, BucketLocation
from session_widgets.workspaces.contents import Contents
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.directory_contents import DirectoryContents
from session_widgets.workspaces.local import LocalWorkspace
from session_widgets.workspaces.sync import SyncWorkspace

DRIVERS = ("s3fs", "weed", "geesefs")
ATTACHMENTS = ("sync", "direct", *(f"fuse:{driver}" for driver in DRIVERS))


def place(
    home: Path, session_id: str, given: str | Path | None, attachment: str | None = None, *, data: Path | None = None
) -> Workspace:
    """Return the workspace of a session, without creating, mounting or requesting anything.

    Args:
        home: the directory of this store's sessions.
        session_id: valid.
        given: an existing directory, "s3://bucket/prefix", or None for a directory of the session's own.
        attachment: of a bucket: "sync" (the default), "direct", "fuse:s3fs", "fuse:weed" or "fuse:geesefs".
        data: the data directory of this installation, if it is not `home`.

    Raises:
        BadValue: one of them is invalid.
    """
    in_bucket = isinstance(given, str) and given.startswith(SCHEME)
    known = ATTACHMENTS if in_bucket else ("directory",)
    if attachment is not None and attachment not in known:
        where = "a workspace in a bucket" if in_bucket else "a directory"
        raise BadValue(f"attachment of {where} must be one of {', '.join(map(repr, known))}; got {attachment!r:.80}.")
    if not in_bucket:
        return LocalWorkspace.place(home, session_id, given)
    objects = BucketLocation.place(home, data or home, session_id, str(given))
    if attachment in {None, "sync", "direct"}:
        return SyncWorkspace(objects, direct=attachment == "direct")
    from session_widgets.workspaces.mounted import MountedWorkspace

    return MountedWorkspace(objects, str(attachment).removeprefix("fuse:"))


def remembered(home: Path, session_id: str, location: str, attachment: str, *, data: Path | None = None) -> Workspace:
    """Return the recorded workspace of a session."""
    if location.startswith(SCHEME):
        return place(home, session_id, location.removesuffix(session_id), attachment, data=data)
    managed = LocalWorkspace.place(home, session_id, None)
    moved = managed.path.is_dir() and Path(location).parts[-2:] == managed.path.parts[-2:]  # moved with its store
    return managed if moved or location == managed.location else LocalWorkspace.place(home, session_id, location)


def contents_of(home: Path, session_id: str, workspace: Workspace) -> Contents:
    """Return the contents of a session's snapshots, without creating or requesting anything."""
    place = home / "contents" / session_id
    if workspace.objects is None:
        return DirectoryContents(place, workspace.path)
    return BucketContents(place, workspace.objects, workspace.path)


def is_used(workspace: Workspace) -> bool:
    """Whether there are objects at the location of a new session in a bucket."""
    objects = workspace.objects
    if objects is None:
        return False
    objects.reach(silent)
    return not objects.prefix.is_empty()
