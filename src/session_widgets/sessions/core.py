"""One session's state and life cycle. Everything here runs on the private loop; `Session` is its face."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from session_widgets.errors import (
    AgentFailed,
    BadValue,
    NotDurable,
    SessionBusy,
    SessionError,
    SessionGone,
    StoreBusy,
    WorkspaceError,
)
from session_widgets.harnesses import catalog
from session_widgets.harnesses.harness import Harness
from session_widgets.model import ExecResult
from session_widgets.sandboxes import SandboxProvider, get_provider
from session_widgets.sandboxes.options import Sandbox
from session_widgets.sessions.activity import Activity
from session_widgets.sessions.agent import Agent
from session_widgets.sessions.agent_keeper import AgentKeeper
from session_widgets.sessions.asking import Asking
from session_widgets.sessions.driving import Driver
from session_widgets.sessions.journal import Journal, kernel, next_number, note
from session_widgets.sessions.limits import TurnLimits
from session_widgets.sessions.machine import Machine
from session_widgets.sessions.offering import Offering
from session_widgets.sessions.owner import owner
from session_widgets.sessions.permissions import Policy
from session_widgets.sessions.rules import Rules
from session_widgets.sessions.sandbox_options import SandboxOptions, check_options, sandbox_name
from session_widgets.sessions.skills import Skills
from session_widgets.sessions.turn import Turn
from session_widgets.store import Store
from session_widgets.transcript.notes import SessionChanged, SessionRules, TurnEnded, TurnStarted
from session_widgets.transcript.options import AgentOptions, Setting
from session_widgets.transcript.records import Draft, Event, Json, SessionRecord, TurnRecord
from session_widgets.transcript.sources import Folded, SharedFold
from session_widgets.workspaces import Workspace

Doing = Literal["running", "waiting", "detached"]


class SessionCore:
    """Owns the running turn of one session in this process, its events, and its machine."""

    def __init__(
        self,
        record: SessionRecord,
        store: Store,
        provider: SandboxProvider,
        harness: Harness,
        workspace: Workspace,
        policy: Policy,
        limits: TurnLimits,
    ) -> None:
        self.record = record
        self.store = store
        self.workspace = workspace
        self.limits = limits
        self.deleted = False
        self.detached = False
        self.turn: Turn | None = None
        self.activity = Activity()
        self.activity.watch(self._changed)
        self.machine = Machine(self, provider, harness)
        self.agents = AgentKeeper(self)
        self._driver: Driver | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._start_lock = asyncio.Lock()
        last_seq = store.last_seq(record.id)
        self.fold = SharedFold(
            record.id,
            replace(store.fold_state(record.id), session=record),
            after=last_seq,
            first_turn=record.turns + 1,
            options=AgentOptions.of(store.setting_events(record.id) if record.agent_session_id else ()),
        )
        self.fold.watch(self._on_folded)
        self.running: int | None = None
        self.journal = Journal(store, record.id, last_seq, self._on_events, self._wait_for_store)
        self.asking = Asking(self.journal, policy, self.spawn, self._changed)
        self.skills = Skills(store.home, record.id)
        self.sandbox_options = SandboxOptions(store, record.id)
        self.offering = Offering(record.id, self.journal, self.spawn, lambda: self.running, self.skills)

    # What others may ask at any time

    @property
    def status(self) -> str:
        """`new`, `idle`, `running`, `waiting`, `detached`, `parked` or `deleted`."""
        if self.deleted:
            return "deleted"
        if self.turn is not None and not self.turn.ended:
            return self.turn_activity(self.turn)
        return "idle" if self.machine.sandbox is not None else self.record.status

    def turn_activity(self, turn: Turn) -> Doing:
        """Return what a turn that has not ended is doing, as far as this process knows."""
        if self.detached:
            return "detached"
        return "waiting" if self.asking.waits else "running"

    # Turns

    async def start(self, prompt: Sequence[Json], idempotency_key: str | None = None) -> Turn:
        """Commit the prompt and begin to work on it. Who stops waiting for that stops the turn."""
        async with self._start_lock:
            self.check_usable()
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
                source=kernel(),
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
        self.turn = Turn(self, record, self.fold)
        await self.journal.publish(started)
        self._drive(self.turn, record)
        return self.turn

    async def meet(self, seconds: float) -> None:
        """Start the agent without a prompt, so that it tells what it offers; `TimeoutError` after `seconds`."""
        async with self._start_lock, asyncio.timeout(seconds):
            self.check_usable()
            sandbox, live = await self.machine.probe_sandbox(refresh=True)
            await self.agents.ready(sandbox, live)

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
        turns = await self.journal.ask(self.store.turns, self.record.id)
        if not turns or turns[-1].ended_at is not None:
            return
        record = turns[-1]
        if self.turn is None or self.turn.index != record.index:
            await self._read_back(record.index)
            self.turn = Turn(self, record, self.fold)
        elif self.turn.ended:  # its end could not be stored: the next start does
            return
        self.running = record.index
        self._drive(self.turn, record, adopted=True)

    async def _read_back(self, turn: int) -> None:
        """Fold a running turn from its beginning, if this process did not see that."""
        state, before = await self.journal.ask(self.store.turn_begin, self.record.id, turn)
        if before >= self.fold.after:
            return
        with self.fold.refold(state, before, turn) as take:
            take(await self.journal.ask(self.store.events, self.record.id, after=before))

    async def current_turn(self) -> int | None:
        """Return the turn that an envelope arriving now belongs to; another process may have started it."""
        if self._driver is None or self._driver.answered:
            await self.journal.catch_up()
        return self.running

    def _drive(self, turn: Turn, record: TurnRecord, *, adopted: bool = False) -> None:
        self._driver = Driver(self, turn, record)
        self._driver.task = self.spawn(self._driver.run(adopted=adopted))
        self._changed()

    def turn_over(self, index: int) -> None:
        """Make room for the next turn; called by the driver at the end of turn `index`."""
        self._driver = None
        self.fold.forget(index)
        self.asking.forget()
        if self.running not in {None, index}:  # another process has begun the next one already
            self.spawn(self.adopt())

    async def _settle_unsaved(self) -> None:
        """Store the end of a turn that could not be stored when it happened."""
        if self.turn is not None and self.turn.unsaved_end is not None:
            await self.journal.commit([self.turn.unsaved_end])
            self.turn.unsaved_end = None

    async def exec(self, command: str, **options: Any) -> ExecResult:
        """Run a shell command in the sandbox; see `Sandbox.exec`."""
        return await (await self.machine.ready_sandbox()).exec(command, **options)

    # Life cycle

    async def detach(self) -> None:
        """Let go of the session; its turn goes on in the sandbox, and this process hears no more of it."""
        self.check_usable()
        self.detached = True
        async with self._start_lock:
            await self.let_go()

    async def forsake(self) -> None:
        """Take note that another process has deleted the session."""
        self.deleted = True
        self.journal.close()
        await self.let_go()
        self.asking.page.tell()

    async def let_go(self) -> None:
        """Close every connection; whatever runs goes on."""
        if self._driver is not None:
            await self._driver.abandon()
            self._driver = None
        await self.machine.let_go()
        self.asking.forget()

    async def attach(self) -> None:
        """Take the session up again, with everything that happened meanwhile."""
        if self.deleted:
            self.check_usable()
        self.detached = False
        await self.journal.catch_up()
        if self.turn is not None and not self.turn.ended:
            await self._settle_from_store(self.turn)
        await self.adopt()
        self._changed()

    async def _settle_from_store(self, turn: Turn) -> None:
        """Another process may have seen the end while this one was detached."""
        record = (await self.journal.ask(self.store.turns, self.record.id))[turn.index - 1]
        if record.ended_at is not None:
            turn.finish(record)

    async def park(self, *, force: bool = False) -> None:
        """Stop the sandbox and keep the workspace; the next prompt starts it again."""
        async with self._start_lock:
            await self._come_to_rest("parking", force=force)
            await self.machine.stop("parked", save=not force)
            try:
                await self.machine.release_workspace()
            except WorkspaceError:
                if not force:
                    raise
            self.activity.tell(None)

    async def set_sandbox(self, sandbox: Sandbox) -> None:
        """Keep what the sandbox is made of; the next turn makes one anew that is made of something else."""
        await self._commit_sandbox([], sandbox)

    async def _commit_sandbox(self, notes: list[Draft], sandbox: str | Sandbox | None) -> None:
        """Commit `notes` and what the sandbox is made of at once: a kernel that dies leaves both or neither."""
        options = self.sandbox_options
        kept = await asyncio.to_thread(options.keep, sandbox) if isinstance(sandbox, Sandbox) else None
        if kept is not None:
            notes = [*notes, kept]
        if notes:
            await self.journal.commit(notes)
        if kept is not None:
            await asyncio.to_thread(options.tidy)

    async def switch(
        self, harness: str | Harness | None, sandbox: str | Sandbox | None, *, force: bool = False
    ) -> None:
        """Remove the sandbox and go on with another harness or in another one."""
        asked, current = harness or self.record.harness, self.machine.harness
        new_harness = current if asked == current.id else catalog.get(asked)  # the user's own is not there
        name = sandbox_name(sandbox)
        wanted = {"harness": new_harness.id, "sandbox": name}
        changed: dict[str, str | None] = {
            name: value for name, value in wanted.items() if value not in {None, getattr(self.record, name)}
        }
        if "harness" in changed:  # each has ids of its own; models that settings files name may be known to both
            both = self.machine.harness.settings is not None and new_harness.settings is not None
            changed |= dict.fromkeys(("mode", "effort") if both else ("mode", "effort", "model"))
        provider = get_provider(name or self.record.sandbox, self.store.home)
        check_options(sandbox, provider)
        if changed:
            provider.check(new_harness.id, self.workspace.location)
            async with self._start_lock:
                await self._come_to_rest("switching", force=force)
                await self.machine.stop("switched")
                await self._commit_sandbox([note(SessionChanged(**changed))], sandbox)
                self.machine.provider, self.machine.harness = provider, new_harness
                self.activity.tell(None)
        elif isinstance(sandbox, Sandbox):
            await self.set_sandbox(sandbox)

    async def take_over(self) -> None:
        """Become the one writer of the workspace."""
        self.check_usable()
        await self.machine.take_over()

    async def _come_to_rest(self, doing: str, *, force: bool) -> None:
        """Make sure that no turn runs and, unless forced, that the workspace is safe."""
        self.check_usable()
        await self._adopt()
        if self.turn is not None and not self.turn.ended:
            raise SessionBusy(
                f"turn {self.turn.index} of session {self.record.id!r} is running; {doing} would end it. "
                "Wait for it, or call cancel() first."
            )
        if force:
            return
        try:
            await self.machine.save()
        except WorkspaceError as error:
            raise NotDurable(
                f"{doing} was not done, for the workspace is not proven to be safe. {error} "
                "Mend that, or pass force=True: the files stay on this machine, and the bucket lacks what is new.",
                reason=error.reason,
            ) from error

    async def delete(self, *, vacuum: bool = False) -> None:
        """Stop everything and remove sandbox, managed workspace and transcript."""
        if self.deleted:
            return
        await self.cancel()
        self.deleted = True  # from here on nobody wakes it again
        try:
            await self.machine.stop("deleted")
            await self.machine.remove_workspace()
            await asyncio.to_thread(self.skills.remove)
            await asyncio.to_thread(self.sandbox_options.remove)
            await asyncio.to_thread(self.store.delete_session, self.record.id)
        except BaseException:
            self.deleted = False  # so that it can be tried again
            raise
        self.journal.close()
        self._changed()
        self.asking.page.tell()
        if vacuum:
            await asyncio.to_thread(self.store.compact)

    async def change(self, settings: Mapping[str, str | None]) -> None:
        """Store new values of title, model, mode or effort; the agent hears of them with the next prompt."""
        await self.journal.commit([note(SessionChanged(**settings))])

    async def set_rules(self, permissions: Policy | None, limits: TurnLimits | None) -> None:
        """Keep a new policy or new limits, from the next request and the next turn on; None keeps the old."""
        if permissions is not None:
            self.asking.set_policy(permissions)
        self.limits = limits or self.limits
        if permissions is None and limits is None:
            return
        rules = Rules(self.asking.policy, self.limits).stored()
        if rules != await asyncio.to_thread(self.store.last_note, self.record.id, SessionRules):
            await self.journal.commit([note(rules)])

    async def choose(self, name: Setting, value: str) -> None:
        """Store a new model, mode or effort, and set it at once where the agent can take it."""
        async with self._start_lock:
            self.check_usable()
            self._check_choice(name, value)
            before = getattr(self.record, name)
            if value != before:
                await self.change({name: value})
            if self.turn is not None and not self.turn.ended and name != "mode":
                return  # with the next prompt
            try:
                await self.agents.set(name, value)
            except (BadValue, AgentFailed):
                await self.change({name: before})
                raise

    def _check_choice(self, name: Setting, value: object) -> None:
        if not isinstance(value, str) or not value.strip():
            raise BadValue(f"{name} must be text; got {value!r:.80}.")
        if self.fold.options.started and not (name == "model" and self.agents.writes_settings):
            self.fold.options.check(name, value)

    def _follow_mode(self) -> None:
        """Want the mode that a person has let the agent go to, such as out of planning: else it would be set back.

        What an agent chooses by itself stays its own choice: the next prompt sets the user's mode again.
        """
        mode = self.fold.options.current("mode")
        if mode in self.asking.approved_modes and self.record.mode not in {None, mode}:
            self.spawn(self.change({"mode": mode}))

    # Housekeeping

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` beside everything else and keep it from being collected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _wait_for_store(self, busy: StoreBusy | None) -> bool:
        """Whether to wait on for the store's file: a turn never fails because somebody reads it."""
        if self._driver is not None:
            self._driver.waits(busy is not None)
        if busy is None:
            self.activity.wait_for(None)
            return True
        if self.detached or self.deleted or (self.running is None and (self.turn is None or self.turn.ended)):
            return False
        who = "another program of this notebook" if busy.pid == os.getpid() else f"process {busy.pid}"
        self.activity.wait_for(
            f"waiting for the transcript store, which {who} holds; the turn goes on when it is closed"
        )
        return True

    def _on_events(self, events: list[Event]) -> None:
        self.fold.feed(events)
        self.record = self.fold.fold.session() or self.record

    def _on_folded(self, folded: list[Folded]) -> None:
        for one in folded:
            if one.event.direction == "note":
                self._on_note(one.event)
            if one.options and one.event.direction == "in" and one.event.turn is not None:
                self._follow_mode()

    def _on_note(self, event: Event) -> None:
        if event.kind == TurnStarted.kind:
            self.running = event.turn
            if self.turn is None or self.turn.index != event.turn:
                self.spawn(self.adopt())
        elif event.kind == TurnEnded.kind:
            self.running = None

    def heard(self, agent: Agent, size: int) -> None:
        """Take note that an agent has sent something."""
        if self._driver is not None:
            self._driver.heard(agent, size)

    def _changed(self) -> None:
        if self._driver is not None:
            self._driver.asks(self.asking.waits)
        if self.turn is not None:
            self.turn.notify()

    def check_usable(self) -> None:
        """Raise unless the session can be worked with."""
        if self.deleted:
            raise SessionGone(f"session {self.record.id!r} was deleted. Open a new one with open_session().")
        if self.detached:
            raise SessionError(f"session {self.record.id!r} is detached. Call attach() first.")
