"""Reads files to import: lists them, recognises their format, and cuts them into records."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from session_widgets._store.formats import format_of
from session_widgets._store.formats.contract import Format, Head

HEAD = 256 * 1024
"""Bytes from which a format is recognised."""
HEAD_LINES = 40
LONGEST_LINE = 64 * 2**20
"""Bytes of a line that are read at once; a longer line is kept in pieces and not interpreted."""
DATABASES = frozenset({".duckdb", ".wal", ".line", ".db", ".sqlite"})
LARGEST_DOCUMENT = 256 * 2**20
"""Bytes of a document or an archive, which is read at once."""


@dataclass(slots=True)
class Line:
    """A line as it is in the file, without its line feed; `ended` whether it had one."""

    number: int
    offset: int
    data: bytes
    ended: bool
    part: bool = False


class NotJson(ValueError):
    """Data that cannot be decoded; the message is the reason."""


def files_below(path: Path) -> Iterator[Path]:
    """Yield a file, or the regular files below a directory, sorted; links to directories are not followed.

    Databases are left out: to close one that this process has attached would release its locks.
    """
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            found = Path(folder, name)
            if found.is_file() and found.suffix not in DATABASES:
                yield found


def recognise(path: Path) -> tuple[Format | None, str]:
    """Return the format of a file, or None and the reason."""
    try:
        with path.open("rb") as file:
            start = file.read(HEAD)
    except OSError as error:
        return None, f"it cannot be read: {error.strerror}"
    if not start.strip():
        return None, "it is empty"
    names: tuple[str, ...] = ()
    if start.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = tuple(archive.namelist())
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            return None, f"it is a damaged zip archive: {error}"
    elif start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in {b"{", b"["}:
        return None, "it is neither JSON nor an archive"
    head = Head(start, _first_values(start), lambda: _document(path), names)
    found = format_of(head)
    return found, "" if found else "no format recognises it"


def lines(file: BinaryIO, size: int) -> Iterator[Line]:
    """Yield the lines of the first `size` bytes of a file."""
    offset, number, part = 0, 1, False
    while offset < size and (data := file.readline(min(LONGEST_LINE, size - offset))):
        ended = data.endswith(b"\n")
        part_of = part or (not ended and offset + len(data) < size)
        yield Line(number, offset, data[:-1] if ended else data, ended, part_of)
        part = not ended
        number += ended
        offset += len(data)


def value_of(data: bytes) -> Any:
    """Decode a JSON value.

    Raises:
        NotJson: it is none.
    """
    try:
        return orjson.loads(data)
    except ValueError as error:
        return _patiently(data, error)


def _patiently(data: bytes, error: ValueError) -> Any:
    """Decode what orjson refuses: NaN, half of a surrogate pair, bytes that are no UTF-8."""
    try:
        text = data.decode("utf-8-sig", "replace")
        if not text.strip("\0"):
            raise NotJson("it has only NUL bytes")
        loose = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
        return json.loads(loose)
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except NotJson:
        raise
    except ValueError:
        raise NotJson(f"it is no JSON: {str(error)[:200]}") from None


def _first_values(start: bytes) -> list[Any]:
    values = []
    for data in io.BytesIO(start).readlines()[:HEAD_LINES]:
        try:
            values.append(value_of(data))
        except NotJson:
            continue
    return values


def _document(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_DOCUMENT:
            return None
        return value_of(path.read_bytes())
    except (OSError, NotJson):
        return None
