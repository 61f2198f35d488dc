"""A claim: the one session whose files and agents a runner holds, as far as it survives the runner's end.

`state/claim.json` is written before anything is the session's, and removed after nothing is. A release is marked in it
first, so that no session finds a directory that was emptied by half.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from session_widgets.host.tree import TEMPORARY

RECORD = "claim.json"
OF_A_SESSION = ("acp", "snapshots")
"""Directories of the state that belong to one session."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who holds the runner; `released` means that its files are being removed."""

    id: str
    session: str
    owner: str
    created: str
    released: bool = False


class ClaimRecord:
    """The claim on disk. All methods block."""

    def __init__(self, root: Path, state: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self._state = state
        self._file = state / RECORD

    def read(self) -> Claim | None:
        """Return the claim; a release that was interrupted is completed first."""
        try:
            claim = Claim(**orjson.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return None
        if claim.released:
            self._remove()
            return None
        return claim

    def write(self, claim: Claim) -> None:
        """Record a claim, atomically and on disk."""
        partial = self._file.with_suffix(".tmp")
        with partial.open("wb") as file:
            file.write(orjson.dumps(asdict(claim)))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._file)

    def release(self, claim: Claim) -> None:
        """Remove the session's files and journals, then its claim. Nothing of it may run."""
        self.write(replace(claim, released=True))
        self._remove()

    def is_empty(self) -> bool:
        """Whether the root holds nothing but what an interrupted upload left."""
        return all(name.startswith(TEMPORARY) for name in _names(self._root))

    def _remove(self) -> None:
        empty(self._root)
        for name in OF_A_SESSION:
            shutil.rmtree(self._state / name, ignore_errors=True)
        self._file.unlink()


def empty(directory: int) -> None:
    """Remove everything below an open directory, through no link.

    Folders are moved up before they are emptied: no depth that a program made exhausts the stack or the open files.
    """
    while names := _names(directory):
        for name in names:
            if _is_folder(name, directory):
                _flatten(name, directory)
            else:
                os.unlink(name, dir_fd=directory)


def _flatten(name: str, directory: int) -> None:
    """Remove a folder after moving the folders in it to `directory`."""
    os.chmod(name, 0o700, dir_fd=directory)  # a program may have closed it; nobody works here any more
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        for below in _names(folder):
            if _is_folder(below, folder):
                os.chmod(below, 0o700, dir_fd=folder)
                moved = f"{TEMPORARY}{secrets.token_hex(8)}"
                os.rename(below, moved, src_dir_fd=folder, dst_dir_fd=directory)
            else:
                os.unlink(below, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=directory)


def _names(directory: int) -> list[str]:
    with os.scandir(directory) as found:
        return [entry.name for entry in found]


def _is_folder(name: str, directory: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
