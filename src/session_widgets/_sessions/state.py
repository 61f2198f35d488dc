"""The state that the parts of one session share in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Self

from session_widgets._sessions.activity import Activity
from session_widgets._sessions.journal import Journal
from session_widgets._sessions.limits import TurnLimits
from session_widgets._store import Store
from session_widgets.errors import SessionError, SessionGone, StoreBusy
from session_widgets.transcript.options import AgentOptions
from session_widgets.transcript.records import Event, SessionRecord
from session_widgets.transcript.sources import SharedFold
from session_widgets.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class Stored:
    """A session as stored when it is opened."""

    record: SessionRecord
    fold: SharedFold

    @classmethod
    def read(cls, store: Store, record: SessionRecord) -> Self:
        """Read the store. Blocks."""
        fold = SharedFold(
            record.id,
            replace(store.fold_state(record.id), session=record),
            after=store.last_seq(record.id),
            first_turn=record.turns + 1,
            options=AgentOptions.of(store.setting_events(record.id) if record.agent_session_id else ()),
        )
        return cls(record, fold)


class SessionState:
    """What the managers of one session share. Use it on the private loop.

    Attributes:
        record: the session's row, up to date with the journal.
        deleted: whether the session was deleted.
        detached: whether this process has disconnected from it.
        fold: the fold of the events, including the agent's options.
    """

    def __init__(
        self,
        stored: Stored,
        store: Store,
        workspace: Workspace,
        limits: TurnLimits,
        on_events: Callable[[list[Event]], None],
        wait_for_store: Callable[[StoreBusy | None], bool],
    ) -> None:
        self.record = stored.record
        self.store = store
        self.workspace = workspace
        self.limits = limits
        self.deleted = False
        self.detached = False
        self.activity = Activity()
        self.fold = stored.fold
        self.journal = Journal(store, stored.record.id, stored.fold.last_seq, on_events, wait_for_store)
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task and hold it until it ends; the loop itself holds tasks weakly."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def check_usable(self) -> None:
        """Raise `SessionGone` for a deleted session, `SessionError` for a detached one."""
        if self.deleted:
            raise SessionGone(f"session {self.record.id!r} was deleted. Open a new one with open_session().")
        if self.detached:
            raise SessionError(f"session {self.record.id!r} is detached. Call attach() first.")
