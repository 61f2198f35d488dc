"""The user's choices for a session: the agent's options, permission policy, limits. Lives on the private loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from session_widgets._sessions.agent_manager import AgentManager
from session_widgets._sessions.journal import note
from session_widgets._sessions.limits import TurnLimits
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.permissions import Policy
from session_widgets._sessions.rules import Rules
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.turn_manager import TurnManager
from session_widgets.errors import AgentFailed, BadValue
from session_widgets.transcript.notes import SessionChanged, SessionRules
from session_widgets.transcript.options import Setting


class Settings:
    """Stores the choices, and applies them to the running agent where it accepts them."""

    def __init__(
        self, state: SessionState, agents: AgentManager, permissions: PermissionBroker, turns: TurnManager
    ) -> None:
        self._state = state
        self._agents = agents
        self._permissions = permissions
        self._turns = turns

    async def change(self, settings: Mapping[str, str | None]) -> None:
        """Store new values of title, model, mode or effort; the next prompt applies them."""
        await self._state.journal.commit([note(SessionChanged(**settings))])

    async def choose(self, name: Setting, value: str) -> None:
        """Store a new model, mode or effort, and set it at once if the agent accepts it now."""
        async with self._turns.beginning:
            self._state.check_usable()
            self._check(name, value)
            before = getattr(self._state.record, name)
            if value != before:
                await self.change({name: value})
            if self._turns.active is not None and name != "mode":
                return  # the next prompt does
            try:
                await self._agents.set(name, value)
            except (BadValue, AgentFailed):
                await self.change({name: before})
                raise

    def _check(self, name: Setting, value: object) -> None:
        if not isinstance(value, str) or not value.strip():
            raise BadValue(f"{name} must be text; got {value!r:.80}.")
        options = self._state.fold.options
        if options.started and not (name == "model" and self._agents.writes_settings):
            options.check(name, value)

    def follow_mode(self) -> None:
        """Store the mode that a person has approved, such as out of planning: otherwise it would be set back.

        A mode that the agent changes itself is not stored: the next prompt sets the user's mode again.
        """
        mode = self._state.fold.options.current("mode")
        if mode in self._permissions.approved_modes and self._state.record.mode not in {None, mode}:
            self._state.spawn(self.change({"mode": mode}))

    async def set_rules(self, permissions: Policy | None, limits: TurnLimits | None) -> None:
        """Store a new policy or new limits, for the next request and the next turn; None keeps the old."""
        state = self._state
        if permissions is not None:
            self._permissions.set_policy(permissions)
        state.limits = limits or state.limits
        if permissions is None and limits is None:
            return
        rules = Rules(self._permissions.policy, state.limits).stored()
        if rules != await asyncio.to_thread(state.store.last_note, state.record.id, SessionRules):
            await state.journal.commit([note(rules)])
