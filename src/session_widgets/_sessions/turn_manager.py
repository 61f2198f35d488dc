"""The turns of one session in this process: whether one is running, and which. Lives on the private loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from session_widgets._sessions.agent import Agent
from session_widgets._sessions.agent_manager import AgentManager
from session_widgets._sessions.journal import kernel, next_number
from session_widgets._sessions.owner import owner
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.prompt import check_taken
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.snapshots import SnapshotManager
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.tool_server import ToolServer
from session_widgets._sessions.turn import Doing, Turn
from session_widgets._sessions.turn_runner import TurnRunner
from session_widgets._sessions.warm_prompt import WarmPrompt
from session_widgets.acp import Received
from session_widgets.errors import BadValue, SessionBusy, SessionGone, StoreBusy
from session_widgets.model import Capability
from session_widgets.transcript.notes import TurnEnded, TurnStarted
from session_widgets.transcript.records import Draft, Event, Json, TurnRecord


class TurnManager:
    """Begins turns, resumes those of other processes, and says whether one is running.

    Attributes:
        running: number of the running turn, in any process, according to the committed events.
        completed: whether the latest turn has a complete answer; None if this process has not seen its end.
        beginning: held while a turn begins, and by work that no turn may begin in.
    """

    def __init__(
        self,
        state: SessionState,
        sandboxes: SandboxManager,
        agents: AgentManager,
        permissions: PermissionBroker,
        tools: ToolServer,
        snapshots: SnapshotManager,
        on_gone: Callable[[], Awaitable[None]],
    ) -> None:
        self.state = state
        self.permissions = permissions
        self.snapshots = snapshots
        self.running: int | None = None
        self.completed: bool | None = None
        self.beginning = asyncio.Lock()
        self._sandboxes = sandboxes
        self._agents = agents
        self._tools = tools
        self._on_gone = on_gone
        self._latest: Turn | None = None
        self._start: asyncio.Task[Turn] | None = None
        self._runner: TurnRunner | None = None

    # Which turn is running

    @property
    def active(self) -> Turn | None:
        """The turn that has not ended, as far as this process knows; its end may be one that cannot be stored."""
        return None if self._latest is None or self._latest.ended else self._latest

    def activity_of(self, turn: Turn) -> Doing:
        """Return the activity of a running turn, as far as this process knows."""
        if self.state.detached:
            return "detached"
        return "waiting" if self.permissions.waits else "running"

    def turn_of(self, record: TurnRecord) -> Turn:
        """Return the live object of a turn, or of an earlier one."""
        if self._latest is not None and self._latest.index == record.index:
            return self._latest
        return Turn(self, record)

    @asynccontextmanager
    async def none_running(self, consequence: str) -> AsyncIterator[None]:
        """Let no turn begin meanwhile.

        Args:
            consequence: of this for a running turn, for people.

        Raises:
            SessionBusy: a turn is running, in any process.
        """
        async with self.beginning:
            self.state.check_usable()
            await self._resume()
            if self.active is not None:
                raise SessionBusy(
                    f"turn {self.active.index} of session {self.state.record.id!r} is running; {consequence}. "
                    "Wait for it, or call cancel() first."
                )
            yield

    def take_note(self, event: Event) -> None:
        """Follow a committed note, of any process."""
        if event.kind == TurnStarted.kind:
            self.running = event.turn
            if self._latest is None or self._latest.index != event.turn:
                self.state.spawn(self.resume())
        elif event.kind == TurnEnded.kind:
            self.running = None
            self.completed = event.payload.get("status") == "completed"

    # Beginning and stopping one

    async def start(self, prompt: Sequence[Json], idempotency_key: str | None = None) -> Turn:
        """Commit the prompt and start the turn. Cancelling this call cancels the turn."""
        async with self.beginning:
            self.state.check_usable()
            await self._settle_unsaved()
            start = self._start = self.state.spawn(self._begin(prompt, idempotency_key))
            try:
                return await asyncio.shield(start)
            except asyncio.CancelledError:
                await start
                await self.cancel()
                raise

    async def cancel(self) -> bool:
        """Stop the running turn and wait for its end; False if none is running."""
        if self.active is None or self._runner is None:
            return False
        await self._runner.cancel()
        return True

    async def steer(self, prompt: Sequence[Json]) -> Turn:
        """Stop the running turn, if any, and start another."""
        await self.cancel()
        return await self.start(prompt)

    async def _settle_unsaved(self) -> None:
        """Store the end of a turn that could not be stored before."""
        if self._latest is not None and self._latest.unsaved_end is not None:
            await self.state.journal.commit([self._latest.unsaved_end])
            self._latest.unsaved_end = None

    async def _begin(self, prompt: Sequence[Json], idempotency_key: str | None) -> Turn:
        warm = await self._warm_prompt(prompt)
        started: list[Event] = []
        try:
            record, started = await asyncio.to_thread(self._store_turn, prompt, idempotency_key, warm)
        except SessionGone:
            await self._on_gone()
            raise
        finally:
            if warm is not None and len(started) < 2:
                self.snapshots.give_back(warm[0].notes)
                warm[0].drop()
                warm = None
        if not started:
            await self.state.journal.catch_up()
            await self._resume()
            return self.turn_of(record)
        turn = self._latest = Turn(self, record, self.state.fold)
        await self.state.journal.publish(started)
        self._drive(turn, record, warm=warm[0] if warm else None)
        return turn

    async def _warm_prompt(self, prompt: Sequence[Json]) -> tuple[WarmPrompt, Callable[[], bool]] | None:
        """Return the prompt for an agent that is ready, with a blocking check of its sandbox; None if none is."""
        if not await self.snapshots.settles():
            return None
        cursor = self.state.journal.cursor
        unchanged, sandbox = await self._sandboxes.warm(), self._sandboxes.sandbox
        agent = self._agents.warm(sandbox) if sandbox is not None else None
        if unchanged is None or agent is None:
            return None
        with suppress(BadValue):  # the turn fails with it
            check_taken(prompt, self._sandboxes.harness.title, agent.capabilities)
            return WarmPrompt(agent, prompt, self.snapshots.take_notes(), cursor), unchanged
        return None

    def _store_turn(
        self, prompt: Sequence[Json], idempotency_key: str | None, warm: tuple[WarmPrompt, Callable[[], bool]] | None
    ) -> tuple[TurnRecord, list[Event]]:
        """Begin the turn in the store, with its envelope if the sandbox can be used as it is. Blocks."""
        return self.state.store.start_turn(
            self.state.record.id,
            prompt,
            idempotency_key=idempotency_key,
            owner=owner(),
            source=kernel(),
            source_seq=next_number(),
            ts=datetime.now(UTC),
            **({"more": warm[0].drafts} if warm is not None and warm[1]() else {}),
        )

    # Resuming one, and leaving it

    async def resume(self) -> None:
        """Resume the turn that is running according to the store, if any: its process may have died."""
        if Capability.SHARES_FILES in self._sandboxes.provider.capabilities:
            await self._sandboxes.machine()  # the views show its root
        async with self.beginning:
            await self._resume()

    async def _resume(self) -> None:
        if self._runner is not None or self.state.detached or self.state.deleted:
            return
        turns = await self.state.journal.ask(self.state.store.turns, self.state.record.id)
        if not turns or turns[-1].ended_at is not None:
            return
        record, turn = turns[-1], self._latest
        if turn is None or turn.index != record.index:
            await self._read_back(record.index)
            turn = self._latest = Turn(self, record, self.state.fold)
        elif turn.ended:  # its end could not be stored: the next start does that
            return
        self.running = record.index
        self._drive(turn, record, adopted=True)

    async def _read_back(self, turn: int) -> None:
        """Fold a running turn from its beginning, if this process does not have it."""
        state, before = await self.state.journal.ask(self.state.store.turn_begin, self.state.record.id, turn)
        if before >= self.state.fold.after:
            return
        with self.state.fold.refold(state, before, turn) as take:
            take(await self.state.journal.ask(self.state.store.events, self.state.record.id, after=before))

    async def reattach(self) -> None:
        """Continue after a detachment: another process may have stored the end, or begun another turn."""
        if (turn := self.active) is not None:
            record = (await self.state.journal.ask(self.state.store.turns, self.state.record.id))[turn.index - 1]
            if record.ended_at is not None:
                turn.finish(record)
        await self.resume()

    async def leave(self) -> None:
        """Stop running the turn without ending it."""
        if self._runner is not None:
            await self._runner.abandon()
            self._runner = None

    def _drive(self, turn: Turn, record: TurnRecord, *, adopted: bool = False, warm: WarmPrompt | None = None) -> None:
        runner = self._runner = TurnRunner(
            self.state,
            self._sandboxes,
            self._agents,
            self.permissions,
            self._tools,
            self.snapshots,
            turn,
            record,
            warm,
        )
        runner.task = self.state.spawn(self._run(runner, turn.index, adopted=adopted))
        self.on_change()

    async def _run(self, runner: TurnRunner, index: int, *, adopted: bool) -> None:
        """Run a turn to its end, then allow the next one."""
        if not await runner.run(adopted=adopted):
            return
        self._runner = None
        self.state.fold.forget(index)
        self.permissions.forget()
        if self.running not in {None, index}:  # another process has already begun the next one
            self.state.spawn(self.resume())

    # The events of the running turn

    async def of_messages(self) -> int | None:
        """Return the turn of messages that arrive now; another process may have started it."""
        if self._runner is None or self._runner.delivery.answered:
            await self.state.journal.catch_up()
        return self.running

    def heard(self, agent: Agent, size: int) -> None:
        """Record that an agent has sent `size` bytes."""
        if self._runner is not None:
            self._runner.heard(agent, size)

    def closing(self, agent: Agent, part: list[Received]) -> list[Draft]:
        """Return the turn's end, if these messages of its agent are all that it waits for."""
        return self._runner.closing(agent, part) if self._runner is not None else []

    async def delivered_or_not(self, agent: Agent) -> None:
        """Wait until it is known whether an agent that has ended received the prompt.

        If not, the notes of both are stored at once: a later process finds either the agent or that note, and sends the
        prompt to another one.
        """
        if self._start is not None:  # it may be storing the prompt
            await asyncio.wait({self._start})
        if self._runner is not None:
            await self._runner.delivery.known(agent)

    def on_change(self) -> None:
        """A person is asked or has answered, or the session's activity has changed."""
        if self._runner is not None:
            self._runner.wait.hold("person", self.permissions.waits)
        if self._latest is not None:
            self._latest.notify()

    def wait_for_store(self, busy: StoreBusy | None) -> bool:
        """Whether to keep waiting for the store's file: another reader must not fail a turn."""
        if self._runner is not None:
            self._runner.wait.hold("store", busy is not None)
        if busy is None:
            self.state.activity.wait_for(None)
            return True
        if self.state.detached or self.state.deleted or (self.running is None and self.active is None):
            return False
        who = "another program of this notebook" if busy.pid == os.getpid() else f"process {busy.pid}"
        self.state.activity.wait_for(
            f"waiting for the transcript store, which {who} holds; the turn continues when it is closed"
        )
        return True
