"""Brings a turn's prompt to one agent, once, and returns its answer. Lives on the private loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from session_widgets._sandboxes import Sandbox
from session_widgets._sessions.agent import Agent
from session_widgets._sessions.agent_manager import AgentManager
from session_widgets._sessions.agent_reader import stopped
from session_widgets._sessions.answer_wait import AnswerWait
from session_widgets._sessions.journal import note
from session_widgets._sessions.limits import TurnLimits
from session_widgets._sessions.owner import is_alive
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.prompt import check_taken
from session_widgets._sessions.resume import readable
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.snapshots import SnapshotManager
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.warm_prompt import WarmPrompt, ask, prompt_drafts
from session_widgets.acp import Call
from session_widgets.errors import AgentExited, TransportError
from session_widgets.transcript.notes import PromptNotDelivered
from session_widgets.transcript.records import Event, TurnRecord

OWNER_POLL_SECONDS = 0.3
UNSURE_SECONDS = 30
"""For the first message of a turn whose kernel may have died before it sent the prompt, if the server cannot tell."""


class PromptDelivery:
    """The prompt of one turn.

    Args:
        state: of the session.
        sandboxes: of the session.
        agents: of the session.
        permissions: of the session.
        snapshots: of the session.
        wait: of the turn.
        record: the turn.
        snapshot: name of the runner's snapshot that is taken before the prompt.
        warm: the prompt, if it is already stored.

    Attributes:
        agent: the receiver; None before one is ready.
        call: the request; None before it is stored.
        posted: set when it was posted, or when that has failed.
    """

    def __init__(
        self,
        state: SessionState,
        sandboxes: SandboxManager,
        agents: AgentManager,
        permissions: PermissionBroker,
        snapshots: SnapshotManager,
        wait: AnswerWait,
        record: TurnRecord,
        snapshot: str,
        warm: WarmPrompt | None,
    ) -> None:
        self.agent: Agent | None = warm.agent if warm else None
        self.call: Call | None = warm.call if warm else None
        self.posted = asyncio.Event()
        self._state = state
        self._sandboxes = sandboxes
        self._agents = agents
        self._permissions = permissions
        self._snapshots = snapshots
        self._wait = wait
        self._record = record
        self._snapshot = snapshot
        self._own = True
        self._accepted = False
        self._known = asyncio.Event()
        self._undelivered = 0

    @property
    def answered(self) -> bool:
        """Whether the agent has answered, so that its later messages belong to no turn of ours."""
        return self.call is not None and self.call.result.done()

    async def send(self) -> dict[str, Any]:
        """Send the prompt of this process's turn: another agent gets it if the ready one has proved dead."""
        try:
            if self.agent is not None and self.call is not None:
                try:
                    return await self._post(self.agent, self.call)
                except (AgentExited, TransportError) as error:
                    if self._accepted:
                        raise
                    if await self._has_arrived(self.agent, self.call, error):
                        return await self._rejoin()
                    await self._take_back(self.agent, self.call.id, error)
            return await self._dispatch()
        finally:
            self._known.set()

    async def resume(self) -> dict[str, Any]:
        """Continue another process's turn: send an unsent prompt, else wait for the answer."""
        self._own = False
        try:
            return await self._rejoin()
        finally:
            self._known.set()

    async def known(self, agent: Agent) -> None:
        """Wait until it is known whether `agent` has received the prompt, unless another one is to receive it."""
        if agent is self.agent:
            await self._known.wait()

    async def _dispatch(self) -> dict[str, Any]:
        """Make an agent ready, and send it the prompt."""
        state, index = self._state, self._record.index
        if not self._snapshots.apart:
            await self._snapshots.settled()
        sandbox, agent = await self._ready()
        state.activity.tell(None)
        check_taken(self._record.prompt, self._sandboxes.harness.title, agent.capabilities)
        call = ask(agent, self._record.prompt)
        drafts = prompt_drafts(agent, call, index, self._undelivered)
        committing = state.journal.commit([*self._snapshots.take_notes(), *drafts])
        if "changes" in await agent.connection.features():  # the runner takes the snapshot as it takes the prompt
            stored = await committing
        else:
            stored, _ = await asyncio.gather(committing, sandbox.runner.snapshot(self._snapshot))
        if sum(event.turn == index for event in stored) < 2:
            return await self._rejoin()  # another process resumed this turn at the same moment
        self.call = call
        return await self._post(agent, call)

    async def _ready(self) -> tuple[Sandbox, Agent]:
        """Return an agent for the prompt; if the runner ends meanwhile, one of its successor."""
        sandbox, live = await self._sandboxes.probe_sandbox(refresh=True)
        try:
            agent = await self._agents.ready(sandbox, live)
        except TransportError:
            sandbox, live = await self._sandboxes.probe_sandbox(refresh=True)
            agent = await self._agents.ready(sandbox, live)
        self.agent = agent
        self._known.clear()
        if self._own:
            await self._agents.end_others(live)
        return sandbox, agent

    async def _post(self, agent: Agent, call: Call) -> dict[str, Any]:
        self._wait.begin(self._state.limits)
        posting = self._state.spawn(agent.connection.post(call.envelope, snapshot=self._snapshot))
        try:
            await self._wait.result(posting)
            self._accepted = True
            self._known.set()
            agent.tier, agent.history = "warm", None
        finally:
            posting.cancel()
            self.posted.set()
        return await self._wait.result(call.result) or {}

    async def _has_arrived(self, agent: Agent, call: Call, error: AgentExited | TransportError) -> bool:
        """Whether a prompt reached its agent, which still runs.

        A runner that died after its connection broke is started again: it knows whether it accepted the prompt.

        Raises:
            AgentExited: the agent had it, and has exited.
        """
        if error.unsent:
            return False
        try:
            await self._agents.post_again(await self._sandboxes.ready_sandbox(), agent, call.envelope, self._snapshot)
        except AgentExited as later:
            if not later.unsent:
                raise
            return False
        return True

    async def _take_back(self, agent: Agent, request: str, error: Exception) -> None:
        """Record that a stored prompt did not reach its agent, so that any process may send it to another one.

        In one commit with the end of the agent, if that has exited: with this alone, the outcome would be unknown.
        """
        agent.dead, self.call = error, None
        self.posted.clear()
        index, number = self._record.index, self._undelivered + 1
        undelivered = PromptNotDelivered(request=request, reason=readable(error))
        drafts = [note(undelivered, turn=index, source=f"turn:{index}:undelivered:{number}")]
        if isinstance(error, AgentExited) and not agent.end_stored:
            drafts.append(stopped(agent, "exited", error))
        await self._state.journal.commit(drafts)
        agent.end_stored |= len(drafts) > 1
        self._undelivered = number
        self._known.set()

    async def _rejoin(self) -> dict[str, Any]:
        state, index = self._state, self._record.index
        while True:
            events = await state.journal.ask(state.store.events, state.record.id, turn=index)
            returned = {event.payload.get("request") for event in events if event.kind == PromptNotDelivered.kind}
            self._undelivered = len(returned)
            prompts = (e.payload for e in events if e.direction == "out" and e.method == "session/prompt")
            sent = next((prompt for prompt in prompts if prompt.get("id") not in returned), None)
            if sent is not None:
                break
            if self._own or not is_alive(self._record.owner):
                return await self._dispatch()
            await asyncio.sleep(OWNER_POLL_SECONDS)  # its owner is still preparing the sandbox
        sandbox = await self._sandboxes.ready_sandbox()
        agent = self.agent = await self._agents.rejoin(sandbox)
        self._known.clear()
        if agent is None:
            if (answer := _answer(events)) is not None:
                return answer
            raise AgentExited("the agent's process ended while no kernel was attached, so the turn's end is unknown")
        envelope = dict(sent)
        result = agent.peer.expect(envelope["id"], "session/prompt")
        self.call = Call(envelope, result)
        events = await state.journal.ask(state.store.events, state.record.id, turn=index)
        if (answer := _answer(events)) is not None:  # stored before this process expected it
            self.posted.set()
            return answer
        takes_twice = "async-post" in await agent.connection.features()
        limits = state.limits if takes_twice else _unsure(state.limits)
        self._wait.begin(limits, begun=any(event.direction == "in" for event in events))
        self._permissions.take_again(agent, events, index)
        try:
            if takes_twice:  # the runner recognises the id if it was sent before
                await self._agents.post_again(sandbox, agent, envelope, self._snapshot)
        except AgentExited as error:  # the stream reports the rest, and the exit
            if error.unsent:
                await self._take_back(agent, envelope["id"], error)
                return await self._rejoin()
        finally:
            self.posted.set()
        self._known.set()
        return await self._wait.result(result) or {}


def _unsure(limits: TurnLimits) -> TurnLimits:
    """Return limits for a prompt that must not be sent twice and that nobody may have sent."""
    return replace(limits, first_byte=min(limits.first_byte or UNSURE_SECONDS, UNSURE_SECONDS))


def _answer(events: Sequence[Event]) -> dict[str, Any] | None:
    """Return the result of the prompt among a turn's events, if any."""
    for event in events:
        if event.direction == "in" and event.method == "session/prompt" and event.kind == "response":
            return dict(event.payload.get("result") or {})
    return None
