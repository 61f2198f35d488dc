"""Capabilities of a directory, found by trying them."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from uuid import uuid4

from session_widgets.host.tree import TEMPORARY


@dataclass(frozen=True, slots=True)
class Abilities:
    """The operations that worked, and could be read back."""

    create: bool
    append: bool
    rename: bool
    overwrite: bool
    fsync: bool
    lock: bool
    symlink: bool
    hard_link: bool
    chmod: bool

    def describe(self) -> str:
        """Return the supported and unsupported operations in a line."""
        names = {field.name.replace("_", " "): getattr(self, field.name) for field in fields(self)}
        can = ", ".join(name for name, works in names.items() if works)
        cannot = ", ".join(name for name, works in names.items() if not works)
        if not cannot:
            return f"all of {can}"
        return f"{can}; not {cannot}" if can else f"none of {cannot}"


def probe(directory: Path) -> Abilities:
    """Try everything in a temporary folder in `directory`.

    Raises:
        OSError: not even the folder can be created.
    """
    place = directory / f"{TEMPORARY}{uuid4().hex}"
    place.mkdir()
    try:
        return Abilities(
            create=_works(_create, place / "create"),
            append=_works(_append, place / "append"),
            rename=_works(_rename, place / "rename"),
            overwrite=_works(_overwrite, place / "overwrite"),
            fsync=_works(_fsync, place / "fsync"),
            lock=_works(_lock, place / "lock"),
            symlink=_works(_symlink, place / "symlink"),
            hard_link=_works(_hard_link, place / "hard"),
            chmod=_works(_chmod, place / "chmod"),
        )
    finally:
        shutil.rmtree(place)


def _works(attempt: Callable[[Path], bool], file: Path) -> bool:
    try:
        return attempt(file)
    except OSError:
        return False


def _create(file: Path) -> bool:
    file.write_bytes(b"one")
    return file.read_bytes() == b"one"


def _append(file: Path) -> bool:
    file.write_bytes(b"one")
    with file.open("ab") as more:
        more.write(b"two")
    return file.read_bytes() == b"onetwo"


def _rename(file: Path) -> bool:
    """Over another file, and of a folder: operations of git and editors."""
    file.write_bytes(b"old")
    new = file.with_suffix(".new")
    new.write_bytes(b"new")
    new.replace(file)
    folder = file.with_suffix(".folder")
    folder.mkdir()
    (folder / "inside").write_bytes(b"x")
    moved = folder.rename(file.with_suffix(".moved"))
    return file.read_bytes() == b"new" and not new.exists() and (moved / "inside").read_bytes() == b"x"


def _overwrite(file: Path) -> bool:
    """In the middle, and to nothing."""
    file.write_bytes(b"abcdef")
    with file.open("r+b") as inside:
        inside.seek(2)
        inside.write(b"XY")
    written = file.read_bytes()
    os.truncate(file, 0)
    return written == b"abXYef" and file.stat().st_size == 0


def _fsync(file: Path) -> bool:
    with file.open("wb") as target:
        target.write(b"one")
        target.flush()
        os.fsync(target.fileno())
    return True


def _lock(file: Path) -> bool:
    """Whether a second lock is refused."""
    with file.open("w") as first, file.open("w") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _symlink(file: Path) -> bool:
    file.symlink_to("nowhere/at all")
    return file.is_symlink() and str(file.readlink()) == "nowhere/at all"


def _hard_link(file: Path) -> bool:
    file.write_bytes(b"one")
    other = file.with_suffix(".other")
    other.hardlink_to(file)
    return other.read_bytes() == b"one"


def _chmod(file: Path) -> bool:
    file.write_bytes(b"one")
    file.chmod(0o750)
    return file.stat().st_mode & 0o777 == 0o750
