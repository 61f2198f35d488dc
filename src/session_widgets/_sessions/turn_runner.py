"""Runs one turn from its prompt to its end, and stops it. Lives on the private loop."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from session_widgets._sessions.agent import Agent
from session_widgets._sessions.agent_manager import AgentManager
from session_widgets._sessions.answer_wait import AnswerWait
from session_widgets._sessions.journal import draft
from session_widgets._sessions.limits import TurnLimitReached
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.prompt_delivery import PromptDelivery
from session_widgets._sessions.resume import readable
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.snapshots import SnapshotManager
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.tool_server import ToolServer
from session_widgets._sessions.turn import Turn
from session_widgets._sessions.turn_ending import TurnEnding
from session_widgets._sessions.warm_prompt import WarmPrompt
from session_widgets.acp import Call, Received
from session_widgets.acp.messages import notification
from session_widgets.errors import AgentExited, SessionWidgetsError, TransportError
from session_widgets.transcript.records import Draft, TurnRecord, TurnStatus

CANCEL_SECONDS = 10
"""How long an agent that still sends messages may take to obey `session/cancel` before it is killed."""
HUSH_SECONDS = 1.5
"""How long it may be silent then."""
KILL_SECONDS = 0.4
"""Time from SIGTERM to SIGKILL for a silent agent."""
SILENCE_SECONDS = 5
"""How long its mount may then be silent: a process that waits for it can neither answer nor be stopped."""


class TurnRunner:
    """One turn that this process runs.

    Attributes:
        task: runs it.
        wait: for the agent's answer.
        delivery: of its prompt.
    """

    def __init__(
        self,
        state: SessionState,
        sandboxes: SandboxManager,
        agents: AgentManager,
        permissions: PermissionBroker,
        tools: ToolServer,
        snapshots: SnapshotManager,
        turn: Turn,
        record: TurnRecord,
        warm: WarmPrompt | None = None,
    ) -> None:
        snapshot = f"turn-{turn.index}"
        self.task: asyncio.Task[None] | None = None
        self.wait = AnswerWait(lambda: tools.busy)
        self.delivery = PromptDelivery(
            state, sandboxes, agents, permissions, snapshots, self.wait, record, snapshot, warm
        )
        self._ending = TurnEnding(state, sandboxes, snapshots, turn, snapshot)
        self._state = state
        self._sandboxes = sandboxes
        self._agents = agents
        self._permissions = permissions
        self._tools = tools
        self._turn = turn
        self._cancelled = False

    def heard(self, agent: Agent, size: int) -> None:
        """Count `size` bytes from an agent."""
        if agent is self.delivery.agent:
            self.wait.heard(size)

    def closing(self, agent: Agent, part: list[Received]) -> list[Draft]:
        """Return the end of the turn if these messages bring the agent's answer, and nothing else has to be done."""
        call, clock = self.delivery.call, self.wait.clock
        if agent is not self.delivery.agent or call is None or part[-1].message.get("id") != call.id:
            return []
        if self._cancelled or clock is None or clock.is_over:
            return []
        return self._ending.with_answer(agent, part)

    async def run(self, *, adopted: bool) -> bool:
        """Run the turn to its stored end; False if it continues without this process.

        Args:
            adopted: whether another process began it.
        """
        watching = self._state.spawn(self._sandboxes.watch())
        try:
            return await self._run(adopted=adopted)
        finally:
            watching.cancel()

    async def _run(self, *, adopted: bool) -> bool:
        status: TurnStatus = "failed"
        stop_reason, failure = None, None
        try:
            result = await (self.delivery.resume() if adopted else self.delivery.send())
            stop_reason = result.get("stopReason")
            status = "cancelled" if stop_reason == "cancelled" else "completed"
        except asyncio.CancelledError:
            if not self._cancelled:  # detached, not stopped: another or a later process finishes it
                return False
            status, stop_reason = "cancelled", "cancelled"
        except Exception as error:  # any failure becomes the turn's stored error
            agent, call = self.delivery.agent, self.delivery.call
            if agent is not None and isinstance(error, AgentExited):
                agent.dead = error  # its stream may not report it
            status, failure = ("cancelled", None) if self._cancelled else ("failed", error)
            if isinstance(error, TurnLimitReached) and agent is not None and call is not None:
                self._ending.begun = True  # a cancellation from now on waits for the end
                await self._stop_agent(agent, call, HUSH_SECONDS)
        self._ending.begun = True
        explained = None if failure is None else await self._explained(failure)
        if self._cancelled:
            await self._agents.leave_cancelled()
        prompted = self.delivery.call is not None
        await self._ending.store(status, stop_reason, explained, agent=self.delivery.agent, prompted=prompted)
        return True

    async def _explained(self, failure: Exception) -> str:
        """Add the state of an unresponsive sandbox to the error."""
        found = await self._sandboxes.look_for_sandbox() if isinstance(failure, TransportError) else None
        return f"{readable(failure)}. {found}" if found else readable(failure)

    async def cancel(self) -> None:
        """Stop the turn in any phase, and wait until its end is stored."""
        self._cancelled = True
        self._ending.stopped.set()
        self._permissions.stop()
        agent, call = self.delivery.agent, self.delivery.call
        if agent is not None and call is not None and not self._ending.begun:
            await self._stop_agent(agent, call, CANCEL_SECONDS)
            if call.result.done() and self.task is not None:
                await asyncio.wait([self.task])
        else:
            await self._permissions.cancel_all()
            self._tools.cancel_calls()
        await self.abandon()

    async def abandon(self) -> None:
        """Stop running the turn without ending it; an end that is being stored is stored first."""
        if self.task is None:
            return
        await asyncio.sleep(0)  # a task that is cancelled before its first step never runs, and would store no end
        if not self._ending.begun:
            self.task.cancel()
        await asyncio.wait([self.task])

    async def _stop_agent(self, agent: Agent, call: Call, patience: float) -> None:
        """Request cancellation; kill the agent if it is silent, or has not stopped after `patience` seconds."""
        begun = self.wait.heard_at = time.monotonic()
        with suppress(TimeoutError):  # it may still end the turn normally
            async with asyncio.timeout(HUSH_SECONDS):
                await self._tell_of_cancel(agent)
        await self._permissions.cancel_all()
        self._tools.cancel_calls()
        while (left := min(self.wait.heard_at + HUSH_SECONDS, begun + patience) - time.monotonic()) > 0:
            if (await asyncio.wait([call.result], timeout=left))[0]:
                return
        await self._sandboxes.unblock(SILENCE_SECONDS)
        await self._agents.kill(agent, KILL_SECONDS)

    async def _tell_of_cancel(self, agent: Agent) -> None:
        envelope = notification("session/cancel", {"sessionId": agent.session_id})
        told = draft("out", "notification", envelope, self._turn.index, method="session/cancel")
        await self.delivery.posted.wait()
        with suppress(SessionWidgetsError):
            await self._state.journal.commit([told])
            await agent.connection.post(envelope)
