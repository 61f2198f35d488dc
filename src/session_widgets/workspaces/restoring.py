"""Puts the files of a snapshot back into a tree, through no link and over no newer write."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from io import BytesIO

from session_widgets.errors import SessionWidgetsError, WorkspaceError
from session_widgets.host.host_tree import HostTree
from session_widgets.host.manifest import Entry, Occupied
from session_widgets.progress import silent
from session_widgets.workspaces.contents import Contents
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.file_tree import FileTree
from session_widgets.workspaces.snapshot import KeptEntry, Snapshot


def restore(
    tree: FileTree,
    present: Mapping[str, Entry],
    wanted: Mapping[str, KeptEntry],
    contents: Contents,
    unknown: Collection[str],
    is_meant: Callable[[str], bool],
) -> list[str]:
    """Make a tree equal to a snapshot; repeat an interrupted call.

    Args:
        tree: the files.
        present: its entries.
        wanted: the entries of the snapshot.
        contents: of the snapshot.
        unknown: paths that the snapshot lacks only because they were not kept: they stay.
        is_meant: whether a path is to be restored.

    Returns:
        The paths that stay as they are: a program has written there meanwhile, or an unknown file is in the way.

    Raises:
        FilesNotKept: a content was deleted.
        OSError: the tree cannot be written.
    """
    failed: list[str] = []
    superfluous = present.keys() - wanted.keys() - set(unknown)
    for path in sorted(filter(is_meant, superfluous), reverse=True):
        try:
            tree.delete(path, present[path])
        except Occupied:
            failed.append(path)
    for path, entry in sorted(wanted.items()):
        here = present.get(path)
        if is_meant(path) and not is_same(here, entry):
            try:
                _put(tree, entry, contents, here)
            except (Occupied, NotADirectoryError):
                failed.append(path)
    return failed


def is_same(here: Entry | KeptEntry | None, wanted: Entry | KeptEntry | None) -> bool:
    """Whether both have the same kind, content and, of files, permission bits."""
    if here is None or wanted is None:
        return here is wanted
    mode = here.mode == wanted.mode or wanted.kind != "file"
    return (here.kind, here.size, here.md5) == (wanted.kind, wanted.size, wanted.md5) and mode


def _put(tree: FileTree, entry: KeptEntry, contents: Contents, seen: Entry | None) -> None:
    if entry.kind == "directory":
        if seen is not None:
            tree.delete(entry.path, seen)
        tree.mkdir(entry.path)
        return
    new = Entry(entry.path, entry.kind, entry.size, entry.mode, time.time_ns(), entry.md5)
    tree.write(new, BytesIO(contents.read(entry.name)), seen)


def fill_directory(space: Workspace, snapshot: Snapshot, contents: Contents) -> None:
    """Write the files of a snapshot into the directory of a new session, and save them at its location.

    Raises:
        FilesNotKept: a content was deleted.
        WorkspaceError: the files cannot be written or saved.
    """
    try:
        space.attach(silent)
        tree = HostTree(space.path)
        try:
            restore(tree, {}, snapshot.entries, contents, (), lambda _: True)
        finally:
            tree.close()
        space.persist(space.scan, ())
        space.detach()
    except OSError as error:
        if isinstance(error, SessionWidgetsError):
            raise
        raise WorkspaceError(f"{space.path} cannot be written: {error.strerror}.", reason="disk") from error
