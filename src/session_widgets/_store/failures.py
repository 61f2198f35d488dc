"""Translates errors of DuckDB and the operating system into errors that name the file and the remedy."""

from __future__ import annotations

import os
import re
from pathlib import Path

import duckdb
import psutil

from session_widgets._store.redaction import redactor
from session_widgets.errors import StoreBusy, StoreError
from session_widgets.printing import one_line

_HELD = ("Conflicting lock is held", "Unique file handle conflict")
_HOLDER = re.compile(r"\(PID (\d+)\)")
_FULL = re.compile(r"No space left|File too large|Disk quota", re.IGNORECASE)
_READ_ONLY = re.compile(r"Read-only file system|Permission denied", re.IGNORECASE)
_DAMAGED = re.compile(r"Corrupt|checksum|not a valid DuckDB|Failed to deserialize|invalidated because", re.IGNORECASE)
_DAMAGE = (duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)


def is_held(error: Exception) -> bool:
    """Whether the file could not be attached because another process holds it."""
    return any(sign in str(error) for sign in _HELD)


def is_damage(error: Exception, path: Path) -> bool:
    """Whether a query failed because of the file, and not because of its text."""
    if isinstance(error, _DAMAGE) or "Corrupt database file" in str(error):
        return True
    return isinstance(error, duckdb.IOException) and str(path) in str(error)


def a_line_higher(error: duckdb.Error) -> duckdb.Error:
    """Return the error of a query that stood below a line of ours as one of the query alone."""
    said = re.sub(r"^LINE (\d+):", lambda found: f"LINE {int(found[1]) - 1}:", str(error), flags=re.MULTILINE)
    return type(error)(said)


def failure(path: Path, what: str, error: Exception) -> StoreError:
    """Return the error of a DuckDB operation on the file."""
    reason = str(error).partition("\n")[0].rstrip(".")
    return StoreError(f"cannot {what} the store {path}: {reason}.{_hint(path, reason, error)}")


def unusable(path: Path, error: OSError) -> StoreError:
    """Return the error of a file system operation beside the file."""
    return StoreError(f"cannot use the store {path}: {error.strerror}.{_hint(path, str(error.strerror), error)}")


def busy(path: Path, waited: float, pid: int | None) -> StoreBusy:
    """Return the error for a file that was not free in time; `pid` is the holder, if known."""
    who = f"process {pid} ({_describe(pid)})" if pid is not None else "other processes wait for it and"
    verb = "holds it" if pid is not None else "stand before this one"
    return StoreBusy(
        f"the store {path} was not free within {waited:g} s: {who} {verb}. "
        "Close it there (DuckDB lets one process at a time write a file), or use another store.",
        pid=pid,
    )


def holder(error: Exception) -> int:
    """Return the process that holds the file, from DuckDB's message; this one if it names none."""
    found = _HOLDER.search(str(error))
    return int(found.group(1)) if found else os.getpid()


def _hint(path: Path, reason: str, error: Exception) -> str:
    if _FULL.search(reason):
        return (
            " The disk is full: nothing of this was stored. Make room there, then try again: a few MB are enough to "
            "delete sessions, and then sw.store().compact() gives their space back."
        )
    if "Could not set lock on file" in reason or "No locks available" in reason:
        return (
            f" The file system there ({_file_system(path)}) gives no file locks, so nothing keeps two writers apart. "
            "Put the store on a local disk: set SESSION_WIDGETS_HOME, or name another path."
        )
    if _READ_ONLY.search(reason):
        return " It is read-only there: it can be read, but nothing can be stored."
    if isinstance(error, _DAMAGE) or _DAMAGED.search(reason):
        return (
            f" The file is damaged. Put a copy of {path.name} and {path.name}.wal from a backup in its place, or move "
            "both away, and a new store is made; `duckdb -readonly` may still read parts of the old one."
        )
    return ""


def _file_system(path: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if path.is_relative_to(part.mountpoint)]
    found = max(mounts, key=lambda part: len(part.mountpoint), default=None)
    return f"{found.fstype} at {found.mountpoint}" if found else "unknown"


def _describe(pid: int) -> str:
    """Return the command line of a process, cut short."""
    if pid == os.getpid():
        return "this one"
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return "already gone"
    return one_line(redactor().plain(command), 120) or "unknown"
