"""The agent process of one session in this process: start, reconnect, tools and settings, stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import Sandbox, SandboxProvider
from session_widgets._sessions.agent import Agent
from session_widgets._sessions.agent_reader import AgentReader, RunningTurn
from session_widgets._sessions.handover import history_block
from session_widgets._sessions.journal import note
from session_widgets._sessions.native_memory import put_memory
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.resume import MemoryRestorer, apply_setting, apply_settings, is_set_up
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.skills import Skills
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.tool_server import ToolServer
from session_widgets.acp import AcpConnection, Peer
from session_widgets.errors import AgentExited, BadValue, SandboxError
from session_widgets.model import Capability
from session_widgets.transcript.notes import AgentStarted, AgentStopped, SandboxStopped
from session_widgets.transcript.options import Setting
from session_widgets.transcript.records import Draft, Json, Step, TurnRecord

SET_SECONDS = 10
IN_ORDER = {"ended", "parked", "switched", "changed"}
"""Reasons of an end that left the agent time to save its memory."""


class AgentManager:
    """Starts and stops the agent process of a session."""

    def __init__(
        self,
        state: SessionState,
        sandboxes: SandboxManager,
        permissions: PermissionBroker,
        tools: ToolServer,
        skills: Skills,
        turns: Callable[[], RunningTurn],
    ) -> None:
        self.agent: Agent | None = None
        self._state = state
        self._sandboxes = sandboxes
        self._permissions = permissions
        self._tools = tools
        self._skills = skills
        self._turns = turns
        self._reader = AgentReader(state, sandboxes, permissions, turns, lambda: self.agent)

    @property
    def _harness(self) -> Harness:
        return self._sandboxes.harness

    @property
    def _provider(self) -> SandboxProvider:
        return self._sandboxes.provider

    @property
    def writes_settings(self) -> bool:
        """Whether we write the harness's settings files: they may name models outside its options."""
        return self._harness.settings is not None and Capability.EXTERNAL not in self._provider.capabilities

    def warm(self, sandbox: Sandbox) -> Agent | None:
        """Return the agent if a prompt can be sent to it at once: it runs as far as this process knows, without I/O."""
        agent = self.agent
        if agent is None or agent.dead is not None or agent.id != self._state.record.connection:
            return None
        if not agent.alone:
            return None
        if "changes" not in agent.connection.extensions or agent.tier != "warm":
            return None
        cut_off = self._harness.restart_after_cancel and not self._turns().completed
        other_tools = self._tools.fingerprint not in {None, agent.offered} or not self._tools.serves(sandbox)
        if cut_off or other_tools or self._needs_other_file(agent):
            return None
        try:
            return agent if is_set_up(agent, self._state.record) else None
        except BadValue:  # it does not offer the session's choice
            return None

    async def ready(self, sandbox: Sandbox, live: Sequence[str]) -> Agent:
        """Return an agent with the session's memory; warm if its process is among the `live` ones."""
        if self.agent is not None and self.agent.dead is not None:
            await self.end()
        cut_off = self._harness.restart_after_cancel and await self._was_cut_off()
        if cut_off and self._state.record.connection in live and await self.rejoin(sandbox):
            await self.end()
            live = [name for name in live if name != self._state.record.connection]
        agent = self.agent
        if agent is None or agent.id not in live:
            await self.drop()
            agent = await self.rejoin(sandbox) if self._state.record.connection in live else None
        if agent is None:
            return await self._start(sandbox)
        if self._needs_other_file(agent) or await self._needs_other_tools(agent, sandbox):
            self.agent = agent
            await self.end()
            return await self._start(sandbox)
        await apply_settings(agent, self._state.record, self._state.journal)
        return agent

    async def end_others(self, live: Sequence[str]) -> None:
        """Stop agents that a kernel has started and died before recording.

        Only the owner of the running turn may call it, while it has its agent: no other process starts one then.
        Another person's server also has agents of others, and keeps them.

        Args:
            live: the connections when the agent was prepared.
        """
        agent = self.agent
        if agent is None or Capability.EXTERNAL in self._provider.capabilities:
            return
        endpoint = agent.connection.endpoint
        others = [AcpConnection(endpoint, name, self._state.record.harness) for name in live if name != agent.id]
        await asyncio.gather(*(other.close() for other in others))
        agent.alone = True

    async def _was_cut_off(self) -> bool:
        """Whether the latest ended turn has no complete answer."""
        turns = await self._state.journal.ask(self._state.store.turns, self._state.record.id)
        ended = [turn for turn in turns if turn.ended_at is not None]
        return bool(ended) and ended[-1].status != "completed"

    async def end(self) -> None:
        """Stop the agent's process; the next one regains the session's memory by the restorer."""
        agent = await self._leave()
        if agent is not None:
            await agent.connection.close()
            await self._reader.note_end(agent, "exited" if agent.dead else "ended", agent.dead)

    async def kill(self, agent: Agent, grace: float) -> None:
        """Kill an unresponsive process after at most `grace` seconds; its remaining messages are dropped."""
        if self.agent is agent:
            await self._leave()
        await agent.connection.close(grace)
        await self._reader.note_end(agent, "killed")

    async def leave_cancelled(self) -> None:
        """After a cancelled turn, stop the agent's process with its children, if it must be replaced anyway."""
        if self._harness.restart_after_cancel:
            await self.end()

    async def set(self, name: Setting, value: str) -> None:
        """Set model, mode or effort if the agent runs; otherwise its next start sets them."""
        agent = self.agent
        if agent is None or agent.dead is not None:
            return
        if name == "model" and self._needs_other_file(agent):
            return  # the next prompt restarts it
        with suppress(TimeoutError, AgentExited, SandboxError):  # the next prompt requests it again
            async with asyncio.timeout(SET_SECONDS):
                await apply_setting(agent, name, value, self._state.journal)

    def _needs_other_file(self, agent: Agent) -> bool:
        """Whether only the settings file can set the wanted model; a running process does not read it."""
        model = self._state.record.model
        if not self.writes_settings or model is None or model == agent.model:
            return False
        return agent.settings.current("model") != model and not agent.settings.offers("model", model)

    async def _needs_other_tools(self, agent: Agent, sandbox: Sandbox) -> bool:
        """Register the tools; return whether they differ from the agent's. Without tools here it keeps its own."""
        offering = self._tools
        await offering.serve(sandbox, (await self._sandboxes.machine()).python)
        return offering.fingerprint is not None and offering.fingerprint != agent.offered

    async def _write_settings(self, sandbox: Sandbox) -> None:
        """Write the harness's settings to its own folder in this workspace, never to the user's."""
        if self._harness.settings is None or not self.writes_settings:
            return
        folder = self._harness.state_folder("")
        given = self._harness.passed(os.environ)
        for name, text in self._harness.settings(given, self._state.record.model).items():
            await sandbox.write(f"{folder}/{name}".lstrip("/"), text.encode())

    async def _start(self, sandbox: Sandbox) -> Agent:
        await self._write_settings(sandbox)
        turns, before, end = await self._state.journal.ask(self._past)
        asked = [turn for turn in turns if turn.ended_at is not None and turn.tier is not None]
        read = self._reader.start
        skills = await self._skills.put(sandbox, self._harness.skills, before.skills if before else ())
        offered, servers = (
            self._tools.fingerprint,
            await self._tools.serve(sandbox, (await self._sandboxes.machine()).python),
        )
        external = Capability.EXTERNAL in self._provider.capabilities
        given = await put_memory(self._state, sandbox, self._harness) if before is None and not external else None
        restorer = MemoryRestorer(
            self._state.record,
            sandbox.workspace,
            self._state.journal,
            lambda agent: read(agent, restorer),
            servers,
            portable=self._harness.portable,
            cut_off=end is None or end.reason not in IN_ORDER,
            given=given,
        )

        def past(turns: Sequence[TurnRecord], embedded: bool) -> dict[str, Any] | None:
            return history_block(turns, self._steps_of, embedded and self._harness.reads_resources)

        agent = await restorer.start(await sandbox.endpoint(), asked, before, past)
        agent.model = self._state.record.model if self.writes_settings else None
        agent.offered = offered
        agent.skills = skills
        try:
            await apply_settings(agent, self._state.record, self._state.journal)
            await self._state.journal.commit([_started(agent, self._harness.id, sandbox.workspace)])
        except BaseException:
            await asyncio.shield(agent.connection.close())
            raise
        self.agent = agent
        return agent

    def _past(self) -> tuple[list[TurnRecord], AgentStarted | None, AgentStopped | SandboxStopped | None]:
        """Return the session's turns, and the start and the end of its previous agent."""
        store, id = self._state.store, self._state.record.id
        return store.turns(id), store.last_note(id, AgentStarted), store.agent_end(id)

    def _steps_of(self, turn: TurnRecord) -> list[Step]:
        return self._state.store.steps(self._state.record.id, turn.index)

    async def rejoin(self, sandbox: Sandbox) -> Agent | None:
        """Connect to the recorded agent process, after the last stored envelope, unless this kernel is connected."""
        name = self._state.record.connection
        if self.agent is not None and self.agent.id == name and self.agent.dead is None:
            return self.agent
        await self.drop()
        started = await self._state.journal.ask(self._state.store.last_note, self._state.record.id, AgentStarted)
        if name is None or started is None or started.connection != name:
            return None
        last = await self._state.journal.ask(self._state.store.last_source_seq, self._state.record.id, name)
        peer = Peer()
        endpoint = await sandbox.endpoint()
        connection = AcpConnection(endpoint, name, self._state.record.harness, last, on_post_failed=peer.fail)
        agent = Agent(connection, peer)
        agent.session_id = started.agent_session_id or ""
        agent.info, agent.capabilities = started.agent_info, started.capabilities
        agent.settings, agent.model = self._state.fold.options.copy(), started.model
        agent.offered = started.offered
        self.agent = agent
        with suppress(SandboxError):  # the turn continues; calls of its tools then fail
            await self._tools.serve(sandbox, (await self._sandboxes.machine()).python)
        self._reader.start(agent, None)
        return agent

    async def post_again(self, sandbox: Sandbox, agent: Agent, envelope: Json, snapshot: str) -> None:
        """Post a request that may have been posted before, to a server that sends none twice.

        Raises:
            AgentExited: it has exited; `unsent` if the request never reached it.
        """
        endpoint = await sandbox.endpoint()  # apart: the agent's own connection is closed when its exit is read
        apart = AcpConnection(endpoint, agent.id, self._state.record.harness, max(1, agent.connection.last_id))
        try:
            await apart.post(envelope, snapshot=snapshot)
        finally:
            await apart.detach()

    async def release(self, *, end: bool) -> None:
        """Disconnect from the agent, before its sandbox stops; `end` stops its process first."""
        if end:
            await self.end()
        await self.drop()

    async def drop(self) -> None:
        """Disconnect from the agent; its process keeps running."""
        agent = await self._leave()
        if agent is not None:
            await agent.connection.detach()

    async def _leave(self) -> Agent | None:
        """Disconnect from the agent, if any, and return it."""
        agent, self.agent = self.agent, None
        await self._reader.stop()
        return agent


def _started(agent: Agent, harness: str, cwd: str) -> Draft:
    return note(
        AgentStarted(
            connection=agent.id,
            agent_session_id=agent.session_id,
            tier=agent.tier,
            harness=harness,
            cwd=cwd,
            agent_info=agent.info,
            capabilities=agent.capabilities,
            config=agent.settings.config,
            modes=agent.settings.modes,
            models=agent.settings.models,
            commands=agent.settings.commands_said,
            model=agent.model,
            offered=agent.offered,
            skills=agent.skills,
        )
    )
