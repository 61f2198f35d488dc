"""Answers to the agent's requests: sends them, and detects answers of other clients.

The runner reports every answer that it delivers (`_adapter/answered`). In a sandbox that isolates nothing the agent
can read the runner's token and answer itself; no client can prevent that, but this one detects it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from session_widgets.acp import AcpConnection
from session_widgets.errors import ProtocolError, SessionWidgetsError
from session_widgets.transcript.envelopes import as_object
from session_widgets.transcript.records import Json


class ForeignAnswer(ProtocolError):
    """Another client answered a request of the agent."""


class Answers:
    """This process's answers to one agent process."""

    def __init__(self, connection: AcpConnection) -> None:
        self._connection = connection
        self._sent: dict[str, tuple[Json, asyncio.Task[SessionWidgetsError | None]]] = {}

    async def send(self, envelope: dict[str, Any]) -> bool:
        """Send a stored answer; False if another one was first or the agent has exited, which the stream reports."""
        sending = asyncio.create_task(self._post(envelope))
        self._sent[json.dumps(envelope.get("id"))] = envelope, sending
        return await asyncio.shield(sending) is None

    async def send_again(self, envelope: dict[str, Any]) -> None:
        """Send the answers that an earlier process stored, and may have sent."""
        await self._post(envelope)

    async def are_ours(self, told: Json, stored: Callable[[], Awaitable[Json | None]]) -> bool:
        """Whether a delivered answer is this session's.

        Args:
            told: `params` of the runner's notice.
            stored: the session's stored answer to that request, from any process.
        """
        envelope, sending = self._sent.pop(json.dumps(told.get("id")), (None, None))
        if sending is None:
            envelope = await stored()
        elif isinstance(await asyncio.shield(sending), ProtocolError):  # another answer was first
            return False
        return envelope is not None and _outcome(envelope) == told.get("outcome")

    async def _post(self, envelope: dict[str, Any]) -> SessionWidgetsError | None:
        try:
            await self._connection.post(envelope)
        except SessionWidgetsError as error:
            return error
        return None


def _outcome(envelope: Json) -> dict[str, Any] | None:
    """Return the outcome of an answer as the runner reports it."""
    outcome = as_object(envelope.get("result")).get("outcome")
    return {name: outcome.get(name) for name in ("outcome", "optionId")} if isinstance(outcome, dict) else None
