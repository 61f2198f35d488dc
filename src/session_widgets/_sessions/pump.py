"""From the agent's stream to the store: group, commit, then publish."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from session_widgets._sessions.agent import Agent
from session_widgets._sessions.journal import Journal
from session_widgets.acp import Received, classify
from session_widgets.acp.messages import AGENT_EXITED, ANSWERED, CHANGES
from session_widgets.acp.peer import agent_exited
from session_widgets.errors import StoreBusy
from session_widgets.transcript.records import Draft

LINGER_SECONDS = 0.02
STREAK = 3
"""Small batches in a row after which the pump waits a moment to make them larger."""
FULL_BATCH = 500
ACK_EVERY = 2_000

OnRequest = Callable[[Agent, dict[str, Any]], None]
OnUpdate = Callable[[dict[str, Any]], None]
OnAnswered = Callable[[Agent, dict[str, Any]], Awaitable[None]]


class Pump:
    """Reads one agent until it exits, the stream is lost, or the store accepts no more.

    Args:
        agent: the agent.
        journal: of its session.
        turn: returns the running turn.
        on_request: called with a stored request of the agent.
        on_update: called with a stored update.
        on_bytes: called with the size of each part before it is stored.
        on_answered: called with a stored notice that a request of the agent was answered.
        closing: called with messages that are about to be stored; returns what is stored in the same commit.
    """

    def __init__(
        self,
        agent: Agent,
        journal: Journal,
        turn: Callable[[], Awaitable[int | None]],
        on_request: OnRequest,
        on_update: OnUpdate,
        on_bytes: Callable[[int], None],
        on_answered: OnAnswered,
        closing: Callable[[list[Received]], list[Draft]],
    ) -> None:
        self._agent = agent
        self._journal = journal
        self._turn = turn
        self._on_request = on_request
        self._on_update = on_update
        self._on_bytes = on_bytes
        self._on_answered = on_answered
        self._closing = closing
        self._unacknowledged = 0

    async def run(self) -> None:
        """Return when the agent has exited; raise the error of any other end of the stream."""
        streak = 0
        async for batch in self._agent.connection.batches():
            urgent = False
            for part in self._by_turn(batch):
                self._on_bytes(sum(len(received.raw) for received in part))
                await self._commit(part)
                for received in part:
                    if received.message.get("method") == ANSWERED:
                        await self._on_answered(self._agent, received.message)
                    urgent |= self._tell(received.message)
            await self._acknowledge(batch, urgent)
            streak = 0 if urgent or len(batch) >= FULL_BATCH else streak + 1
            if streak > STREAK:
                await asyncio.sleep(LINGER_SECONDS)

    def _by_turn(self, batch: list[Received]) -> Iterator[list[Received]]:
        """Cut a batch after each answer to a prompt: later messages may belong to another turn."""
        methods, start = self._agent.peer.methods, 0
        for end, received in enumerate(batch, 1):
            message = received.message
            if "method" not in message and methods.get(str(message.get("id"))) == "session/prompt":
                yield batch[start:end]
                start = end
        if start < len(batch):
            yield batch[start:]

    def _draft(self, received: Received, turn: int | None) -> Draft:
        method, kind = classify(received.message, self._agent.peer.methods)
        return Draft(
            direction="in",
            kind=kind,
            payload=received.raw.decode(errors="replace"),
            source=self._agent.id,
            source_seq=received.id,
            turn=turn,
            ts=datetime.now(UTC),
            method=method,
        )

    async def _commit(self, part: list[Received]) -> None:
        """Commit, waiting while the store is busy: the runner's journal keeps unread messages."""
        while True:
            try:
                turn = await self._turn()
                drafts = [self._draft(received, turn) for received in part]
                await self._journal.commit([*drafts, *self._closing(part)])
            except StoreBusy:
                continue
            return

    def _tell(self, message: dict[str, Any]) -> bool:
        """Pass a stored message on; True if a call waits for its effect."""
        handled = self._agent.peer.handle(message)
        if handled == "request":
            self._on_request(self._agent, message)
        elif message.get("method") == AGENT_EXITED:
            self._agent.dead = agent_exited(message)
        elif message.get("method") == CHANGES:
            self._agent.changes = message["params"]
        elif message.get("method") == "session/update":
            self._on_update(message)
        return handled in {"request", "response"}

    async def _acknowledge(self, batch: list[Received], urgent: bool) -> None:
        self._unacknowledged += len(batch)
        if self._unacknowledged >= ACK_EVERY or (urgent and self._unacknowledged > FULL_BATCH):
            self._unacknowledged = 0
            await self._agent.connection.ack(batch[-1].id)
