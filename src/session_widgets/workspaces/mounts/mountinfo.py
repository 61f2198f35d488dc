"""Status of a mount point according to the operating system, and whether its file system answers."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal
from uuid import uuid4

from session_widgets.host.tree import TEMPORARY

Health = Literal["absent", "alive", "dead"]
ANSWER_SECONDS = 5.0
UNMOUNT_SECONDS = 60
_MOUNTS = Path("/proc/self/mountinfo")


def is_mounted(point: Path) -> bool:
    """Whether this directory is a mount point."""
    wanted = os.path.realpath(point.parent) + "/" + point.name
    return any(_path(line) == wanted for line in _MOUNTS.read_text(errors="surrogateescape").splitlines())


def health(point: Path, seconds: float = ANSWER_SECONDS) -> Health:
    """Look up a mount point, and request an answer from its file system within `seconds`."""
    if not is_mounted(point):
        return "absent"
    return "alive" if _within(seconds, lambda: _answers(point)) else "dead"


def reaches_store(point: Path, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether the file system reports a random name as missing: only the object store can know that."""
    if not is_mounted(point):
        return False
    answered = _within(seconds, lambda: _lacks(point / f"{TEMPORARY}{uuid4().hex}"))
    return answered and is_mounted(point)  # still mounted: the directory below would have answered the same


def hangs(point: Path, seconds: float) -> bool:
    """Whether the mount gives no answer within `seconds`: no store takes part in this, and an error is an answer."""
    return is_mounted(point) and not _within(seconds, lambda: _says_anything(point))


def unmount(point: Path, *, lazily: bool = False) -> str:
    """Unmount; return "" or the error message. `lazily` detaches a dead mount despite its users."""
    if os.geteuid() == 0:
        command = ["umount", "--no-canonicalize", *(["--lazy"] if lazily else []), "--", str(point)]
    else:
        command = [shutil.which("fusermount3") or "fusermount", "-uz" if lazily else "-u", "--", str(point)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=UNMOUNT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {UNMOUNT_SECONDS} s"
    return "" if done.returncode == 0 or not is_mounted(point) else (done.stderr.strip() or f"code {done.returncode}")


def _within(seconds: float, ask: Callable[[], bool]) -> bool:
    """Ask in a thread: a system call to a hanging mounter can be abandoned, but not interrupted."""
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    asking.start()
    asking.join(seconds)
    return answers == [True]


def _path(line: str) -> str:
    """The mount point in a line; the kernel escapes blanks and backslashes in octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), line.split(" ", 5)[4])


def _says_anything(point: Path) -> bool:
    with suppress(OSError):
        os.statvfs(point)
    return True


def _answers(point: Path) -> bool:
    try:
        os.statvfs(point)
        with os.scandir(point) as entries:
            next(entries, None)
    except OSError as error:
        return error.errno == errno.EACCES
    return True


def _lacks(file: Path) -> bool:
    try:
        os.lstat(file)
    except OSError as error:
        return error.errno == errno.ENOENT
    return False
