"""Puts the files of a snapshot back into a tree, through no link and over no newer write."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from io import BytesIO

from session_widgets.errors import SessionWidgetsError, WorkspaceError
from session_widgets.host.host_tree import HostTree
from session_widgets.host.manifest import Entry, Occupied, Readable
from session_widgets.progress import silent
from session_widgets.workspaces.contents import Contents
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.file_tree import BulkTree, FileTree
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
    differing = [
        entry for path, entry in sorted(wanted.items()) if is_meant(path) and not is_same(present.get(path), entry)
    ]
    folders = [entry for entry in differing if entry.kind == "directory"]
    failed += [entry.path for entry in folders if not _make(tree, entry, present.get(entry.path))]
    files = [entry for entry in differing if entry.kind != "directory"]
    return failed + [path for path, written in _write(tree, files, contents, present) if not written]


def is_same(here: Entry | KeptEntry | None, wanted: Entry | KeptEntry | None) -> bool:
    """Whether both have the same kind, content and, of files, permission bits."""
    if here is None or wanted is None:
        return here is wanted
    mode = here.mode == wanted.mode or wanted.kind != "file"
    return (here.kind, here.size, here.md5) == (wanted.kind, wanted.size, wanted.md5) and mode


def _make(tree: FileTree, entry: KeptEntry, seen: Entry | None) -> bool:
    try:
        if seen is not None:
            tree.delete(entry.path, seen)
        tree.mkdir(entry.path)
    except (Occupied, NotADirectoryError):
        return False
    return True


def _write(
    tree: FileTree, files: Sequence[KeptEntry], contents: Contents, present: Mapping[str, Entry]
) -> Iterator[tuple[str, bool]]:
    """Write files and links, at a distance in one stream; yield each path, and whether it was written."""
    now = time.time_ns()

    def items() -> Iterator[tuple[Entry, Readable, Entry | None]]:
        for one in files:
            entry = Entry(one.path, one.kind, one.size, one.mode, now, one.md5)
            yield entry, BytesIO(contents.read(one.name)), present.get(one.path)

    if isinstance(tree, BulkTree):
        for one, result in zip(files, tree.write_many(items()), strict=True):
            yield one.path, isinstance(result, Entry)
        return
    for entry, body, seen in items():
        try:
            tree.write(entry, body, seen)
        except (Occupied, NotADirectoryError):
            yield entry.path, False
        else:
            yield entry.path, True


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
