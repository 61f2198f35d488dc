"""The file: attached only while needed, so that many processes share it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from session_widgets._store import failures, migrations, torn_blocks
from session_widgets._store.file_queue import FairLock, FileQueue, pause
from session_widgets._store.scratch import Scratch
from session_widgets._store.statements import execute
from session_widgets.errors import StoreError

LOG = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds to wait for the file before `StoreBusy`."""
LINGER = 0.025
"""Seconds that the file stays attached after a commit, unless another process waits in the queue."""
LONG = 1.0
"""The same between the batches of an import: each detach compresses the last rows of every column again."""
WATCH = 0.002
"""Seconds between two checks of the queue meanwhile."""
SHARE = 0.050
"""Seconds that commits without a pause may hold the file while another process waits in the queue."""
TYPE = "type duckdb"
"""Of every file that is attached. Without it DuckDB 2.0.1 reads the header before it has the lock, to find the type,
and goes on from that header even if another process wrote a newer one meanwhile, whose commits are then lost."""
Config = dict[str, str | bool | int | float | list[str]]
BULK = ", row_group_size 4096"
"""For imports. A checkpoint compresses the last row group again: with DuckDB's 122,880 rows it takes a second."""
NEW = ", block_size 65536"
"""Of a new file: a column's part of a row group ends in a block that is filled no further. DuckDB has 256 KB."""
CHECKPOINT = {False: "16MB", True: "8MB"}
"""Bytes of commits after which a checkpoint is made, ordinarily and in an import: it needs memory, and others wait."""
UTC = "set global timezone = 'UTC'"
"""Of all cursors of a connection: times come out the same on every machine."""
QUIET = "set enable_progress_bar = false"
"""Of each connection and cursor: in a notebook DuckDB draws a bar after 2 s of a statement that writes."""
CONFIG: Config = {
    "autoinstall_known_extensions": False,
    "allocator_flush_threshold": "1MB",  # else each thread keeps up to 128 MB that a query has freed
    "allocator_bulk_deallocation_flush_threshold": "1MB",
}


def quiet(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return a connection or cursor that prints no progress."""
    connection.execute(QUIET)
    return connection


class StoreFile:
    """A DuckDB file that this process attaches and detaches.

    Two in-memory connections do the work: one writes, with a single thread because commits are small; one
    reads, with the file attached read-only, so that readers in many processes can read at the same time.

    Attributes:
        attachment: counts the writer's attachments; while it stays the same, no other process wrote.
    """

    def __init__(self, path: Path, *, patience: float = PATIENCE) -> None:
        self.path = path
        self.attachment = 0
        self._patience = patience
        self._room = FairLock()
        self._line = FileQueue(path)
        self.scratch = Scratch(path)
        self._known: tuple[int, int] | None = None
        self._log_read: torn_blocks.Log | None = None
        self._writer: duckdb.DuckDBPyConnection | None = None
        self._reader: duckdb.DuckDBPyConnection | None = None
        self._attached = self._bulk = False
        self._holder: int | None = None
        """The process that a thread of this one waits for, with the room."""
        self._attached_since = 0.0
        self._last_commit = 0.0
        self._long_job = False
        self._used = threading.Event()
        self._closed = False
        self._keeper: threading.Thread | None = None

    @contextmanager
    def transaction(
        self, undo: Callable[[], object] = lambda: None, *, bulk: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection inside a transaction that is committed at the end; the file is attached as `store`.

        Args:
            undo: called if the transaction fails, before the file is released.
            bulk: it inserts much text.

        Raises:
            StoreBusy: the file was not free within 10 s.
            StoreError: DuckDB failed; nothing of the transaction was stored.
        """
        with self.alone() as deadline:
            connection = self._attach_to_write(deadline, bulk=bulk)
            try:
                self._make_log()
                execute(connection, "begin")
                yield connection
                execute(connection, "commit")
            except BaseException as error:
                undo()
                self._give_up(connection)
                if isinstance(error, duckdb.Error):
                    raise failures.failure(self.path, "write to", error) from error
                raise
            self._stay_a_moment()

    @contextmanager
    def looking(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection for our queries: the writer's while it holds the file, else attached read-only.

        Raises:
            StoreBusy: the file was not free within 10 s.
            StoreError: the file cannot be read, for example because it is damaged.
        """
        with self.alone() as deadline:
            try:
                if self._attached and self._writer is not None and self._identity() == self._known:
                    yield quiet(self._writer.cursor())
                    self._stay_a_moment()
                else:
                    with self.attached_to_read(deadline) as connection:
                        yield connection
            except duckdb.Error as error:
                self._give_up_reading()
                raise failures.failure(self.path, "read", error) from error

    @contextmanager
    def attached_to_read(self, deadline: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a separate connection with the file attached read-only as `store`, within `alone`."""
        self._detach()
        with self._in_line(deadline):
            self._make_ready(deadline)
            reader = self._attach_reader(deadline)
        try:
            yield quiet(reader.cursor())
        finally:
            try:
                reader.execute("detach store")
            except duckdb.Error:
                self._reader = None

    @contextmanager
    def rewriting(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield the writer with the file attached, and block the queue until the end.

        Other processes then attach the file that is at its path.
        """
        with self.alone() as deadline:
            self._detach()
            with self._in_line(deadline):
                self._make_ready(deadline)
                try:
                    yield self._attach_writer(deadline)
                except duckdb.Error as error:
                    raise failures.failure(self.path, "write again", error) from error
                finally:
                    self._detach()
                    self._drop_writer()
                    self._known = self._identity()

    @contextmanager
    def long_job(self) -> Iterator[None]:
        """Keep the file attached between transactions, as long as nobody else waits for it."""
        self._long_job = True
        try:
            yield
        finally:
            self._long_job = False

    def wanted(self) -> bool:
        """Whether a thread of this process or another process waits for the file."""
        return self._room.wanted() or self._line.occupied()

    def forget_reader(self) -> None:
        """Within `alone`: use a new instance of DuckDB for the next query; a large result ends with its instance."""
        self._reader = None

    def close(self) -> None:
        """Detach the file and close."""
        with self.alone(), contextlib.suppress(duckdb.Error):
            self._closed = True
            self._detach()
            self._drop_writer()
            self._reader = None  # returned results still use its memory
            self.scratch.tidy()
        if self._keeper is not None:
            self._used.set()
            self._keeper.join()

    @contextmanager
    def alone(self) -> Iterator[float]:
        """Exclude the other threads of this process; yield the deadline for the file."""
        deadline = time.monotonic() + self._patience
        if not self._room.enter(deadline):
            raise failures.busy(self.path, self._patience, self._holder or os.getpid())
        try:
            if self._closed:
                raise StoreError(f"the store {self.path} is closed; open it again with store()")
            yield deadline
        finally:
            self._room.leave()

    def _attach_to_write(self, deadline: float, *, bulk: bool) -> duckdb.DuckDBPyConnection:
        if bulk and not self._bulk:
            self._detach()
        if self._attached and self._writer is not None:
            return self._writer
        with self._in_line(deadline):
            self._make_ready(deadline)
            return self._attach_writer(deadline, bulk=bulk)

    def _attach_writer(self, deadline: float, *, bulk: bool = False) -> duckdb.DuckDBPyConnection:
        if self._writer is None:
            self._writer = quiet(duckdb.connect(config={**self.config(), "threads": 1}))
            self._writer.execute(UTC)
            self._bulk = False
        if bulk != self._bulk:
            self._writer.execute(f"set checkpoint_threshold = '{CHECKPOINT[bulk]}'")
        new = self._identity() is None
        if new:
            with contextlib.suppress(OSError):
                self.path.unlink()  # DuckDB refuses the empty file of a process that was killed as it made it
        self._attach(self._writer, (BULK if bulk else "") + (NEW if new else ""), deadline)
        self._bulk = bulk
        if new:
            self.path.chmod(0o600)  # before the first write
        self._attached = True
        self.attachment += 1
        self._attached_since = time.monotonic()
        return self._writer

    def _attach_reader(self, deadline: float) -> duckdb.DuckDBPyConnection:
        if self._reader is None:
            self._reader = duckdb.connect(config=self.config())
            self._reader.execute(UTC)
        self._attach(self._reader, ", read_only", deadline)
        return self._reader

    def _attach(self, connection: duckdb.DuckDBPyConnection, options: str, deadline: float) -> None:
        quoted = str(self.path).replace("'", "''")
        mended: dict[int, torn_blocks.Mended] = {}
        while True:
            log = torn_blocks.log_of_a_killed_process(self.path)
            try:
                connection.execute(f"attach '{quoted}' as store ({TYPE}{options})")
                if log and log != self._log_read:
                    torn_blocks.read_metadata(connection)
            except duckdb.Error as error:
                with contextlib.suppress(duckdb.Error):
                    connection.execute("detach store")
                if failures.is_held(error):
                    self._holder = failures.holder(error)
                    if time.monotonic() > deadline:
                        raise failures.busy(self.path, self._patience, self._holder) from error
                    pause(longest=0.005)
                    continue
                block = torn_blocks.mend(self.path, error) if log else None
                if block is None or block.place in mended:
                    for each in mended.values():
                        torn_blocks.undo(self.path, each)
                    raise failures.failure(self.path, "open", error) from error
                mended[block.place] = block
            else:
                self._holder, self._log_read = None, log
                for each in mended.values():
                    LOG.warning(
                        "a process was killed as it wrote the block at %d of %s; its checksum was corrected from %d "
                        "to %d, and nothing is lost",
                        each.place, self.path, each.old, each.new,
                    )  # fmt: skip
                return

    def _make_ready(self, deadline: float) -> None:
        """Make sure that the file has this release's tables, unless this file was already checked."""
        if self._known is not None and self._identity() == self._known:
            return
        version = None
        if self._identity() is not None:
            reader = self._attach_reader(deadline)
            try:
                version = migrations.version(reader, self.path)
            finally:
                reader.execute("detach store")
        if version != migrations.LATEST:
            writer = self._attach_writer(deadline)
            try:
                self._make_log()
                writer.execute("begin")
                migrations.migrate(writer, self.path)
                writer.execute("commit")
            except BaseException as error:
                self._give_up(writer)
                if isinstance(error, duckdb.Error):
                    raise failures.failure(self.path, "make the tables of", error) from error
                raise
            self._detach()
        self._known = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return (found.st_dev, found.st_ino) if found.st_size else None

    @contextmanager
    def _in_line(self, deadline: float) -> Iterator[None]:
        try:
            entered = self._line.enter(deadline)
        except OSError as error:
            raise failures.unusable(self.path, error) from error
        if not entered:
            raise failures.busy(self.path, self._patience, None)
        try:
            yield
        finally:
            self._line.leave()

    def _stay_a_moment(self) -> None:
        """Keep the file attached for the next commit, unless its time is over and another process waits."""
        self._last_commit = time.monotonic()
        if self._last_commit - self._attached_since > SHARE and self._line.occupied():
            self._detach()
            return
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep_watch, name="session-widgets store", daemon=True)
            self._keeper.start()
        self._used.set()

    def _keep_watch(self) -> None:
        """Detach the file after a pause without commits, earlier if another process waits."""
        while not self._closed:
            self._used.wait()
            time.sleep(WATCH)
            if not self._time_is_over() or not self._room.enter(time.monotonic()):
                continue
            try:
                if self._time_is_over():
                    self._used.clear()
                    self._detach()
            finally:
                self._room.leave()

    def _time_is_over(self) -> bool:
        idle = time.monotonic() - self._last_commit
        return idle > (LONG if self._long_job else LINGER) or (idle > WATCH and self._line.occupied())

    def _detach(self) -> None:
        """Detach the file; commits stay in the write-ahead log if they cannot be moved to the file."""
        if self._attached and self._writer is not None:
            self._attached = False
            try:
                self._writer.execute("detach store")
            except duckdb.Error:
                self._drop_writer()

    def _give_up(self, connection: duckdb.DuckDBPyConnection) -> None:
        with contextlib.suppress(duckdb.Error):
            connection.execute("rollback")
        self._detach()

    def _give_up_reading(self) -> None:
        """Close connections that a damaged file may have made unusable."""
        self._detach()
        self._drop_writer()
        self._reader = None

    def _make_log(self) -> None:
        """Create the write-ahead log before DuckDB does, readable only by its owner (0600)."""
        log = self.path.with_name(self.path.name + ".wal")
        try:
            os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return
        except OSError as error:
            raise failures.unusable(self.path, error) from error

    def config(self) -> Config:
        """Return the configuration of a connection whose spilled data only this user can read."""
        return {**CONFIG, "temp_directory": str(self.scratch.directory())}

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(duckdb.Error):
                writer.close()
