"""User queries: interruptible, with a time limit, without blocking other processes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from session_widgets._store import copying_out, failures
from session_widgets._store.connection import CONFIG, TYPE, UTC, StoreFile, quiet
from session_widgets._store.result import Result

ALONE_SECONDS = 0.25
"""How long a query may hold the file while another process waits; then it starts again on a copy."""
LOOK_SECONDS = 0.005

T = TypeVar("T")
Parameters = Sequence[Any] | Mapping[str, Any] | None
Frames = Mapping[str, Any]


def run(
    file: StoreFile, query: str, parameters: Parameters, timeout: float | None, frames: Frames | None = None
) -> Result:
    """Run a query on the file attached read-only, or on a copy if another process needs the file meanwhile.

    Args:
        file: the store's.
        query: one SELECT.
        parameters: of the query.
        timeout: seconds; None for no limit.
        frames: tables of the caller by name, as `frames.tables` returns them.

    Raises:
        TimeoutError: it was not finished within `timeout` seconds.
        duckdb.Error: the query is wrong.
        StoreBusy: the file was not free within 10 s.
        StoreError: the file is damaged.
    """
    begin = time.monotonic()
    until = None if timeout is None else begin + timeout

    def patient() -> bool:
        return time.monotonic() - begin < ALONE_SECONDS or not file.wanted()

    with file.alone() as deadline, file.attached_to_read(deadline) as connection:
        found = _Run(file.path, connection, query, parameters, frames).result(until, timeout, patient)
        if found is not None and copying_out.is_large(found):
            file.forget_reader()
        copy = None if found is not None else copy_attached(file)
        if found is None and copy is None:  # no room for a copy: the other processes keep waiting
            found = _Run(file.path, connection, query, parameters, frames).result(until, timeout)
    if copy is not None:
        found = on_copy(
            file, copy, lambda again: _Run(file.path, again, query, parameters, frames).result(until, timeout)
        )
    assert found is not None
    return found


def compute(query: str, parameters: Parameters, until: float, timeout: float) -> Result:
    """Run a query without a file, in the same way: interruptible, until a time.

    Raises:
        TimeoutError: it was not finished.
        duckdb.Error: the query is wrong.
    """
    connection = quiet(duckdb.connect(config=CONFIG))
    connection.execute("attach ':memory:' as store")
    found = _Run(None, connection, query, parameters).result(until, timeout)
    assert found is not None
    return found


def copy_attached(file: StoreFile) -> Path | None:
    """Copy the file, which is attached read-only and so does not change; None if there is no room.

    Another process makes the copy: a process loses its POSIX locks when it closes any descriptor of the file.
    """
    place = file.scratch.directory()
    names = [name for name in (file.path, file.path.with_name(file.path.name + ".wal")) if name.exists()]
    done = subprocess.run(["cp", "--", *names, place], capture_output=True, check=False, umask=0o077)
    if done.returncode == 0:
        return place / file.path.name
    _remove(place, file)
    return None


def on_copy(file: StoreFile, copy: Path, work: Callable[[duckdb.DuckDBPyConnection], T], name: str = "store") -> T:
    """Return what `work` finds on a copy that `copy_attached` made, attached as `name`; the copy is deleted."""
    connection = quiet(duckdb.connect(config=file.config()))
    connection.execute(UTC)
    try:
        quoted = str(copy).replace("'", "''")
        connection.execute(f"attach '{quoted}' as {name} ({TYPE}, read_only)")
        _remove(copy.parent, file)  # the attached file stays readable, and a crash leaves nothing behind
        found = work(connection)
        connection.execute(f"detach {name}")
    finally:
        _remove(copy.parent, file)
    return found


def discard(copy: Path, file: StoreFile) -> None:
    """Delete a copy of the file; connections that have it open can still read it."""
    _remove(copy.parent, file)


def _remove(place: Path, file: StoreFile) -> None:
    for left in place.iterdir() if place.exists() else ():
        with suppress(OSError):
            left.unlink()
    file.scratch.tidy()


class _Run:
    """A query in its own thread: DuckDB itself handles no signal and has no limit."""

    def __init__(
        self,
        path: Path | None,
        connection: duckdb.DuckDBPyConnection,
        query: str,
        parameters: Parameters,
        frames: Frames | None = None,
    ) -> None:
        self._path, self._connection, self._query, self._parameters = path, connection, query, parameters
        self._frames = frames or {}
        self._found: Result | None = None
        self._error: Exception | None = None
        self._over = threading.Event()

    def result(
        self, until: float | None, timeout: float | None, patient: Callable[[], bool] = lambda: True
    ) -> Result | None:
        """Run it and wait for the result; None once `patient` returns false."""
        try:
            self._start()
            while not self._over.wait(LOOK_SECONDS):
                if until is not None and time.monotonic() > until:
                    raise TimeoutError(
                        f"the query was not done after {timeout:g} s and was stopped. Narrow it down (by session_id, "
                        "by turn), or give it more time with sql(..., timeout=seconds)."
                    )
                if not patient():
                    return None
        finally:
            self._stop()
        if self._error is None:
            return self._found
        if self._path is not None and failures.is_damage(self._error, self._path):
            raise failures.failure(self._path, "read", self._error) from self._error
        raise self._error

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="session-widgets query", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._over.set()
            raise

    def _stop(self) -> None:
        """Wait until DuckDB has stopped, even after more interrupts: only then can the file be detached."""
        while not self._over.is_set():
            with suppress(KeyboardInterrupt):
                self._connection.interrupt()
                self._over.wait(LOOK_SECONDS)

    def _work(self) -> None:
        try:
            for name, frame in self._frames.items():
                self._connection.register(name, frame)
            self._found = copying_out.copy_out(self._connection, self._query, self._parameters)
        except Exception as error:  # passed on to the waiting thread
            self._error = error
        finally:
            self._over.set()
