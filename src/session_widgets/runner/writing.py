"""Atomic file writes."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import threading

from session_widgets.host.jail import Place
from session_widgets.host.tree import TEMPORARY
from session_widgets.runner.jail import Jail
from session_widgets.runner.problems import Problem, conflict, invalid, telling

_naming = threading.Lock()


def etag(info: os.stat_result) -> str:
    """Return the identity of a file's content, as far as the file system shows it."""
    return f'"{info.st_size:x}-{info.st_mtime_ns:x}-{info.st_ino:x}"'


class Upload:
    """A new content for `path`: write it, `finish` it, and always `discard` it. All methods block.

    The data is written to a temporary file in the same directory, which is renamed at the end.
    """

    def __init__(self, jail: Jail, path: str, mode: int | None = None) -> None:
        self._path = path
        self._mode = mode
        self._temporary = TEMPORARY + secrets.token_hex(8)
        self.size = 0
        with jail.locate(path, create=True) as place:
            if place.name == "." or path.endswith("/"):
                raise invalid(f"path is not a file: {path}")
            _existing_file(place)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self._fd = os.open(self._temporary, flags, 0o666, dir_fd=place.directory)
            self._place = Place(os.dup(place.directory), place.name, place.path)

    def write(self, data: bytes) -> None:
        """Append `data`."""
        with telling(self._path):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self.size += len(data)

    def finish(self, if_match: str | None = None, if_none_match: str | None = None) -> tuple[str, str]:
        """Sync the content and put it in place; return the absolute path and the etag.

        Raises:
            Problem: 412 if the file does not match `if_match` or `if_none_match`.
        """
        directory = self._place.directory
        with telling(self._path):
            os.fsync(self._fd)
            with _naming:
                old = _existing_file(self._place)
                _check_conditions(self._path, old, if_match, if_none_match)
                mode = stat.S_IMODE(old.st_mode) if old and self._mode is None else self._mode
                if mode is not None:
                    os.fchmod(self._fd, mode)
                os.rename(self._temporary, self._place.name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
            return self._place.path, etag(os.fstat(self._fd))

    def discard(self) -> None:
        """Close, and delete unfinished data."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._place.directory)
        os.close(self._fd)
        os.close(self._place.directory)


def make_directory(jail: Jail, path: str) -> str:
    """Create a directory and its missing parents; an existing one is no error. Return its absolute path."""
    with jail.locate(path, create=True) as place:
        try:
            os.mkdir(place.name, dir_fd=place.directory)
        except FileExistsError:
            if not stat.S_ISDIR(place.stat().st_mode):
                raise conflict(f"path exists and is not a directory: {path}") from None
        return place.path


def move(jail: Jail, source: str, destination: str, *, overwrite: bool) -> tuple[str, str]:
    """Rename a file, directory or link itself; return both absolute paths."""
    with jail.locate(source, follow=False) as old:
        old.stat()  # before anything is created at the destination
        with jail.locate(destination, follow=False, create=True) as new, _naming:
            if "." in (old.name, new.name):
                raise invalid("the workspace itself cannot be moved or replaced")
            if not overwrite and _exists(new):
                raise invalid(f"destination already exists: {destination}")
            os.rename(old.name, new.name, src_dir_fd=old.directory, dst_dir_fd=new.directory)
            return old.path, new.path


def _exists(place: Place) -> bool:
    try:
        place.stat()
    except FileNotFoundError:
        return False
    return True


def _existing_file(place: Place) -> os.stat_result | None:
    """Return the status of the entry, or None; raise `Problem` if a file cannot replace it."""
    try:
        info = place.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(info.st_mode):
        raise invalid(f"path is not a file: {place.path}")
    return info


def _check_conditions(path: str, old: os.stat_result | None, if_match: str | None, if_none_match: str | None) -> None:
    tag = etag(old) if old else None
    if if_match is not None and not _names(if_match, tag):
        raise Problem(412, "precondition_failed", f"the file has changed: {path}", etag=tag)
    if if_none_match is not None and _names(if_none_match, tag):
        raise Problem(412, "precondition_failed", f"the file exists: {path}", etag=tag)


def _names(header: str, tag: str | None) -> bool:
    """Whether a list of etags contains `tag`; "*" matches any file."""
    return tag is not None and (header.strip() == "*" or tag in [part.strip() for part in header.split(",")])
