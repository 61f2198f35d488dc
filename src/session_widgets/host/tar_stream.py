"""Tar archives (POSIX pax) from and for programs that are not trusted: read as they arrive, in bounded memory.

`tarfile` reads extended headers of any size at once, and takes an archive without its end for a whole one.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from session_widgets.host.manifest import Readable

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
CHUNK = 1 << 20
MAX_HEADER_BYTES = 64 << 10
MTIME = "SESSION_WIDGETS.mtime_ns"
SEEN = "SESSION_WIDGETS.seen"
NOTHING = "nothing"
"""Extended headers: the modification time in nanoseconds, and what an entry may replace ("12.1700000000000000000", a
size and such a time, or nothing)."""

_KINDS: Mapping[bytes, Literal["file", "link", "directory"]] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.SYMTYPE: "link",
    tarfile.DIRTYPE: "directory",
}


class BadTar(Exception):
    """The bytes are no archive of files, links and directories."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member; `name` is a relative path in normal form, `target` that of a link."""

    name: str
    kind: Literal["file", "link", "directory"]
    size: int
    mode: int
    target: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def header(
    name: str, *, mode: int, size: int = 0, target: str | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return the header of a file, or of a link with a `target`; then come the content and `padding(size)`."""
    member = tarfile.TarInfo(name)
    member.mode, member.size = mode, size
    if target is not None:
        member.type, member.linkname = tarfile.SYMTYPE, target
    member.pax_headers = dict(headers or {})
    return member.tobuf(tarfile.PAX_FORMAT)


def padding(size: int) -> bytes:
    """Return the zeros after a content."""
    return bytes(-size % BLOCK)


def members(archive: Readable) -> Iterator[tuple[Member, Readable]]:
    """Yield each member with its content, which can be read until the next member.

    Raises:
        BadTar: it is no archive, or not a whole one; or a member is neither a file nor a link nor a directory, or its
            name leaves the directory.
    """
    extended: dict[str, str] = {}
    while any(block := _exactly(archive, BLOCK)):
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise BadTar(f"body is not a plain tar archive: {error}") from error
        if info.type == tarfile.XHDTYPE:
            if not 0 <= info.size <= MAX_HEADER_BYTES:
                raise BadTar(f"an extended header of {info.size} bytes")
            extended = _records(_exactly(archive, info.size + len(padding(info.size)))[: info.size])
            continue
        member = _member(info, extended)
        content = _Content(archive, member.size)
        yield member, content
        content.skip()
        extended = {}
    while archive.read(CHUNK):
        pass


def _member(info: tarfile.TarInfo, extended: Mapping[str, str]) -> Member:
    name = extended.get("path", info.name)
    kind = _KINDS.get(info.type)
    if any("GNU.sparse" in key for key in extended):
        raise BadTar(f"sparse files are refused, because a small archive may contain huge ones: {name!r:.200}")
    if kind is None:
        raise BadTar(f"only files, links and directories are accepted: {name!r:.200}")
    if kind == "directory":
        name = name.removesuffix("/")
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise BadTar(f"invalid relative path: {name!r:.200}")
    size = _number(extended["size"]) if "size" in extended else info.size
    if size < 0 or (kind != "file" and size):
        raise BadTar(f"a size of {size} bytes: {name!r:.200}")
    target = extended.get("linkpath", info.linkname) if kind == "link" else ""
    return Member(name, kind, size, info.mode & 0o7777, target, extended)


class _Content:
    """The bytes of one member."""

    def __init__(self, archive: Readable, size: int) -> None:
        self._archive = archive
        self._left = size
        self._padding = -size % BLOCK

    def read(self, size: int, /) -> bytes:
        wanted = min(size, self._left)
        piece = _exactly(self._archive, wanted)
        self._left -= len(piece)
        return piece

    def skip(self) -> None:
        """Read the rest, and the zeros after it."""
        while self.read(CHUNK):
            pass
        _exactly(self._archive, self._padding)


def _exactly(archive: Readable, size: int) -> bytes:
    pieces = []
    while size:
        piece = archive.read(size)
        if not piece:
            raise BadTar("body is not a whole tar archive: it has no end")
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _records(data: bytes) -> dict[str, str]:
    """Read an extended header: length, key and value of each record."""
    found = {}
    while data:
        digits, space, _ = data.partition(b" ")
        length = _number(digits.decode("latin-1")) if space and len(digits) <= 6 else 0
        record = data[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if length <= len(digits) + 1 or length > len(data) or not equals or not value.endswith(b"\n"):
            raise BadTar("an extended header in no form")
        found[_text(key)] = _text(value[:-1])
        data = data[length:]
    return found


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 19:
        raise BadTar(f"a whole number was expected: {text!r:.40}")
    return int(text)
