"""One session's state and life cycle. Everything here runs on the private loop; `Session` is its face."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

from session_widgets.acp import AcpConnection, Peer
from session_widgets.context import Context
from session_widgets.errors import (
    SandboxGone,
    SandboxNotRunning,
    SessionBusy,
    SessionError,
    SessionGone,
    TransportError,
)
from session_widgets.fold import Fold
from session_widgets.harnesses.catalog import Harness
from session_widgets.model import Draft, Event, ExecResult, Json, SandboxRef, SessionRecord, Tier, TurnRecord
from session_widgets.sandboxes import Sandbox, SandboxProvider, SandboxSpec
from session_widgets.sessions.agent import Agent
from session_widgets.sessions.asking import Asking
from session_widgets.sessions.driving import Driver
from session_widgets.sessions.journal import KERNEL, Journal, next_number, note
from session_widgets.sessions.owner import owner, user
from session_widgets.sessions.permissions import Policy
from session_widgets.sessions.pump import Pump
from session_widgets.sessions.resume import Ladder, Resumed, apply_settings
from session_widgets.sessions.turn import Turn
from session_widgets.store import Store
from session_widgets.workspaces import LocalWorkspace

Activity = Literal["running", "waiting", "detached"]


class SessionCore:
    """Owns the sandbox, the agent and the running turn of one session in this process."""

    def __init__(
        self,
        record: SessionRecord,
        store: Store,
        provider: SandboxProvider,
        harness: Harness,
        workspace: LocalWorkspace,
        policy: Policy,
    ) -> None:
        self.record = record
        self.store = store
        self.workspace = workspace
        self.deleted = False
        self.detached = False
        self.turn: Turn | None = None
        self.sandbox: Sandbox | None = None
        self.agent: Agent | None = None
        self._provider = provider
        self._harness = harness
        self._driver: Driver | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pump: asyncio.Task[None] | None = None
        self._sandbox_lock = asyncio.Lock()
        self._start_lock = asyncio.Lock()
        self._facts = Fold(record.id, Context(session=record))
        self._running: int | None = None
        self.journal = Journal(store, record.id, store.last_seq(record.id), self._on_events)
        self.asking = Asking(self.journal, policy, self.spawn, self._changed)

    # What others may ask at any time

    @property
    def status(self) -> str:
        """`new`, `idle`, `running`, `waiting`, `detached`, `parked` or `deleted`."""
        if self.deleted:
            return "deleted"
        if self.turn is not None and not self.turn.ended:
            return self.turn_activity(self.turn)
        return "idle" if self.sandbox is not None else self.record.status

    def turn_activity(self, turn: Turn) -> Activity:
        """Return what a turn that has not ended is doing, as far as this process knows."""
        if self.detached:
            return "detached"
        return "waiting" if self.asking.pending else "running"

    # Turns

    async def start(self, prompt: Sequence[Json], idempotency_key: str | None = None) -> Turn:
        """Commit the prompt and begin to work on it. Who stops waiting for that stops the turn."""
        async with self._start_lock:
            self._check_usable()
            await self._settle_unsaved()
            beginning = self.spawn(self._begin(prompt, idempotency_key))
            try:
                return await asyncio.shield(beginning)
            except asyncio.CancelledError:
                await beginning
                await self.cancel()
                raise

    async def _begin(self, prompt: Sequence[Json], idempotency_key: str | None) -> Turn:
        try:
            record, started = await asyncio.to_thread(
                self.store.start_turn,
                self.record.id,
                prompt,
                idempotency_key=idempotency_key,
                owner=owner(),
                source=KERNEL,
                source_seq=next_number(),
                ts=datetime.now(UTC),
            )
        except SessionGone:
            await self.forsake()
            raise
        if not started:
            await self.journal.catch_up()
            await self._adopt()
            return self.turn_of(record)
        self.turn = Turn(self, record, self._facts.context)
        await self.journal.publish(started)
        self._drive(self.turn, record)
        return self.turn

    async def cancel(self) -> bool:
        """Stop the running turn and wait for its end; False if none runs."""
        turn = self.turn
        if turn is None or turn.ended or self._driver is None:
            return False
        await self._driver.cancel()
        return True

    async def steer(self, prompt: Sequence[Json]) -> Turn:
        """Stop the running turn, if any, and start another."""
        await self.cancel()
        return await self.start(prompt)

    def turn_of(self, record: TurnRecord) -> Turn:
        """Return the live object of a turn, or one of the past."""
        if self.turn is not None and self.turn.index == record.index:
            return self.turn
        return Turn(self, record)

    async def adopt(self) -> None:
        """Take up the turn that is running according to the store, if any: whoever began it may be gone."""
        async with self._start_lock:
            await self._adopt()

    async def _adopt(self) -> None:
        if self._driver is not None or self.detached or self.deleted:
            return
        turns = await asyncio.to_thread(self.store.turns, self.record.id)
        if not turns or turns[-1].ended_at is not None:
            return
        record = turns[-1]
        if self.turn is None or self.turn.index != record.index:
            self.turn = Turn(self, record, self._facts.context)
        elif self.turn.ended:  # its end could not be stored: the next start does
            return
        self._running = record.index
        self.turn.feed(await asyncio.to_thread(self.store.events, self.record.id, turn=record.index))
        self._drive(self.turn, record, adopted=True)

    async def current_turn(self) -> int | None:
        """Return the turn that an envelope arriving now belongs to; another process may have started it."""
        if self._driver is None or self._driver.answered:
            await self.journal.catch_up()
        return self._running

    def _drive(self, turn: Turn, record: TurnRecord, *, adopted: bool = False) -> None:
        self._driver = Driver(self, turn, record)
        self._driver.task = self.spawn(self._driver.run(adopted=adopted))
        self._changed()

    def turn_over(self, index: int) -> None:
        """Make room for the next turn; called by the driver at the end of turn `index`."""
        self._driver = None
        self.asking.forget()
        if self._running not in {None, index}:  # another process has begun the next one already
            self.spawn(self.adopt())

    async def _settle_unsaved(self) -> None:
        """Store the end of a turn that could not be stored when it happened."""
        if self.turn is not None and self.turn.unsaved_end is not None:
            await self.journal.commit([self.turn.unsaved_end])
            self.turn.unsaved_end = None

    # Sandbox and agent

    async def exec(self, command: str, **options: Any) -> ExecResult:
        """Run a shell command in the sandbox; see `Sandbox.exec`."""
        return await (await self.ready_sandbox()).exec(command, **options)

    async def ready_sandbox(self) -> Sandbox:
        """Return a sandbox whose runner answers: the one in use, the recorded one, or, if that is gone, a new one."""
        return (await self.probe_sandbox())[0]

    async def watched_sandbox(self) -> Sandbox:
        """Return what `ready_sandbox` does, but leave a parked session parked: to look is not to use."""
        return (await self.probe_sandbox(wake=False))[0]

    async def probe_sandbox(self, *, wake: bool = True) -> tuple[Sandbox, list[str]]:
        """Return a sandbox whose runner answers, with the ids of the agent connections that live in it."""
        async with self._sandbox_lock:
            self._check_usable()
            if not wake and self.record.status == "parked":
                raise SandboxNotRunning(f"session {self.record.id!r} is parked; its next prompt starts it again.")
            if self.sandbox is not None and not self.workspace.path.is_dir():
                await self._provider.park(self.sandbox.ref)  # its runner stands in a directory that is no more
                await self.drop_sandbox()
            if self.sandbox is not None:
                try:
                    return self.sandbox, await self.sandbox.runner.connections()
                except TransportError:
                    await self.drop_sandbox()
            self.sandbox = await self._attach_or_create()
            return self.sandbox, await self.sandbox.runner.connections()

    async def _attach_or_create(self) -> Sandbox:
        self.workspace.make()
        if self.record.sandbox_ref is not None:
            ref = SandboxRef.parse(self.record.sandbox_ref)
            try:
                sandbox = await self._provider.attach(ref)
            except SandboxGone:
                await self.journal.commit([note("sandbox_stopped", {"ref": str(ref), "why": "gone"})])
            else:
                if self.record.status == "parked":
                    await self.journal.commit([note("sandbox_started", {"ref": str(ref)})])
                return sandbox

        async def announce(ref: SandboxRef) -> None:
            await self.journal.commit([note("sandbox_started", {"ref": str(ref)})])

        root = str(self.workspace.path)
        agents = {self._harness.id: self._harness.command(root)}
        return await self._provider.create(SandboxSpec(self.record.id, root, agents, owner=user()), announce)

    async def ready_agent(self, sandbox: Sandbox, live: Sequence[str]) -> Resumed:
        """Return an agent that has the session's memory; warm if its process is among the `live` ones."""
        agent = self.agent
        if agent is None or agent.dead is not None or agent.id not in live:
            await self._drop_agent()
            agent = await self.rejoin(sandbox) if self.record.connection in live else None
        if agent is None:
            return await self._start_agent(sandbox)
        await apply_settings(agent, self.record, self.journal)
        return Resumed(agent, "warm")

    async def _start_agent(self, sandbox: Sandbox) -> Resumed:
        turns = await asyncio.to_thread(self.store.turns, self.record.id)
        ladder = Ladder(self.record, self.journal, lambda agent: self._start_pump(agent, ladder))
        resumed = await ladder.start(await sandbox.endpoint(), [turn for turn in turns if turn.status == "completed"])
        agent = resumed.agent
        try:
            await apply_settings(agent, self.record, self.journal)
            await self.journal.commit([_started(agent, resumed.tier, self._harness.id)])
        except BaseException:
            await asyncio.shield(agent.connection.close())
            raise
        self.agent = agent
        return resumed

    async def rejoin(self, sandbox: Sandbox) -> Agent | None:
        """Connect to the recorded agent process, from the last envelope that is stored, unless this kernel is."""
        name = self.record.connection
        if self.agent is not None and self.agent.id == name and self.agent.dead is None:
            return self.agent
        await self._drop_agent()
        started = await asyncio.to_thread(self.store.last_note, self.record.id, "agent_started")
        if name is None or started is None or started.get("connection") != name:
            return None
        last = await asyncio.to_thread(self.store.last_source_seq, self.record.id, name)
        peer = Peer()
        endpoint = await sandbox.endpoint()
        connection = AcpConnection(endpoint, name, self.record.harness, last, on_post_failed=peer.fail)
        agent = Agent(connection, peer)
        agent.session_id = started["agent_session_id"]
        agent.info, agent.capabilities = started.get("agent_info") or {}, started.get("capabilities") or {}
        agent.config, agent.modes = started.get("config") or (), started.get("modes") or {}
        self.agent = agent
        self._start_pump(agent, None)
        return agent

    def _start_pump(self, agent: Agent, ladder: Ladder | None) -> None:
        def on_request(agent: Agent, message: dict[str, Any]) -> None:
            self.asking.take(agent, message, self._running)

        def on_update(message: dict[str, Any]) -> None:
            if ladder is not None and self.agent is not agent:
                ladder.take_update(message)

        async def turn() -> int | None:
            return await self.current_turn() if self.agent is agent else None

        pump = Pump(agent, self.journal, turn, on_request, on_update)
        self._pump = self.spawn(self._run_pump(agent, pump))

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
            await self.journal.commit([stopped])
        await agent.connection.detach()

    async def drop_sandbox(self) -> None:
        """Forget a sandbox whose runner does not answer."""
        sandbox, self.sandbox = self.sandbox, None
        if sandbox is not None:
            await sandbox.aclose()

    async def _drop_agent(self) -> None:
        agent, self.agent = self.agent, None
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        if agent is not None:
            await agent.connection.detach()

    # Life cycle

    async def detach(self) -> None:
        """Let go of the session; its turn goes on in the sandbox, and this process hears no more of it."""
        self._check_usable()
        self.detached = True
        async with self._start_lock:
            await self.let_go()

    async def forsake(self) -> None:
        """Take note that another process has deleted the session."""
        self.deleted = True
        self.journal.close()
        await self.let_go()

    async def let_go(self) -> None:
        """Close every connection; whatever runs goes on."""
        if self._driver is not None:
            await self._driver.abandon()
            self._driver = None
        await self._drop_agent()
        await self.drop_sandbox()
        self.asking.forget()

    async def attach(self) -> None:
        """Take the session up again, with everything that happened meanwhile."""
        if self.deleted:
            self._check_usable()
        self.detached = False
        await self.journal.catch_up()
        if self.turn is not None and not self.turn.ended:
            await self._settle_from_store(self.turn)
        await self.adopt()
        self._changed()

    async def _settle_from_store(self, turn: Turn) -> None:
        """Another process may have seen the end while this one was detached."""
        record = (await asyncio.to_thread(self.store.turns, self.record.id))[turn.index - 1]
        if record.ended_at is not None:
            turn.finish(record)

    async def park(self) -> None:
        """Stop the sandbox and keep the workspace; the next prompt starts it again."""
        self._check_usable()
        await self.adopt()
        if self.turn is not None and not self.turn.ended:
            raise SessionBusy(
                f"turn {self.turn.index} of session {self.record.id!r} is running; parking would end it. "
                "Wait for it, or call cancel() first."
            )
        await self._stop_sandbox(destroy=False)

    async def delete(self) -> None:
        """Stop everything and remove sandbox, managed workspace and transcript."""
        if self.deleted:
            return
        await self.cancel()
        self.deleted = True  # from here on nobody wakes it again
        try:
            await self._stop_sandbox(destroy=True)
            await asyncio.to_thread(self.workspace.remove)
            await asyncio.to_thread(self.store.delete_session, self.record.id)
        except BaseException:
            self.deleted = False  # so that it can be tried again
            raise
        self.journal.close()
        self._changed()

    async def _stop_sandbox(self, *, destroy: bool) -> None:
        async with self._sandbox_lock:
            await self._drop_agent()
            await self.drop_sandbox()
            if self.record.sandbox_ref is None:
                return
            ref = SandboxRef.parse(self.record.sandbox_ref)
            if destroy:
                await self._provider.destroy(ref)
            else:
                await self._provider.park(ref)
            await self.journal.commit(
                [note("sandbox_stopped", {"ref": str(ref), "why": "deleted" if destroy else "parked"})]
            )

    async def change(self, settings: Mapping[str, str | None]) -> None:
        """Store new values of title, model, mode or effort; the agent hears of them with the next prompt."""
        await self.journal.commit([note("session_changed", settings)])

    # Housekeeping

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` beside everything else and keep it from being collected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _on_events(self, events: list[Event]) -> None:
        for event in events:
            if event.direction == "note":
                self._on_note(event)
        if self.turn is not None:
            self.turn.feed(events)

    def _on_note(self, event: Event) -> None:
        self._facts.feed(event)
        if event.turn is not None:
            self._facts.forget(event.turn)
        self.record = self._facts.session() or self.record
        if event.kind == "turn_started":
            self._running = event.turn
            if self.turn is None or self.turn.index != event.turn:
                self.spawn(self.adopt())
        elif event.kind == "turn_ended":
            self._running = None

    def _changed(self) -> None:
        if self.turn is not None:
            self.turn.notify()

    def _check_usable(self) -> None:
        if self.deleted:
            raise SessionGone(f"session {self.record.id!r} was deleted. Open a new one with open_session().")
        if self.detached:
            raise SessionError(f"session {self.record.id!r} is detached. Call attach() first.")


def _started(agent: Agent, tier: Tier, harness: str) -> Draft:
    payload = {
        "connection": agent.id,
        "agent_session_id": agent.session_id,
        "tier": tier,
        "harness": harness,
        "agent_info": agent.info,
        "capabilities": agent.capabilities,
        "config": list(agent.config),
        "modes": agent.modes,
    }
    return note("agent_started", payload)
