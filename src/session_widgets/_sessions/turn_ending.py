"""Proves the files of a turn durable and stores its end: once, by any process. Lives on the private loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from session_widgets._sandboxes import Sandbox
from session_widgets._sessions.agent import Agent
from session_widgets._sessions.journal import note
from session_widgets._sessions.resume import readable
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.snapshots import SnapshotManager
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.turn import Turn
from session_widgets.acp import Received
from session_widgets.acp.messages import CHANGES
from session_widgets.errors import NotDurable, NotFound, SessionWidgetsError, TransportError, WorkspaceError
from session_widgets.host.manifest import Manifest
from session_widgets.printing import printable
from session_widgets.transcript.notes import PersistStarted, TurnEnded
from session_widgets.transcript.records import Draft, FileChange, TurnStatus

QUIET_SECONDS = 0.5
"""Seconds after which an operation is shown to the user."""
UNREACHABLE = "unreachable: the sandbox does not answer. Its files are still there; send again when it does."
GRACE_SECONDS = 2
"""How long saving the files of a stopped turn may still take."""


class TurnEnding:
    """The end of one turn.

    Args:
        state: of the session.
        sandboxes: of the session.
        snapshots: of the session.
        turn: the turn.
        snapshot: name of the runner's snapshot that was taken before the prompt.

    Attributes:
        begun: whether the end is being stored, so that a cancellation waits for it.
        stopped: set when the turn is cancelled.
    """

    def __init__(
        self, state: SessionState, sandboxes: SandboxManager, snapshots: SnapshotManager, turn: Turn, snapshot: str
    ) -> None:
        self.begun = False
        self.stopped = asyncio.Event()
        self._state = state
        self._sandboxes = sandboxes
        self._snapshots = snapshots
        self._turn = turn
        self._snapshot = snapshot
        self._saved: Manifest | None = None

    def with_answer(self, agent: Agent, part: Sequence[Received]) -> list[Draft]:
        """Return the end of the turn if `part` ends with the answer that completes it, and no file has to be saved.

        The runner has just listed the directory: nothing in it has changed.
        """
        *before, last = [received.message for received in part]
        result, told = last.get("result"), (message.get("method") for message in before)
        if not isinstance(result, dict) or result.get("stopReason") == "cancelled":
            return []
        if not self._sandboxes.works_at_location:
            return []  # earlier changes, and files that no snapshot lists, are not saved yet
        if not {"session/update", CHANGES}.issuperset(told):
            return []  # a request or an answer of others comes first
        changes = next((m["params"] for m in before if m.get("method") == CHANGES), agent.changes)
        if changes.get("snapshot") != self._snapshot or changes["changes"] or changes["truncated"]:
            return []
        self.begun = True
        now, reason = datetime.now(UTC).isoformat(), result.get("stopReason")
        return [self._draft(TurnEnded(status="completed", stop_reason=reason, durable_at=now))]

    async def store(
        self, status: TurnStatus, stop_reason: str | None, error: str | None, *, agent: Agent | None, prompted: bool
    ) -> None:
        """Save the files and store the end, unless it is stored.

        Args:
            status: of the turn.
            stop_reason: ACP's.
            error: for people.
            agent: the agent, if one was ready.
            prompted: whether its prompt was stored.
        """
        state = self._state
        if self._is_stored:
            self._over()
            return
        reachable = status != "failed" or await self._sandboxes.answers()
        saved = await self._changes(agent, prompted) if reachable else ((), None, UNREACHABLE)
        files, durable_at, durability_error = saved
        end = self._draft(
            TurnEnded(
                status=status,
                stop_reason=stop_reason,
                error=error,
                files=files,
                durable_at=durable_at,
                durability_error=durability_error,
            )
        )
        try:
            await state.journal.commit([end])
        except Exception as failure:  # if the end cannot be stored, waiting calls must end anyway
            text = f"{error or ''} The transcript could not be stored: {failure}".strip()
            self._turn.fail_unsaved(end, text)
            state.activity.tell(None)
        else:
            self._over(saved=durability_error is None)

    def _draft(self, ended: TurnEnded) -> Draft:
        return note(ended, turn=self._turn.index, source=f"turn:{self._turn.index}:end")

    @property
    def _is_stored(self) -> bool:
        with self._state.fold.lock:
            fold = self._state.fold.fold
            return self._turn.index in fold.turns and fold.turn(self._turn.index).ended_at is not None

    def _over(self, *, saved: bool = True) -> None:
        self._snapshots.begin(self._turn.index, self._saved, saved=saved)
        self._turn.finish()
        self._state.activity.tell(None)

    async def _changes(
        self, agent: Agent | None, prompted: bool
    ) -> tuple[tuple[FileChange, ...], str | None, str | None]:
        """Return the turn's changed files, when they were verified to be saved, or why not."""
        sandbox = self._sandboxes.sandbox
        if sandbox is None and (not prompted or self._sandboxes.works_at_location):
            return (), None, None
        files: tuple[FileChange, ...] = ()
        try:
            files = await self._changed_files(sandbox, agent)
        except SessionWidgetsError as error:
            if self._sandboxes.works_at_location:  # otherwise unknown which files to sync to disk
                return (), None, readable(error)
        try:
            await self._persist(files)
        except WorkspaceError as error:
            return files, None, printable(f"{error.reason}: {error}")
        except Exception as error:  # in any case, the turn ends
            return files, None, readable(error)
        return files, datetime.now(UTC).isoformat(), None

    async def _changed_files(self, sandbox: Sandbox | None, agent: Agent | None) -> tuple[FileChange, ...]:
        if sandbox is None:
            return ()
        if agent is not None and agent.changes.get("snapshot") == self._snapshot:
            return sandbox.runner.changes_of(agent.changes)
        with suppress(NotFound, TransportError):  # without a runner there is no snapshot to compare with
            return await sandbox.runner.changes(self._snapshot)
        return ()

    async def _persist(self, files: Sequence[FileChange]) -> None:
        """Run the barrier; show it if it takes time, and wait only briefly after a cancellation."""
        state = self._state
        await self._snapshots.settled()
        saving, stopped = state.spawn(self._sandboxes.persist(files)), state.spawn(self.stopped.wait())
        try:
            done, _ = await asyncio.wait({saving, stopped}, timeout=QUIET_SECONDS, return_when="FIRST_COMPLETED")
            if not done:
                started = PersistStarted(attachment=state.workspace.attachment)
                await state.journal.commit([note(started, turn=self._turn.index)])
                await asyncio.wait({saving, stopped}, return_when="FIRST_COMPLETED")
            if stopped.done():
                await asyncio.wait({saving}, timeout=GRACE_SECONDS)
            if not saving.done():
                saving.cancel()
                raise NotDurable("the turn was stopped before its files were verified.", reason="interrupted")
            self._saved = saving.result()
        finally:
            stopped.cancel()
