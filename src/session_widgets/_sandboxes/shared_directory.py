"""A workspace that a sandbox and this machine see under the same path, checked from this machine."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Literal

from session_widgets.host.tree import Walk
from session_widgets.model import FileInfo
from session_widgets.transcript.records import FileChange

MAX_FILES = 200_000
SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv", ".harness"})

Identities = dict[str, list[int]]


def true_kind(info: FileInfo, workspace: str) -> FileInfo:
    """Correct the server's record of an entry: it reports links as their targets, and pipes as files."""
    try:
        found = Path(workspace, info.path).lstat()
    except OSError:
        return info
    kind: Literal["file", "directory", "symlink", "other"] = "other"
    if stat.S_ISLNK(found.st_mode):
        kind = "symlink"
    elif stat.S_ISDIR(found.st_mode):
        kind = "directory"
    elif stat.S_ISREG(found.st_mode):
        kind = "file"
    return replace(info, type=kind, size=found.st_size)


def identities(root: Path) -> Identities:
    """Return the identity of each file, like the runner's own snapshots."""
    walk = Walk(limit=MAX_FILES, skip=SKIPPED)
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        walk.run(directory)
    finally:
        os.close(directory)
    return {
        os.fsencode(found.path).decode(errors="replace"): [info.st_size, info.st_mtime_ns, info.st_ino]
        for found in walk.found
        if stat.S_ISREG((info := found.info).st_mode) or stat.S_ISLNK(info.st_mode)
    }


def compared(before: Identities, now: Identities) -> tuple[FileChange, ...]:
    """Return the changes, by path."""
    changes = [FileChange(path, "created", now[path][0]) for path in now.keys() - before.keys()]
    changes += [FileChange(path, "deleted", None) for path in before.keys() - now.keys()]
    changes += [
        FileChange(path, "modified", now[path][0]) for path in now if path in before and now[path] != before[path]
    ]
    return tuple(sorted(changes, key=lambda change: change.path))
