"""What a durable side holds: its objects, lists of them, and which keys are paths of files.

Keys that cannot be the path of a file (an empty name, "." or "..", NUL, a file that is also a folder, a marker of a
folder with content) are ignored: they are listed separately, never fetched, and deleted only with the whole
prefix.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from session_widgets.host.manifest import CACHES
from session_widgets.host.tree import TEMPORARY


class Changed(Exception):
    """Precondition failed: the object changed."""


class Torn(Exception):
    """The body differs from its announced MD5: the file changed meanwhile."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object; the path of a directory marker has no slash at its end. `mode` is None if a listing lacks it."""

    path: str
    kind: Literal["file", "directory"]
    size: int
    etag: str
    modified: datetime
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a session by path, and the keys that are not valid paths."""

    objects: dict[str, ObjectInfo] = field(default_factory=dict)
    strange: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of one folder; `token` requests the next page, None is the end."""

    folders: tuple[str, ...]
    files: tuple[ObjectInfo, ...]
    token: str | None


def untangled(found: dict[str, ObjectInfo], strange: Iterable[str]) -> Listing:
    """Drop markers of folders with content, and objects below a key that is a file."""
    parents: set[str] = set()
    for path in found:
        while path := path.rpartition("/")[0]:
            if path in parents:
                break
            parents.add(path)
    files = {path for path, info in found.items() if info.kind == "file"}
    both = files & parents
    objects, tangled = {}, list(strange)
    for path, info in found.items():
        if both and any(path.startswith(f"{one}/") for one in both):
            tangled.append(path)
        elif info.kind == "file" or path not in parents:
            objects[path] = info
    return Listing(objects, tuple(tangled))


def parents(path: str) -> list[str]:
    """Return the folders above a path, the outermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def is_path(path: str) -> bool:
    """Whether a key can be the path of a file."""
    return "\0" not in path and "\\" not in path and not {"", ".", ".."}.intersection(path.split("/"))


def is_no_file_of_ours(path: str) -> bool:
    """Whether a manifest never contains the path: a cache, or leftovers of a killed write or probe."""
    names = path.split("/")
    return not CACHES.isdisjoint(names) or any(name.startswith(TEMPORARY) for name in names)
