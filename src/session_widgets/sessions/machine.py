"""The sandbox and the agent of one session, as this process holds them. Lives on the private loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from session_widgets.acp import AcpConnection, Peer
from session_widgets.envelopes import update_of
from session_widgets.errors import AgentExited, SandboxError, SandboxGone, SandboxNotRunning, TransportError
from session_widgets.harnesses.harness import Harness
from session_widgets.manifest import Manifest
from session_widgets.model import Capability, Draft, FileChange, SandboxRef, Step, Tier, TurnRecord
from session_widgets.offers import Setting
from session_widgets.sandboxes import Sandbox, SandboxProvider, SandboxSpec
from session_widgets.sessions.agent import Agent
from session_widgets.sessions.files import FileAccess
from session_widgets.sessions.handover import history_block
from session_widgets.sessions.journal import note
from session_widgets.sessions.launching import Launch, prepare
from session_widgets.sessions.loop import OneAtATime
from session_widgets.sessions.owner import user
from session_widgets.sessions.pump import Pump
from session_widgets.sessions.resume import Ladder, Resumed, apply_setting, apply_settings
from session_widgets.store.location import data_directory
from session_widgets.workspaces import ObjectFiles

if TYPE_CHECKING:
    from session_widgets.sessions.core import SessionCore

SET_SECONDS = 10


class Machine:
    """Finds, starts and stops the sandbox of a session, and the agent in it."""

    def __init__(self, core: SessionCore, provider: SandboxProvider, harness: Harness) -> None:
        self.sandbox: Sandbox | None = None
        self.agent: Agent | None = None
        self.provider = provider
        self.harness = harness
        self._core = core
        self._pump: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._storing = OneAtATime()

    @property
    def root(self) -> str:
        """Where the sandbox sees the workspace."""
        return self.provider.root or str(self._core.workspace.path)

    @property
    def writes_settings(self) -> bool:
        """Whether the harness has settings files that we write: they may name models which it does not offer."""
        return self.harness.settings is not None and Capability.FOREIGN not in self.provider.capabilities

    async def ready_sandbox(self) -> Sandbox:
        """Return a sandbox whose runner answers: the one in use, the recorded one, or, if that is gone, a new one."""
        return (await self.probe_sandbox())[0]

    async def files(self) -> FileAccess:
        """Return the way to the workspace's files: its sandbox, or its bucket if no sandbox is there."""
        objects = self._core.workspace.objects
        if objects is None:
            return (await self.ready_sandbox()).runner
        try:
            return (await self.probe_sandbox(wake=False))[0].runner
        except SandboxNotRunning:
            return ObjectFiles(objects)

    async def watched_files(self) -> FileAccess:
        """Return what `files` does, but leave a parked session parked: to look is not to use."""
        if self._core.workspace.objects is None:
            return (await self.probe_sandbox(wake=False))[0].runner
        return await self.files()

    @property
    def _at_rest(self) -> bool:
        record, in_bucket = self._core.record, self._core.workspace.objects is not None
        return self.sandbox is None and (record.status == "parked" or (in_bucket and record.sandbox_ref is None))

    async def probe_sandbox(self, *, refresh: bool = False, wake: bool = True) -> tuple[Sandbox, list[str]]:
        """Return a sandbox whose runner answers, with the ids of the agent connections that live in it.

        Args:
            refresh: whether to bring the workspace up to date first, even if the sandbox is in use.
            wake: whether a session at rest gets one; otherwise `SandboxNotRunning` is raised.
        """
        async with self._lock:  # whoever stops the sandbox has it until the note of that is stored
            self._core.check_usable()
            self._check_awake(wake)
            if fresh := refresh or self.sandbox is None or self._has_lost_its_directory:
                await self._attach_workspace()
            if refresh:
                await self._renew_sandbox()
            if self.sandbox is not None:
                try:
                    return self.sandbox, await self.sandbox.runner.connections()
                except TransportError:
                    await self.drop_sandbox()
            if not fresh:
                await self._attach_workspace()  # a sandbox makes the directory that it lacks: all would seem deleted
            self._check_awake(wake)
            self.sandbox = await self._attach_or_create()
            return self.sandbox, await self.sandbox.runner.connections()

    def _check_awake(self, wake: bool) -> None:
        if not wake and self._at_rest:
            raise SandboxNotRunning(f"session {self._core.record.id!r} is parked; its next prompt starts it again.")

    @property
    def _has_lost_its_directory(self) -> bool:
        return self._core.workspace.objects is None and not self._core.workspace.path.is_dir()

    async def _launch(self) -> Launch:
        return await asyncio.to_thread(prepare, self.harness, self.provider, data_directory(), self.root)

    async def _renew_sandbox(self) -> None:
        """Remove a sandbox that was given something else than the harness needs now, such as another key."""
        record = self._core.record
        if record.sandbox_ref is None or record.launch in {None, (await self._launch()).mark}:
            return
        await self._drop_agent()
        await self.drop_sandbox()
        await self.provider.destroy(SandboxRef.parse(record.sandbox_ref))
        await self._core.journal.commit([note("sandbox_stopped", {"ref": record.sandbox_ref, "why": "changed"})])

    async def _attach_workspace(self) -> None:
        anew = await self._storing.run(self._core.workspace.attach, self._core.tell)
        if anew and (ref := self._core.record.sandbox_ref) is not None:
            with suppress(SandboxGone):
                await self.provider.park(SandboxRef.parse(ref))  # its runner stands in a directory that is no more
            await self.drop_sandbox()
        if anew and (remark := self._core.workspace.remark):
            payload = {"location": self._core.workspace.location, "attachment": self._core.workspace.attachment}
            await self._core.journal.commit([note("workspace_attached", payload | {"remark": remark})])

    async def _attach_or_create(self) -> Sandbox:
        launch = await self._launch()
        if self._core.record.sandbox_ref is not None:
            ref = SandboxRef.parse(self._core.record.sandbox_ref)
            try:
                sandbox = await self.provider.attach(ref)
            except SandboxGone:
                await self.provider.destroy(ref)  # what is left of its records
                await self._core.journal.commit([note("sandbox_stopped", {"ref": str(ref), "why": "gone"})])
            else:
                if not self._core.record.awake:
                    await self._core.journal.commit([note("sandbox_started", {"ref": str(ref)})])
                return sandbox

        async def announce(ref: SandboxRef) -> None:
            await self._core.journal.commit([note("sandbox_started", {"ref": str(ref), "launch": launch.mark})])

        spec = SandboxSpec(
            self._core.record.id,
            str(self._core.workspace.path),
            {self.harness.id: launch.entry},
            owner=user(),
            mounts=launch.mounts,
            progress=self._core.tell,
        )
        return await self.provider.create(spec, announce)

    # Durability

    async def persist(self, changed: Sequence[FileChange]) -> None:
        """Run the barrier on the workspace: returns once everything is proven to be safe, or raises `NotDurable`."""
        loop = asyncio.get_running_loop()

        def look() -> Manifest:
            return asyncio.run_coroutine_threadsafe(self._look(), loop).result()

        await self._storing.run(self._core.workspace.persist, look, changed)

    async def _look(self) -> Manifest:
        """Look at the workspace from inside the sandbox; where none answers, this machine's look is the only one."""
        if self.sandbox is not None:
            with suppress(TransportError):
                return await self.sandbox.runner.manifest()
        return await asyncio.to_thread(self._core.workspace.scan)

    async def take_over(self) -> None:
        """Become the one writer of the workspace."""
        await self._storing.run(self._core.workspace.take_over)

    async def save(self) -> None:
        """Persist what is there, unless the workspace is a plain directory or nothing was ever done with it."""
        if self._core.workspace.objects is None or self._at_rest:
            return
        async with self._lock:
            await self._attach_workspace()
        await self.persist(())

    async def ready_agent(self, sandbox: Sandbox, live: Sequence[str]) -> Resumed:
        """Return an agent that has the session's memory; warm if its process is among the `live` ones."""
        cut_off = self.harness.restart_after_cancel and await self._was_cut_off()
        if cut_off and self._core.record.connection in live and await self.rejoin(sandbox):
            await self._end_agent()
            live = [name for name in live if name != self._core.record.connection]
        agent = self.agent
        if agent is None or agent.dead is not None or agent.id not in live:
            await self._drop_agent()
            agent = await self.rejoin(sandbox) if self._core.record.connection in live else None
        if agent is None:
            return await self._start_agent(sandbox)
        if self._needs_other_file(agent) or await self._needs_other_tools(agent, sandbox):
            self.agent = agent
            await self._end_agent()
            return await self._start_agent(sandbox)
        await apply_settings(agent, self._core.record, self._core.journal)
        return Resumed(agent, "warm")

    async def _was_cut_off(self) -> bool:
        """Whether the latest turn that has ended was not answered to its end."""
        turns = await asyncio.to_thread(self._core.store.turns, self._core.record.id)
        ended = [turn for turn in turns if turn.ended_at is not None]
        return bool(ended) and ended[-1].status != "completed"

    async def _end_agent(self) -> None:
        """End the agent's process; the next one gets its memory by the ladder."""
        agent = await self._leave_agent()
        if agent is not None:
            await agent.connection.close()

    async def leave_cancelled(self) -> None:
        """After a cancelled turn, end the agent's process with what it still runs, if it has to be replaced anyway."""
        if self.harness.restart_after_cancel:
            await self._end_agent()

    async def set(self, name: Setting, value: str) -> None:
        """Set model, mode or effort if the agent lives; one that does not hears of it when it starts."""
        agent = self.agent
        if agent is None or agent.dead is not None:
            return
        if name == "model" and self._needs_other_file(agent):
            return  # it is started anew with the next prompt
        with suppress(TimeoutError, AgentExited, SandboxError):  # it is asked again with the next prompt
            async with asyncio.timeout(SET_SECONDS):
                await apply_setting(agent, name, value, self._core.journal)

    def _needs_other_file(self, agent: Agent) -> bool:
        """Whether the wanted model can be given by the settings file alone, which a running process does not read."""
        model = self._core.record.model
        if not self.writes_settings or model is None or model == agent.model:
            return False
        return agent.settings.current("model") != model and not agent.settings.offers("model", model)

    async def _needs_other_tools(self, agent: Agent, sandbox: Sandbox) -> bool:
        """Offer the tools; whether they are others than the agent was told of. None here: it keeps its own."""
        offering = self._core.offering
        await offering.serve(sandbox, self.provider.python)
        return offering.mark is not None and offering.mark != agent.offered

    async def _write_settings(self, sandbox: Sandbox) -> None:
        """Put the harness's settings where it looks for them: in its own folder of this workspace, never the user's."""
        if self.harness.settings is None or not self.writes_settings:
            return
        folder = self.harness.state_folder("")
        given = self.harness.passed(os.environ)
        for name, text in self.harness.settings(given, self._core.record.model).items():
            await sandbox.write(f"{folder}/{name}".lstrip("/"), text.encode())

    async def _start_agent(self, sandbox: Sandbox) -> Resumed:
        await self._write_settings(sandbox)
        turns = await asyncio.to_thread(self._core.store.turns, self._core.record.id)
        before = await asyncio.to_thread(self._core.store.last_note, self._core.record.id, "agent_started")
        start_pump = self._start_pump
        offered, servers = self._core.offering.mark, await self._core.offering.serve(sandbox, self.provider.python)
        ladder = Ladder(
            self._core.record, self.root, self._core.journal, lambda agent: start_pump(agent, ladder), servers
        )
        asked = [turn for turn in turns if turn.ended_at is not None and turn.tier is not None]
        past = partial(history_block, asked, self._steps_of)
        resumed = await ladder.start(await sandbox.endpoint(), asked, before, past)
        agent = resumed.agent
        agent.model = self._core.record.model if self.writes_settings else None
        agent.offered = offered
        try:
            await apply_settings(agent, self._core.record, self._core.journal)
            await self._core.journal.commit([_started(agent, resumed.tier, self.harness.id, self.root)])
        except BaseException:
            await asyncio.shield(agent.connection.close())
            raise
        self.agent = agent
        return resumed

    def _steps_of(self, turn: TurnRecord) -> list[Step]:
        return self._core.store.steps(self._core.record.id, turn.index)

    async def rejoin(self, sandbox: Sandbox) -> Agent | None:
        """Connect to the recorded agent process, from the last envelope that is stored, unless this kernel is."""
        name = self._core.record.connection
        if self.agent is not None and self.agent.id == name and self.agent.dead is None:
            return self.agent
        await self._drop_agent()
        started = await asyncio.to_thread(self._core.store.last_note, self._core.record.id, "agent_started")
        if name is None or started is None or started.get("connection") != name:
            return None
        last = await asyncio.to_thread(self._core.store.last_source_seq, self._core.record.id, name)
        peer = Peer()
        endpoint = await sandbox.endpoint()
        connection = AcpConnection(endpoint, name, self._core.record.harness, last, on_post_failed=peer.fail)
        agent = Agent(connection, peer)
        agent.session_id = started["agent_session_id"]
        agent.info, agent.capabilities = started.get("agent_info") or {}, started.get("capabilities") or {}
        agent.settings, agent.model = self._core.offers.copy(), started.get("model")
        agent.offered = started.get("offered")
        self.agent = agent
        with suppress(SandboxError):  # the turn goes on all the same; its calls say that nobody answers
            await self._core.offering.serve(sandbox, self.provider.python)
        self._start_pump(agent, None)
        return agent

    def _start_pump(self, agent: Agent, ladder: Ladder | None) -> None:
        def on_request(agent: Agent, message: dict[str, Any]) -> None:
            self._core.asking.take(agent, message, self._core.running)

        def on_update(message: dict[str, Any]) -> None:
            agent.settings.take_update(update_of(message))
            if ladder is not None and self.agent is not agent:
                ladder.take_update(message)

        async def turn() -> int | None:
            return await self._core.current_turn() if self.agent is agent else None

        pump = Pump(agent, self._core.journal, turn, on_request, on_update)
        self._pump = self._core.spawn(self._run_pump(agent, pump))

    async def _run_pump(self, agent: Agent, pump: Pump) -> None:
        why, error = "exited", None
        try:
            await pump.run()
        except Exception as failure:  # whatever ends the stream must end what waits for it
            why, error = "lost", failure
            agent.dead = failure
            agent.peer.fail_all(failure)
        stopped = note("agent_stopped", {"connection": agent.id, "why": why, "error": str(error) if error else None})
        with suppress(Exception):  # the turn says what went wrong; a full disk may refuse this note as well
            await self._core.journal.commit([stopped])
        await agent.connection.detach()

    async def drop_sandbox(self) -> None:
        """Forget a sandbox whose runner does not answer."""
        sandbox, self.sandbox = self.sandbox, None
        await self._core.offering.stop()
        if sandbox is not None:
            await sandbox.aclose()

    async def _drop_agent(self) -> None:
        agent = await self._leave_agent()
        if agent is not None:
            await agent.connection.detach()

    async def _leave_agent(self) -> Agent | None:
        """Stop listening to the agent, if any, and return it."""
        agent, self.agent = self.agent, None
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        return agent

    async def stop(self, why: Literal["parked", "switched", "deleted"]) -> None:
        """Stop the sandbox with everything that runs in it; keep it only if the session is `parked`."""
        async with self._lock:
            if Capability.FOREIGN in self.provider.capabilities:
                await self._end_agent()  # nobody else will: its server goes on
            await self._drop_agent()
            await self.drop_sandbox()
            if self._core.record.sandbox_ref is None:
                return
            ref = SandboxRef.parse(self._core.record.sandbox_ref)
            if why == "parked":
                await self.provider.park(ref)
            else:
                await self.provider.destroy(ref)
            await self._core.journal.commit([note("sandbox_stopped", {"ref": str(ref), "why": why})])

    async def release_workspace(self) -> None:
        """Let go of the workspace: unmount it and give its lease back."""
        await self._storing.run(self._core.workspace.detach)

    async def remove_workspace(self) -> None:
        """Remove the workspace, wherever it is kept."""
        await self._storing.run(self._core.workspace.remove)

    async def let_go(self) -> None:
        """Close every connection; whatever runs goes on."""
        await self._drop_agent()
        await self.drop_sandbox()


def _started(agent: Agent, tier: Tier, harness: str, cwd: str) -> Draft:
    payload = {
        "connection": agent.id,
        "agent_session_id": agent.session_id,
        "tier": tier,
        "harness": harness,
        "cwd": cwd,
        "agent_info": agent.info,
        "capabilities": agent.capabilities,
        "config": list(agent.settings.config),
        "modes": agent.settings.modes,
        "models": agent.settings.models,
        "model": agent.model,
        "offered": agent.offered,
    }
    return note("agent_started", payload)
