"""Which snapshots of a session make room for newer ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from session_widgets.errors import FilesNotKept
from session_widgets.workspaces import Contents, Snapshot

SHARE = 0.8
"""Of the limit that is used afterwards, so that not every turn has to make room."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Snapshots to drop, and the contents that no other needs."""

    snapshots: tuple[str, ...]
    contents: frozenset[str]


def size_of(names: Collection[str]) -> int:
    """Return the bytes of contents."""
    return sum(int(name.rpartition("-")[2]) for name in names)


def plan(contents: Contents, snapshots: Sequence[str], limit: int) -> Sweep | None:
    """Return what makes room; None if nothing must. Blocks.

    Args:
        contents: of the session.
        snapshots: in use, oldest first; the latest stays.
        limit: bytes of all contents.
    """
    present = frozenset(contents.names())
    if size_of(present) <= limit:
        return None
    needed: set[str] = set()
    kept: set[str] = set()
    latest_first = list(dict.fromkeys(reversed(snapshots)))
    for name in latest_first:
        try:
            names = {name, *Snapshot.decode(contents.read(name)).names}
        except FilesNotKept:
            continue
        if kept and size_of(needed | names) > limit * SHARE:
            break
        needed |= names
        kept.add(name)
    dropped = tuple(name for name in reversed(latest_first) if name not in kept)
    return Sweep(dropped, present - needed)
