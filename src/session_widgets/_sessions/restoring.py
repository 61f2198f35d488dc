"""Puts the files of an earlier time back. Lives on the private loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from session_widgets._sandboxes.paths import check_path
from session_widgets._sessions.file_diff import Diff, FileDiff, compare
from session_widgets._sessions.journal import note
from session_widgets._sessions.kept_files import KeptFile, KeptFiles, is_hidden
from session_widgets._sessions.loop import in_thread
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.snapshots import SnapshotManager
from session_widgets._sessions.state import SessionState
from session_widgets.errors import NotFound, WorkspaceError
from session_widgets.host.manifest import Entry
from session_widgets.printing import plural
from session_widgets.transcript.notes import RestoreStarted
from session_widgets.workspaces import FileTree, restore


class Restored(Diff):
    """The changes of a restore. `session.restore(restored.previous)` undoes it.

    Attributes:
        previous: the files before it.
        failed: paths that were not restored: a program wrote there meanwhile, or they could not be kept before.
    """

    def __init__(self, files: Sequence[FileDiff], previous: KeptFiles, after: str, failed: Sequence[str]) -> None:
        super().__init__(files, previous.when, after)
        self.previous = previous
        self.failed = tuple(failed)

    @property
    def _head(self) -> str:
        failed = f"; {plural(len(self.failed), 'file')} not restored, see failed" if self.failed else ""
        return f"{super()._head}{failed}; undo it with session.restore(restored.previous)"


async def restore_files(
    state: SessionState, sandboxes: SandboxManager, snapshots: SnapshotManager, files: KeptFiles, path: str
) -> Restored:
    """Put files back, after keeping the present ones; no turn may be running.

    Args:
        state: of the session.
        sandboxes: of the session.
        snapshots: of the session.
        files: the wanted ones.
        path: a file or folder; "" for all.
    """
    path = check_path(path, root=True)

    def is_meant(one: str) -> bool:
        return not is_hidden(one) and (not path or one == path or one.startswith(f"{path}/"))

    async with sandboxes.changing_files() as tree:
        kept, previous, present = await snapshots.keep_present(await sandboxes.persist(()))
        if path and not any(is_meant(one) for one in (*files.snapshot.entries, *present)):
            raise NotFound(f"there is no {path!r:.200}, neither now nor at {files.when}.")
        started = note(RestoreStarted(snapshot=files.name, path=path, previous=previous.name))
        await state.journal.commit([kept, started])
        unsafe = set(previous.left_out)
        failed = await in_thread(_restore, tree, present, files, unsafe, is_meant)
    unsafe |= {*failed, *files.left_out}
    found = await in_thread(compare, _only(previous, is_meant), _only(files, is_meant), frozenset(unsafe))
    return Restored(found, previous, files.when, sorted({*failed, *filter(is_meant, previous.left_out)}))


def _restore(
    tree: FileTree, present: Mapping[str, Entry], files: KeptFiles, unsafe: set[str], is_meant: Callable[[str], bool]
) -> list[str]:
    try:
        return restore(
            tree,
            present,
            files.snapshot.entries,
            files.contents,
            files.left_out.keys(),
            lambda path: is_meant(path) and path not in unsafe,
        )
    except OSError as error:
        raise WorkspaceError(
            f"the files could not be restored: {error.strerror}. Restore again; those of before are in "
            "session.snapshots.",
            reason="disk",
        ) from error


def _only(files: KeptFiles, is_meant: Callable[[str], bool]) -> dict[str, KeptFile]:
    return {path: file for path, file in files.items() if is_meant(path)}
