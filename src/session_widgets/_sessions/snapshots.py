"""Keeps the files of a session at each turn's end. Lives on the private loop.

The answer is shown first. What changes the files next (a prompt, a command, a write) waits until they are kept, at
most `PATIENCE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from weakref import WeakSet

from session_widgets._sessions.journal import kernel, note
from session_widgets._sessions.kept_files import KeptFiles
from session_widgets._sessions.loop import in_thread
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.sweeping import plan, size_of
from session_widgets.errors import FilesNotKept, SessionBusy, StoreError, WorkspaceError
from session_widgets.host.manifest import Entry, Manifest, scan
from session_widgets.transcript.notes import FilesDropped, FilesKept
from session_widgets.transcript.records import Draft, Event
from session_widgets.workspaces import Contents, Snapshot, contents_of, keep_snapshot
from session_widgets.workspaces.snapshot import MAX_BYTES, MAX_FILE_BYTES

LOG = logging.getLogger("session_widgets")
PATIENCE_SECONDS = 2.0
CARRY_SECONDS = 0.05
"""A prompt that follows within this time stores the note with its own, in one commit."""
EXIT_SECONDS = 5.0
RECENT = 4
"""Snapshots whose notes may not be stored yet."""
SHOWN = 20
"""Names of left out files in a note."""


class _Late(Exception):
    """The next prompt came before the files were listed."""


class SnapshotManager:
    """The snapshots of one session.

    Args:
        state: of the session.
        running: returns the number of the running turn.
    """

    def __init__(self, state: SessionState, running: Callable[[], int | None]) -> None:
        self._state = state
        self._running = running
        self.contents: Contents = contents_of(state.store.home, state.record.id, state.workspace)
        self._known: Mapping[str, Entry] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._late = threading.Event()
        self._listed = False
        self._over = threading.Event()
        self._over.set()
        self._notes: list[Draft] = []
        self._taking = threading.Lock()
        self._taken = asyncio.Event()
        self._unnoted: set[int | None] = set()
        self._news = asyncio.Event()
        self._failed: dict[int, str] = {}
        self._one = threading.Lock()
        self._made = 0
        self._recent: dict[int, str] = {}
        self._room = 0
        """Bytes that may be added before the contents are measured again."""

    def begin(self, turn: int, manifest: Manifest | None, *, saved: bool) -> None:
        """Keep the files at the end of a turn, in the background.

        Args:
            turn: its index.
            manifest: the verified files; None for a workspace whose files are only in its directory.
            saved: whether nothing failed to be saved.
        """
        if not saved or (manifest is None and self._state.workspace.copies):
            self._failed[turn] = "they were not verified to be saved"
            return
        self._late, self._listed, self._taken = threading.Event(), False, asyncio.Event()
        self._over.clear()
        _unfinished.add(self)
        self._keeping = self._state.spawn(in_thread(self._keep, turn, manifest, self._late))
        self._state.spawn(self._store(self._keeping, self._taken))

    def _keep(self, turn: int, manifest: Manifest | None, late: threading.Event) -> None:
        """Keep them. Blocks; a failure is no failure of the turn."""
        try:
            with self._one:
                if self._state.deleted:
                    return
                kept, _, _ = self._kept(turn, manifest, late)
            self._unnoted.add(turn)
            self.give_back([kept])
        except Exception as error:
            self._failed[turn] = str(error)
            absent = manifest is None and not self._state.workspace.path.is_dir()  # no sandbox has made it yet
            level = logging.DEBUG if absent else logging.WARNING
            LOG.log(
                level, "the files at the end of turn %s of %s were not kept: %s", turn, self._state.record.id, error
            )
        finally:
            self._over.set()

    def _kept(
        self, turn: int | None, manifest: Manifest | None, late: threading.Event
    ) -> tuple[Draft, str, Mapping[str, Entry]]:
        """Return the note, the name of the snapshot, and the entries that it was made of."""
        if manifest is None:
            manifest = scan(self._state.workspace.path, self._known, max_file_bytes=MAX_FILE_BYTES)
            self._known = manifest.entries
        if late.is_set():
            raise _Late("the next prompt came before they were listed")
        self._listed = True
        name, snapshot = keep_snapshot(self.contents, manifest, late.is_set)
        if name not in self._recent.values():
            self._room -= size_of({name, *snapshot.names})
        self._made += 1
        self._recent[self._made] = name
        self._recent.pop(self._made - RECENT, None)
        said = FilesKept(
            turn=turn,
            snapshot=name,
            files=sum(entry.kind != "directory" for entry in snapshot.entries.values()),
            size=snapshot.size,
            left_out=[{"path": path, "reason": why} for path, why in list(snapshot.left_out.items())[:SHOWN]],
            left_out_count=len(snapshot.left_out),
            process=kernel(),
        )
        return note(said, source="" if turn is None else f"turn:{turn}:files"), name, manifest.entries

    async def keep_present(self, manifest: Manifest | None) -> tuple[Draft, KeptFiles, Mapping[str, Entry]]:
        """Keep the present files; no turn may be running.

        Returns:
            The note to store, the kept files, and all entries that exist.

        Raises:
            WorkspaceError: nothing can be kept.
        """
        await self.settled()
        kept, name, present = await in_thread(self._kept_alone, manifest)
        return kept, self._files(name, None), present

    def _kept_alone(self, manifest: Manifest | None) -> tuple[Draft, str, Mapping[str, Entry]]:
        with self._one:
            return self._kept(None, manifest, threading.Event())

    async def _store(self, keeping: asyncio.Task[None], taken: asyncio.Event) -> None:
        await keeping
        with suppress(TimeoutError):
            async with asyncio.timeout(CARRY_SECONDS):
                await taken.wait()
        try:
            await self._store_notes()
            await self._sweep()
        except (StoreError, WorkspaceError, RuntimeError) as error:  # RuntimeError: no thread starts at the exit
            # the next turn, or the exit of the process, does it
            LOG.info("the kept files of session %s wait: %s", self._state.record.id, error)

    async def _sweep(self) -> None:
        """Delete the oldest snapshots if all of them are too large."""
        if self._state.deleted or self._room > 0:
            return
        await in_thread(self._measure)
        if self._room >= 0:
            return
        made = self._made
        kept = [one.snapshot for one in await self._noted()]
        new = [name for name in self._recent.values() if name not in kept]
        sweep = await in_thread(plan, self.contents, [*kept, *new], MAX_BYTES)
        if sweep is None or self._state.deleted:
            return
        if sweep.snapshots:
            await self._state.journal.commit([note(FilesDropped(snapshots=sweep.snapshots))])
        await in_thread(self._delete, sweep.contents, new, made)

    def _measure(self) -> None:
        with self._one:
            self._room = MAX_BYTES - size_of(self.contents.names())

    def _delete(self, names: frozenset[str], new: list[str], made: int) -> None:
        """Delete contents, except those of snapshots that are not noted yet or were made since. Blocks."""
        with self._one:
            recent = {*new, *(name for number, name in self._recent.items() if number > made)}
            needed = {one for name in recent for one in (name, *Snapshot.decode(self.contents.read(name)).names)}
            self.contents.delete(names - needed)

    async def _store_notes(self) -> None:
        notes = self.take_notes()
        if notes and not self._state.deleted:
            try:
                await self._state.journal.commit(notes)
            except BaseException:
                self.give_back(notes)
                raise

    def give_back(self, notes: list[Draft]) -> None:
        """Take notes that are not stored yet."""
        with self._taking:
            self._notes = [*notes, *self._notes]
        _unfinished.add(self)

    def take_notes(self) -> list[Draft]:
        """Return the notes that are not stored yet: the caller stores them."""
        with self._taking:
            notes, self._notes = self._notes, []
        self._taken.set()
        _unfinished.discard(self)
        return notes

    @property
    def apart(self) -> bool:
        """Whether a prompt may come first: files are kept from the bucket, which only the end of a turn changes."""
        return self._state.workspace.attachment in {"sync", "direct"}

    async def settles(self) -> bool:
        """Wait a moment until a prompt may change the files; whether it may."""
        if self.apart:
            return True
        if self._keeping is not None and not self._keeping.done():
            await asyncio.wait({self._keeping}, timeout=CARRY_SECONDS)
        return self._keeping is None or self._keeping.done()

    async def settled(self) -> None:
        """Wait until the files may change."""
        if self._keeping is None or self._keeping.done():
            return
        await asyncio.wait({self._keeping}, timeout=PATIENCE_SECONDS)
        self._late.set()
        if self._listed:
            await asyncio.wait({self._keeping})

    async def remove(self) -> None:
        """Delete them all, with the session."""
        self._late.set()
        await self.settled()
        await in_thread(self.contents.remove)

    async def files_at_end(self, turn: int) -> KeptFiles:
        """Return the files at the end of a turn.

        Raises:
            SessionBusy: the turn is running.
            FilesNotKept: they were not kept, or were deleted since.
        """
        if self._running() == turn:
            raise SessionBusy(f"turn {turn} of session {self._state.record.id!r} is running; wait for its end.")
        await self._stored()
        kept = await self._noted()
        found = next((one for one in reversed(kept) if one.turn == turn), None)
        if found is None:
            why = self._failed.get(turn) or "the kernel ended before that, or they made room for newer ones"
            raise FilesNotKept(f"the files at the end of turn {turn} were not kept, or no longer: {why}.")
        files = self._files(found.snapshot, turn)
        await asyncio.to_thread(len, files)
        return files

    async def all(self) -> list[KeptFiles]:
        """Return all kept files, oldest first."""
        await self._stored()
        return [self._files(one.snapshot, one.turn) for one in await self._noted()]

    async def _noted(self) -> list[FilesKept]:
        return await self._state.journal.ask(self._state.store.kept_files, self._state.record.id)

    async def _stored(self) -> None:
        """Wait until the latest are kept and noted; a prompt may be storing the note."""
        if self._keeping is not None:
            await asyncio.wait({self._keeping})
        while self._unnoted and not self._state.deleted:
            self._news.clear()
            await self._store_notes()
            if self._unnoted:
                with suppress(TimeoutError):  # it may have given the note back
                    async with asyncio.timeout(CARRY_SECONDS):
                        await self._news.wait()

    def take_note(self, event: Event) -> None:
        """Follow a committed note."""
        if event.kind == FilesKept.kind:
            self._unnoted.discard(FilesKept.decode(event.payload).turn)
            self._news.set()

    def _files(self, name: str, turn: int | None) -> KeptFiles:
        return KeptFiles(
            self.contents, name, "the time before a restore" if turn is None else f"the end of turn {turn}"
        )

    def finish(self) -> None:
        """Store what is kept, at the exit of the process. Blocks."""
        if self._over.wait(EXIT_SECONDS) and (notes := self.take_notes()) and not self._state.deleted:
            self._state.store.append(self._state.record.id, notes)


_unfinished: WeakSet[SnapshotManager] = WeakSet()


@atexit.register
def _finish_all() -> None:
    for manager in tuple(_unfinished):
        with suppress(Exception):
            manager.finish()
