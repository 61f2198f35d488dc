"""A directory of one process beside the store, for data that does not fit into memory and copies of the file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path


class Scratch:
    """Directories that only this user can read (0700); leftovers of exited processes are removed.

    Args:
        store: the store's file; the directories are in `<store>.tmp`, else in the system's temporary directory.
    """

    def __init__(self, store: Path) -> None:
        self._place = store.with_name(store.name + ".tmp")
        self._made: list[tuple[Path, int]] = []
        weakref.finalize(self, _remove, os.getpid(), self._made)

    def directory(self) -> Path:
        """Create a directory; it is removed at this process's exit, or earlier when it is empty."""
        try:
            self._place.mkdir(mode=0o700, exist_ok=True)
            with _locked(self._place):
                self._sweep()
                return self._keep(Path(tempfile.mkdtemp(dir=self._place)))
        except OSError:
            return self._keep(Path(tempfile.mkdtemp(prefix="session-widgets-")))

    def tidy(self) -> None:
        """Remove the empty directories."""
        for made, held in tuple(self._made):
            with contextlib.suppress(OSError):
                made.rmdir()
                os.close(held)
                self._made.remove((made, held))
        with contextlib.suppress(OSError):
            self._place.rmdir()

    def _keep(self, made: Path) -> Path:
        held = os.open(made, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._made.append((made, held))
        return made

    def _sweep(self) -> None:
        """Remove the directories without an owner: their lock is free."""
        for left in self._place.iterdir():
            try:
                file = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            os.close(file)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    file = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _remove(pid: int, made: list[tuple[Path, int]]) -> None:
    for path, _ in made if pid == os.getpid() else ():
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
