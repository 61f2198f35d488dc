"""Tar archives in request bodies, read as they arrive. Whatever they claim, memory stays bounded."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from session_widgets.runner.bodies import BlockingBody
from session_widgets.runner.problems import invalid, over_limit

BLOCK = 1 << 20
MAX_HEADER_BYTES = 64 << 10
_EXTENDED = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class _Member(tarfile.TarInfo):
    """A member whose extended header, which is read at once, is short; `ended` once the archive's end was read."""

    ended = False

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        cls.ended = not any(buf) and len(buf) == tarfile.BLOCKSIZE
        member = super().frombuf(buf, encoding, errors)
        if member.type in _EXTENDED and member.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


@contextmanager
def reading_tar(body: BlockingBody, most: int) -> Iterator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]]:
    """Give each member with its archive, whose `extractfile` reads it; all of a member is read before the next.

    Raises:
        Problem: it is no plain tar archive, or not a whole one; a name leaves the directory; or there are more than
            `most` members.
    """

    class Member(_Member):
        """One of this archive."""

    try:
        with tarfile.open(
            fileobj=cast("IO[bytes]", body), mode="r|", bufsize=BLOCK, tarinfo=Member, errorlevel=2
        ) as tar:
            yield _members(tar, most)
            if not Member.ended:
                raise tarfile.ReadError("it has no end")
    except tarfile.TarError as error:
        raise invalid(f"body is not a plain tar archive: {error}") from error


def _members(tar: tarfile.TarFile, most: int) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    for count, member in enumerate(tar):
        if count >= most:
            raise over_limit(413, "max_entries", most, "too many archive members")
        if member.issparse():
            raise invalid(f"sparse files are refused, because a small archive may contain huge ones: {member.name}")
        if not (member.isreg() or member.isdir() or member.issym()):
            raise invalid(f"only files, links and directories are accepted: {member.name}")
        if is_outside(member.name):
            raise invalid(f"invalid relative path: {member.name}")
        yield tar, member
        cast("Any", tar).members.clear()  # it keeps every member otherwise


def is_outside(name: str) -> bool:
    """Whether a name is not a relative path in normal form, or leaves its directory."""
    return "\0" in name or any(part in ("", ".", "..") for part in name.split("/"))
