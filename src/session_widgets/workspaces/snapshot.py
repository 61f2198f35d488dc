"""A snapshot: which files a workspace had, with the name of each content."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson

from session_widgets.host.manifest import Entry, EntryKind, Manifest, md5

MAX_FILE_BYTES = 64 << 20
"""Larger files are not kept."""
MAX_BYTES = 2 << 30
"""Limit of all contents of a session."""
MAX_LIST_BYTES = 1 << 30
"""Of the list itself, decompressed."""

LeftOut = Literal["large", "room", "name", "changed", "unreadable", "late"]
"""Why a file was not kept: larger than `MAX_FILE_BYTES` · beyond `MAX_BYTES` · a name or file type that cannot be
saved · it changed while it was copied · it cannot be read · the next prompt came first."""


def name_of(data: bytes) -> str:
    """Return the name of a content: its MD5 and size."""
    return f"{md5(data).hexdigest()}-{len(data)}"


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """A file, a link or an empty directory of a snapshot; the content of a link is its target."""

    path: str
    kind: EntryKind
    size: int
    mode: int
    md5: str

    @property
    def name(self) -> str:
        """The name of the content; "" for a directory."""
        return f"{self.md5}-{self.size}" if self.md5 else ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The kept entries by path, and the paths that were left out."""

    entries: Mapping[str, KeptEntry] = field(default_factory=dict)
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)

    @property
    def names(self) -> Iterator[str]:
        """The names of all contents."""
        return (entry.name for entry in self.entries.values() if entry.name)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries.values())

    def encode(self) -> bytes:
        """Return the stored form: the same bytes for the same snapshot."""
        rows = [[e.path, e.kind, e.size, e.mode, e.md5] for _, e in sorted(self.entries.items())]
        return zlib.compress(orjson.dumps({"entries": rows, "left_out": dict(sorted(self.left_out.items()))}), 1)

    @classmethod
    def decode(cls, data: bytes) -> Snapshot:
        """Read the stored form."""
        value = orjson.loads(zlib.decompressobj().decompress(data, MAX_LIST_BYTES))
        return cls({row[0]: KeptEntry(*row) for row in value["entries"]}, value["left_out"])


def sort_out(manifest: Manifest) -> tuple[list[Entry], dict[str, LeftOut]]:
    """Return the entries of a manifest that can be kept, and the reasons for the others."""
    left: dict[str, LeftOut] = dict.fromkeys(manifest.strange, "name")
    left |= dict.fromkeys(manifest.unreadable, "unreadable")
    left |= dict.fromkeys(manifest.large, "large")
    kept: list[Entry] = []
    room = MAX_BYTES
    for entry in manifest.entries.values():
        if entry.kind == "file" and not entry.md5:
            left[entry.path] = "unreadable"
        elif entry.size > MAX_FILE_BYTES:
            left[entry.path] = "large"
        elif entry.size > room:
            left[entry.path] = "room"
        else:
            room -= entry.size
            kept.append(entry)
    return kept, left
