"""Makes a session from another one as it was at the end of a turn.

A record of what is being made is stored first, and the session's events last, in one commit. So a fork whose process
was killed has a record and no events: `clear` removes its files, before the id is used again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from session_widgets._sessions.journal import note
from session_widgets._sessions.kept_files import KeptFiles
from session_widgets._sessions.sandbox_options import SandboxOptions
from session_widgets._sessions.skills import Skills
from session_widgets._store import Store
from session_widgets.errors import SessionConflict
from session_widgets.host.daemon import locked, read_json, write_private
from session_widgets.host.data_directory import data_directory
from session_widgets.transcript.notes import SessionForked
from session_widgets.workspaces import SCHEME, Workspace, contents_of, fork_files, is_used, place, remembered


def fork(store: Store, session_id: str, space: Workspace, turn: int, files: KeptFiles, new_id: str) -> None:
    """Create a session; nothing if it is this fork already. Blocks.

    Args:
        store: of both.
        session_id: of the other session.
        space: its workspace.
        turn: its last turn in the new session.
        files: those of the turn's end.
        new_id: of the new session.

    Raises:
        SessionConflict: the new session exists, or a directory for its files.
        FilesNotKept: a content was deleted.
        WorkspaceError: the files cannot be written.
    """
    with _recorded(store.home, new_id) as record:
        _clear(store, new_id, record)
        known = store.session(new_id)
        if known is not None and (known.forked_from, known.forked_at_turn) == (session_id, turn):
            return
        new = place(store.home, new_id, *beside(space, session_id), data=data_directory())
        if known is not None:
            raise SessionConflict(f"session {new_id!r} exists, and is no fork of this turn. Use another id.")
        if new.path.exists() or is_used(new):
            where = new.path if new.path.exists() else new.location
            raise SessionConflict(f"there are files in {where}, without a session. Use another id, or move them away.")
        write_private(record, {"workspace": new.location, "attachment": new.attachment})
        try:
            kept = [one.snapshot for one in store.kept_files(session_id) if one.turn is None or one.turn <= turn]
            fork_files(files.snapshot, files.contents, new, contents_of(store.home, new_id, new), kept)
            Skills(store.home, new_id).copy(Skills(store.home, session_id))
            SandboxOptions(store, new_id).copy(SandboxOptions(store, session_id))
            forked = SessionForked(session=session_id, turn=turn, workspace=new.location, attachment=new.attachment)
            store.fork_session(session_id, turn, new_id, [note(forked)])
        except BaseException:
            _clear(store, new_id, record)
            raise
        record.unlink()


def clear(store: Store, session_id: str) -> None:
    """Remove the files of an interrupted fork with this id, if there are any. Blocks."""
    if _record(store.home, session_id).exists():
        with _recorded(store.home, session_id) as record:
            _clear(store, session_id, record)


def beside(space: Workspace, session_id: str) -> tuple[str | None, str | None]:
    """Return location and attachment for the fork's own files: in the same bucket, or in the data directory."""
    if not space.location.startswith(SCHEME):
        return None, None
    return space.location.removesuffix(session_id), space.attachment


@contextmanager
def _recorded(home: Path, session_id: str) -> Iterator[Path]:
    """Let one process at a time make forks; yield the path of the record of this one."""
    folder = home / "forks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder):
        for left in folder.glob("*.partial"):  # of a killed process
            left.unlink()
        yield _record(home, session_id)


def _record(home: Path, session_id: str) -> Path:
    return home / "forks" / f"{session_id}.json"


def _clear(store: Store, session_id: str, record: Path) -> None:
    said = read_json(record)
    if said is None:
        return
    if store.session(session_id) is None:
        space = remembered(store.home, session_id, said["workspace"], said["attachment"], data=data_directory())
        space.remove()
        contents_of(store.home, session_id, space).remove()
        Skills(store.home, session_id).remove()
        SandboxOptions(store, session_id).remove()
    record.unlink()
