"""Tar archives (POSIX pax) from and for programs that are not trusted: read as they arrive, in bounded memory.

`tarfile` reads extended headers of any size at once, and takes an archive without its end for a whole one.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

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

MAX_NAME = 100
MAX_SIZE = 1 << 33
_GZIP = 31
"""The window of zlib that means gzip."""
_USUAL = frozenset({tarfile.REGTYPE, tarfile.XHDTYPE})
_OWNER, _NO_TIME = b"0000000\0" * 2, b"00000000000\0"
_END_OF_BLOCK = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
_END_SUM = sum(_END_OF_BLOCK) + 8 * 32

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
    if target is None and len(name) <= MAX_NAME and size < MAX_SIZE and name.isascii():  # `tarfile` needs 60 us for it
        records = b"".join([_record(key, value) for key, value in (headers or {}).items()])
        before = _extended(len(records)) + records + padding(len(records)) if records else b""
        return before + _plain(name.encode(), mode, size)
    member = tarfile.TarInfo(name)
    member.mode, member.size = mode, size
    if target is not None:
        member.type, member.linkname = tarfile.SYMTYPE, target
    member.pax_headers = dict(headers or {})
    return member.tobuf(tarfile.PAX_FORMAT)


def _record(key: str, value: str) -> bytes:
    """Return a line of an extended header, which begins with its own length."""
    line = f" {key}={value}\n".encode()
    size = len(line)
    while (whole := len(str(size)) + len(line)) != size:
        size = whole
    return b"%d%b" % (size, line)


@lru_cache(maxsize=64)
def _extended(size: int) -> bytes:
    """Return the block before an extended header."""
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, size
    return member.tobuf(tarfile.USTAR_FORMAT)


def _plain(name: bytes, mode: int, size: int) -> bytes:
    """Return the block of a file."""
    start = name.ljust(100, b"\0") + b"%07o\0%b%011o\0%b" % (mode, _OWNER, size, _NO_TIME)
    return start + b"%06o\0 " % (sum(start) + _END_SUM) + _END_OF_BLOCK


def padding(size: int) -> bytes:
    """Return the zeros after a content."""
    return bytes(-size % BLOCK)


class Pieces:
    """Pieces of bytes as a file to read from; none of them is copied as a whole for a small part."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece = b""
        self._at = 0

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes; fewer at the end."""
        end = self._at + size
        if end <= len(self._piece):
            taken = self._piece[self._at : end]
            self._at = end
            return taken
        found, left = [self._piece[self._at :]], end - len(self._piece)
        self._piece, self._at = b"", 0
        while left and (piece := next(self._pieces, b"")):
            found.append(piece[:left])
            self._piece, self._at = piece, min(left, len(piece))
            left -= self._at
        return b"".join(found)


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield an archive as gzip: the headers of small files are much longer than what they say."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def decompressed(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yield what was compressed, a bounded piece at a time.

    Args:
        pieces: the gzip.
        most: bytes, because a small gzip may contain a thousand times its size.

    Raises:
        BadTar: it is no gzip, or contains more.
    """
    unpacker = zlib.decompressobj(_GZIP)
    for piece in pieces:
        while not unpacker.eof:
            try:
                found = unpacker.decompress(piece, CHUNK)
            except zlib.error as error:
                raise BadTar(f"the archive is not compressed as announced: {error}") from error
            most -= len(found)
            if most < 0:
                raise BadTar("the archive contains more than was announced")
            if found:
                yield found
            piece = unpacker.unconsumed_tail
            if not piece and len(found) < CHUNK:
                break


def members(archive: Readable) -> Iterator[tuple[Member, Readable]]:
    """Yield each member with its content, which can be read until the next member.

    Raises:
        BadTar: it is no archive, or not a whole one; or a member is neither a file nor a link nor a directory, or its
            name leaves the directory.
    """
    extended: dict[str, str] = {}
    while any(block := _exactly(archive, BLOCK)):
        info = _usual(block) or _any(block)
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


class _Header(NamedTuple):
    """What a block says."""

    name: str
    type: bytes
    size: int
    mode: int
    linkname: str = ""


def _usual(block: bytes) -> _Header | None:
    """Read the block of a file, or before an extended header, in the form that programs of today write."""
    kind, mode, size, proof = block[156:157], block[100:107], block[124:135], block[148:154]
    if kind not in _USUAL or block[257:265] != b"ustar\x0000" or block[345]:
        return None
    if not (mode.isdigit() and size.isdigit() and proof.isdigit()):
        return None
    try:
        numbers = int(proof, 8), int(size, 8), int(mode, 8)
    except ValueError:
        return None
    if numbers[0] != sum(block) - sum(block[148:156]) + 8 * 32:
        return None
    name = block[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return _Header(name, kind, numbers[1], numbers[2])


def _any(block: bytes) -> _Header:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise BadTar(f"body is not a plain tar archive: {error}") from error
    return _Header(info.name, info.type, info.size, info.mode, info.linkname)


def _member(info: _Header, extended: Mapping[str, str]) -> Member:
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
