"""Reads the messages of a session's agents: stores them, and passes them on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from session_widgets._sessions.agent import Agent
from session_widgets._sessions.answers import ForeignAnswer
from session_widgets._sessions.journal import note
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.pump import Pump
from session_widgets._sessions.resume import MemoryRestorer
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.state import SessionState
from session_widgets.acp import Received
from session_widgets.errors import TransportError
from session_widgets.transcript.envelopes import is_of_subagent, update_of
from session_widgets.transcript.notes import AgentEnd, AgentStopped
from session_widgets.transcript.records import Draft

OUTAGE_SECONDS = 120.0
"""How long the network between here and a vendor's machine may be broken during a turn."""


class RunningTurn(Protocol):
    """The running turn, for its agent's messages; `TurnManager` implements it."""

    @property
    def running(self) -> int | None:
        """Its number, in any process."""

    @property
    def completed(self) -> bool | None:
        """Whether the latest turn has a complete answer; None if this process has not seen its end."""

    async def of_messages(self) -> int | None:
        """Return the turn of messages that arrive now."""

    def heard(self, agent: Agent, size: int) -> None:
        """Record that an agent has sent `size` bytes."""

    def closing(self, agent: Agent, part: list[Received]) -> list[Draft]:
        """Return the turn's end, if these messages of its agent are all that it waits for."""

    async def delivered_or_not(self, agent: Agent) -> None:
        """Wait until it is known whether an agent that has ended received the prompt."""


class AgentReader:
    """Reads one agent at a time, in a task, until it ends.

    Args:
        state: of the session.
        sandboxes: of the session.
        permissions: of the session.
        turns: returns the running turn.
        current: returns the session's agent; another one is still being started.
    """

    def __init__(
        self,
        state: SessionState,
        sandboxes: SandboxManager,
        permissions: PermissionBroker,
        turns: Callable[[], RunningTurn],
        current: Callable[[], Agent | None],
    ) -> None:
        self._state = state
        self._sandboxes = sandboxes
        self._permissions = permissions
        self._turns = turns
        self._current = current
        self._task: asyncio.Task[None] | None = None

    def start(self, agent: Agent, restorer: MemoryRestorer | None) -> asyncio.Task[None]:
        """Read an agent; `restorer` gets the updates that it sends while its memory is restored."""

        def on_request(agent: Agent, message: dict[str, Any]) -> None:
            self._permissions.take(agent, message, self._turns().running)

        def on_update(message: dict[str, Any]) -> None:
            update = update_of(message)
            if not is_of_subagent(message, agent.session_id):
                agent.settings.apply_update(update)
            if self._current() is agent:
                self._permissions.take_update(update)
            if restorer is not None and self._current() is not agent:
                restorer.take_update(message)

        async def turn() -> int | None:
            return await self._turns().of_messages() if self._current() is agent else None

        def on_bytes(size: int) -> None:
            self._turns().heard(agent, size)

        async def on_answered(agent: Agent, message: dict[str, Any]) -> None:
            await self._permissions.check(agent, message, self._turns().running)

        def closing(part: list[Received]) -> list[Draft]:
            return self._turns().closing(agent, part)

        pump = Pump(agent, self._state.journal, turn, on_request, on_update, on_bytes, on_answered, closing)
        self._task = self._state.spawn(self._run(agent, pump))
        return self._task

    async def stop(self) -> None:
        """Stop reading; the agent keeps running."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def note_end(self, agent: Agent, reason: AgentEnd, error: Exception | None = None) -> None:
        """Store the end of an agent, unless it is stored already."""
        if agent.end_stored:
            return
        with suppress(Exception):  # the turn has the error; a full disk may refuse this note as well
            await self._state.journal.commit([stopped(agent, reason, error)])
            agent.end_stored = True

    async def _run(self, agent: Agent, pump: Pump) -> None:
        reason: AgentEnd = "exited"
        error = None
        try:
            await self._read(agent, pump)
        except Exception as failure:  # any end of the stream must end those that wait for it
            reason, error = "lost", failure
            agent.dead = failure
            agent.peer.fail_all(failure)
        await self._turns().delivered_or_not(agent)
        await self.note_end(agent, reason, error)
        if isinstance(error, ForeignAnswer):  # nobody has approved its next actions
            await agent.connection.close()
        else:
            await agent.connection.detach()

    async def _read(self, agent: Agent, pump: Pump) -> None:
        """Read an agent to its end; where its sandbox goes on without us, an outage of the network only delays it."""
        while True:
            try:
                return await pump.run()
            except TransportError as error:
                if not await self._sandboxes.may_come_back():
                    raise
                if time.monotonic() - agent.connection.heard_at > OUTAGE_SECONDS:
                    raise TransportError(
                        f"the sandbox has not answered for {OUTAGE_SECONDS:g} s ({error}). Its agent may have gone on: "
                        "when the network works again, send again, and its files are saved"
                    ) from error


def stopped(agent: Agent, reason: AgentEnd, error: Exception | None = None) -> Draft:
    """Return the note of an agent's end."""
    return note(AgentStopped(connection=agent.id, reason=reason, error=str(error) if error else None))
