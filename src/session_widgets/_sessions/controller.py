"""One session's state and life cycle. Everything here runs on the private loop; `Session` is its public face."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from session_widgets._harnesses import catalog
from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import SandboxProvider, get_provider
from session_widgets._sandboxes.options import Sandbox
from session_widgets._sessions.agent import Agent
from session_widgets._sessions.agent_manager import AgentManager
from session_widgets._sessions.forking import fork
from session_widgets._sessions.journal import kernel, next_number, note
from session_widgets._sessions.kept_files import KeptFiles
from session_widgets._sessions.limits import TurnLimits
from session_widgets._sessions.loop import in_thread
from session_widgets._sessions.owner import owner
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.permissions import Policy
from session_widgets._sessions.prompt import check_taken
from session_widgets._sessions.restoring import Restored, restore_files
from session_widgets._sessions.rules import Rules
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.sandbox_options import SandboxOptions, check_attachment, check_options, sandbox_name
from session_widgets._sessions.skills import Skills
from session_widgets._sessions.snapshots import SnapshotManager
from session_widgets._sessions.state import SessionState, Stored
from session_widgets._sessions.tool_server import ToolServer
from session_widgets._sessions.turn import Doing, Turn
from session_widgets._sessions.turn_runner import TurnRunner
from session_widgets._sessions.warm_prompt import WarmPrompt
from session_widgets._store import Store
from session_widgets.acp import Received
from session_widgets.errors import (
    AgentFailed,
    BadValue,
    NotDurable,
    SessionBusy,
    SessionGone,
    StoreBusy,
    WorkspaceError,
)
from session_widgets.model import Capability, ExecResult
from session_widgets.transcript.notes import SessionChanged, SessionRules, SessionSandbox, TurnEnded, TurnStarted
from session_widgets.transcript.options import Setting
from session_widgets.transcript.records import Draft, Event, Json, TurnRecord
from session_widgets.transcript.sources import Folded
from session_widgets.workspaces import Workspace


class SessionController:
    """Owns one session in this process: its running turn, its events, and its sandbox."""

    def __init__(
        self,
        stored: Stored,
        store: Store,
        provider: SandboxProvider,
        harness: Harness,
        workspace: Workspace,
        policy: Policy,
        limits: TurnLimits,
    ) -> None:
        state = SessionState(stored, store, workspace, limits, self._on_events, self._wait_for_store)
        session_id = stored.record.id
        self.state = state
        self.turn: Turn | None = None
        self.permissions = PermissionBroker(state.journal, policy, state.spawn, self._changed)
        self.skills = Skills(store.home, session_id)
        self.sandbox_options = SandboxOptions(store, session_id)
        self.tools = ToolServer(session_id, state.journal, state.spawn, lambda: state.running, self.skills)
        self.sandboxes = SandboxManager(
            state, provider, harness, self.sandbox_options, self.tools, lambda end: self.agents.release(end=end)
        )
        self.agents = AgentManager(
            state,
            self.sandboxes,
            self.permissions,
            self.tools,
            self.skills,
            self._current_turn,
            self._heard,
            self._closing,
        )
        self.snapshots = SnapshotManager(state)
        self._turn_runner: TurnRunner | None = None
        self._start_lock = asyncio.Lock()
        state.activity.watch(self._changed)
        state.fold.watch(self._on_folded)

    # Properties, valid at any time

    @property
    def status(self) -> str:
        """`new`, `idle`, `running`, `waiting`, `detached`, `parked` or `deleted`."""
        if self.state.deleted:
            return "deleted"
        if self.turn is not None and not self.turn.ended:
            return self.turn_activity(self.turn)
        return "idle" if self.sandboxes.sandbox is not None else self.state.record.status

    def turn_activity(self, turn: Turn) -> Doing:
        """Return the activity of a running turn, as far as this process knows."""
        if self.state.detached:
            return "detached"
        return "waiting" if self.permissions.waits else "running"

    # Turns

    async def start(self, prompt: Sequence[Json], idempotency_key: str | None = None) -> Turn:
        """Commit the prompt and start the turn. Cancelling this call cancels the turn."""
        async with self._start_lock:
            self.state.check_usable()
            await self._settle_unsaved()
            beginning = self.state.spawn(self._begin(prompt, idempotency_key))
            try:
                return await asyncio.shield(beginning)
            except asyncio.CancelledError:
                await beginning
                await self.cancel()
                raise

    async def _begin(self, prompt: Sequence[Json], idempotency_key: str | None) -> Turn:
        warm = await self._warm_prompt(prompt)
        started: list[Event] = []
        try:
            record, started = await asyncio.to_thread(self._store_turn, prompt, idempotency_key, warm)
        except SessionGone:
            await self.mark_deleted()
            raise
        finally:
            if warm is not None and len(started) < 2:
                self.snapshots.give_back(warm[0].notes)
                warm[0].drop()
                warm = None
        if not started:
            await self.state.journal.catch_up()
            await self._resume_turn()
            return self.turn_of(record)
        self.turn = Turn(self, record, self.state.fold)
        await self.state.journal.publish(started)
        self._drive(self.turn, record, warm=warm[0] if warm else None)
        return self.turn

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

    async def _warm_prompt(self, prompt: Sequence[Json]) -> tuple[WarmPrompt, Callable[[], bool]] | None:
        """Return the prompt for an agent that is ready, with a blocking check of its sandbox; None if none is."""
        if not await self.snapshots.settles():
            return None
        cursor = self.state.journal.cursor
        unchanged, sandbox = await self.sandboxes.warm(), self.sandboxes.sandbox
        agent = self.agents.warm(sandbox) if sandbox is not None else None
        if unchanged is None or agent is None:
            return None
        with suppress(BadValue):  # the turn fails with it
            check_taken(prompt, self.sandboxes.harness.title, agent.capabilities)
            return WarmPrompt(agent, prompt, self.snapshots.take_notes(), cursor), unchanged
        return None

    async def meet(self, seconds: float) -> None:
        """Start the agent without a prompt, to learn its options; `TimeoutError` after `seconds`."""
        async with self._start_lock, asyncio.timeout(seconds):
            self.state.check_usable()
            sandbox, live = await self.sandboxes.probe_sandbox(refresh=True)
            await self.agents.ready(sandbox, live)

    async def cancel(self) -> bool:
        """Stop the running turn and wait for its end; False if none is running."""
        turn = self.turn
        if turn is None or turn.ended or self._turn_runner is None:
            return False
        await self._turn_runner.cancel()
        return True

    async def steer(self, prompt: Sequence[Json]) -> Turn:
        """Stop the running turn, if any, and start another."""
        await self.cancel()
        return await self.start(prompt)

    def turn_of(self, record: TurnRecord) -> Turn:
        """Return the live object of a turn, or of an earlier one."""
        if self.turn is not None and self.turn.index == record.index:
            return self.turn
        return Turn(self, record)

    async def resume_turn(self) -> None:
        """Resume the turn that is running according to the store, if any: its process may have died."""
        if Capability.SHARES_FILES in self.sandboxes.provider.capabilities:
            await self.sandboxes.machine()  # the views show its root
        async with self._start_lock:
            await self._resume_turn()

    async def _resume_turn(self) -> None:
        if self._turn_runner is not None or self.state.detached or self.state.deleted:
            return
        turns = await self.state.journal.ask(self.state.store.turns, self.state.record.id)
        if not turns or turns[-1].ended_at is not None:
            return
        record = turns[-1]
        if self.turn is None or self.turn.index != record.index:
            await self._read_back(record.index)
            self.turn = Turn(self, record, self.state.fold)
        elif self.turn.ended:  # its end could not be stored: the next start does that
            return
        self.state.running = record.index
        self._drive(self.turn, record, adopted=True)

    async def _read_back(self, turn: int) -> None:
        """Fold a running turn from its beginning, if this process does not have it."""
        state, before = await self.state.journal.ask(self.state.store.turn_begin, self.state.record.id, turn)
        if before >= self.state.fold.after:
            return
        with self.state.fold.refold(state, before, turn) as take:
            take(await self.state.journal.ask(self.state.store.events, self.state.record.id, after=before))

    async def _current_turn(self) -> int | None:
        """Return the turn of an envelope that arrives now; another process may have started it."""
        if self._turn_runner is None or self._turn_runner.answered:
            await self.state.journal.catch_up()
        return self.state.running

    def _drive(self, turn: Turn, record: TurnRecord, *, adopted: bool = False, warm: WarmPrompt | None = None) -> None:
        self._turn_runner = TurnRunner(
            self.state, self.sandboxes, self.agents, self.permissions, self.tools, self.snapshots, turn, record, warm
        )
        self._turn_runner.task = self.state.spawn(self._run(self._turn_runner, turn.index, adopted=adopted))
        self._changed()

    async def _run(self, driver: TurnRunner, index: int, *, adopted: bool) -> None:
        """Run a turn to its end, then allow the next one."""
        if not await driver.run(adopted=adopted):
            return
        self._turn_runner = None
        self.state.fold.forget(index)
        self.permissions.forget()
        if self.state.running not in {None, index}:  # another process has already begun the next one
            self.state.spawn(self.resume_turn())

    async def _settle_unsaved(self) -> None:
        """Store the end of a turn that could not be stored before."""
        if self.turn is not None and self.turn.unsaved_end is not None:
            await self.state.journal.commit([self.turn.unsaved_end])
            self.turn.unsaved_end = None

    async def exec(self, command: str, **options: Any) -> ExecResult:
        """Run a shell command in the sandbox; see `Sandbox.exec`."""
        await self.snapshots.settled()
        return await (await self.sandboxes.ready_sandbox()).exec(command, **options)

    # Life cycle

    async def detach(self) -> None:
        """Disconnect from the session; its turn continues in the sandbox without this process."""
        self.state.check_usable()
        self.state.detached = True
        async with self._start_lock:
            await self.disconnect()

    async def mark_deleted(self) -> None:
        """Handle the deletion of the session by another process."""
        self.state.deleted = True
        self.state.journal.close()
        await self.disconnect()
        self.permissions.page.tell()

    async def disconnect(self) -> None:
        """Close every connection; agent and sandbox keep running."""
        if self._turn_runner is not None:
            await self._turn_runner.abandon()
            self._turn_runner = None
        await self.sandboxes.disconnect()
        self.permissions.forget()

    async def attach(self) -> None:
        """Reconnect to the session, and read everything that happened meanwhile."""
        if self.state.deleted:
            self.state.check_usable()
        self.state.detached = False
        await self.state.journal.catch_up()
        if self.turn is not None and not self.turn.ended:
            await self._settle_from_store(self.turn)
        await self.resume_turn()
        self._changed()

    async def _settle_from_store(self, turn: Turn) -> None:
        """Reload after a detachment: another process may have stored the end."""
        record = (await self.state.journal.ask(self.state.store.turns, self.state.record.id))[turn.index - 1]
        if record.ended_at is not None:
            turn.finish(record)

    async def park(self, *, force: bool = False) -> None:
        """Stop the sandbox and keep the workspace; the next prompt starts it again."""
        async with self._start_lock:
            await self._come_to_rest("parking", force=force)
            await self.sandboxes.stop("parked", save=not force)
            try:
                await self.sandboxes.release_workspace()
            except WorkspaceError:
                if not force:
                    raise
            self.state.activity.tell(None)

    async def set_sandbox(self, sandbox: Sandbox) -> None:
        """Store the sandbox's options; the next turn recreates the sandbox if they differ."""
        await self._commit_sandbox([], sandbox)

    async def _commit_sandbox(self, notes: list[Draft], sandbox: str | Sandbox | None) -> None:
        """Commit `notes` and the sandbox's options at once: a kernel that dies leaves both or neither."""
        options = self.sandbox_options
        kept = await asyncio.to_thread(options.keep, sandbox) if isinstance(sandbox, Sandbox) else None
        if kept is not None:
            notes = [*notes, kept]
        if notes:
            await self.state.journal.commit(notes)
        if kept is not None:
            await asyncio.to_thread(options.tidy)

    async def switch(
        self, harness: str | Harness | None, sandbox: str | Sandbox | None, *, token: str | None, force: bool
    ) -> None:
        """Remove the sandbox and continue with another harness or in another sandbox."""
        asked, current = harness or self.state.record.harness, self.sandboxes.harness
        new_harness = current if asked == current.id else catalog.get(asked)  # the catalog does not have the user's own
        name = sandbox_name(sandbox)
        wanted = {"harness": new_harness.id, "sandbox": name}
        changed: dict[str, str | None] = {
            name: value for name, value in wanted.items() if value not in {None, getattr(self.state.record, name)}
        }
        if "harness" in changed:  # each has its own ids; both may know models that settings files name
            both = self.sandboxes.harness.settings is not None and new_harness.settings is not None
            changed |= dict.fromkeys(("mode", "effort") if both else ("mode", "effort", "model"))
        provider = get_provider(name or self.state.record.sandbox, self.state.store.home, token)
        check_options(sandbox, provider)
        if changed:
            provider.check(new_harness.id, self.state.workspace.location)
            check_attachment(provider, self.state.workspace)
            async with self._start_lock:
                await self._come_to_rest("switching", force=force)
                await self.sandboxes.stop("switched", save=not force)
                await self._commit_sandbox([note(SessionChanged(**changed))], sandbox)
                self.sandboxes.provider, self.sandboxes.harness = provider, new_harness
                self.state.activity.tell(None)
        elif isinstance(sandbox, Sandbox):
            await self.set_sandbox(sandbox)

    async def restore(self, files: KeptFiles, path: str) -> Restored:
        """Put earlier files back; see `Session.restore`."""
        async with self._start_lock:
            await self._check_no_turn("restoring files would change them under its agent")
            return await restore_files(self.state, self.sandboxes, self.snapshots, files, path)

    async def fork(self, turn: int, files: KeptFiles, new_id: str) -> dict[str, Any]:
        """Create a fork; return the arguments of `open_session` for it."""
        self.state.check_usable()
        state = self.state
        await in_thread(fork, state.store, state.record.id, state.workspace, turn, files, new_id)
        made = await asyncio.to_thread(state.store.session, new_id)
        policy, harness = self.permissions.policy, self.sandboxes.harness
        own = made is not None and made.harness == harness.id  # the catalog does not have the user's own
        return {
            "id": new_id,
            "store": state.store,
            "harness": harness if own else None,
            "permissions": None if isinstance(policy, str) else policy,
        }

    async def take_over(self) -> None:
        """Acquire the workspace's lease."""
        self.state.check_usable()
        await self.sandboxes.take_over()

    async def _come_to_rest(self, doing: str, *, force: bool) -> None:
        """Make sure that no turn is running and, unless forced, that the workspace is saved."""
        await self._check_no_turn(f"{doing} would end it")
        await self.snapshots.settled()
        if force:
            return
        try:
            await self.sandboxes.save()
        except WorkspaceError as error:
            raise NotDurable(
                f"{doing} was not done, because the workspace is not verified to be saved. {error} "
                f"Solve that, or pass force=True: {self.sandboxes.unsaved}.",
                reason=error.reason,
            ) from error

    async def _check_no_turn(self, consequence: str) -> None:
        self.state.check_usable()
        await self._resume_turn()
        if self.turn is not None and not self.turn.ended:
            raise SessionBusy(
                f"turn {self.turn.index} of session {self.state.record.id!r} is running; {consequence}. "
                "Wait for it, or call cancel() first."
            )

    async def delete(self, *, vacuum: bool = False) -> None:
        """Stop everything and remove sandbox, managed workspace and transcript."""
        if self.state.deleted:
            return
        await self.cancel()
        self.state.deleted = True  # from here on no call starts it again
        try:
            await self.sandboxes.stop("deleted")
            await self.sandboxes.remove_workspace()
            await self.snapshots.remove()
            await asyncio.to_thread(self.skills.remove)
            await asyncio.to_thread(self.sandbox_options.remove)
            await asyncio.to_thread(self.state.store.delete_session, self.state.record.id)
        except BaseException:
            self.state.deleted = False  # so that the call can be repeated
            raise
        self.state.journal.close()
        self._changed()
        self.permissions.page.tell()
        if vacuum:
            await asyncio.to_thread(self.state.store.compact)

    async def change(self, settings: Mapping[str, str | None]) -> None:
        """Store new values of title, model, mode or effort; the next prompt applies them."""
        await self.state.journal.commit([note(SessionChanged(**settings))])

    async def set_rules(self, permissions: Policy | None, limits: TurnLimits | None) -> None:
        """Store a new policy or new limits, for the next request and the next turn; None keeps the old."""
        if permissions is not None:
            self.permissions.set_policy(permissions)
        self.state.limits = limits or self.state.limits
        if permissions is None and limits is None:
            return
        rules = Rules(self.permissions.policy, self.state.limits).stored()
        if rules != await asyncio.to_thread(self.state.store.last_note, self.state.record.id, SessionRules):
            await self.state.journal.commit([note(rules)])

    async def choose(self, name: Setting, value: str) -> None:
        """Store a new model, mode or effort, and set it at once if the agent accepts it now."""
        async with self._start_lock:
            self.state.check_usable()
            self._check_choice(name, value)
            before = getattr(self.state.record, name)
            if value != before:
                await self.change({name: value})
            if self.turn is not None and not self.turn.ended and name != "mode":
                return  # the next prompt does
            try:
                await self.agents.set(name, value)
            except (BadValue, AgentFailed):
                await self.change({name: before})
                raise

    def _check_choice(self, name: Setting, value: object) -> None:
        if not isinstance(value, str) or not value.strip():
            raise BadValue(f"{name} must be text; got {value!r:.80}.")
        if self.state.fold.options.started and not (name == "model" and self.agents.writes_settings):
            self.state.fold.options.check(name, value)

    def _follow_mode(self) -> None:
        """Store the mode that a person has approved, such as out of planning: otherwise it would be set back.

        A mode that the agent changes itself is not stored: the next prompt sets the user's mode again.
        """
        mode = self.state.fold.options.current("mode")
        if mode in self.permissions.approved_modes and self.state.record.mode not in {None, mode}:
            self.state.spawn(self.change({"mode": mode}))

    # Housekeeping

    def _wait_for_store(self, busy: StoreBusy | None) -> bool:
        """Whether to keep waiting for the store's file: another reader must not fail a turn."""
        if self._turn_runner is not None:
            self._turn_runner.waits(busy is not None)
        if busy is None:
            self.state.activity.wait_for(None)
            return True
        no_turn = self.state.running is None and (self.turn is None or self.turn.ended)
        if self.state.detached or self.state.deleted or no_turn:
            return False
        who = "another program of this notebook" if busy.pid == os.getpid() else f"process {busy.pid}"
        self.state.activity.wait_for(
            f"waiting for the transcript store, which {who} holds; the turn continues when it is closed"
        )
        return True

    def _on_events(self, events: list[Event]) -> None:
        self.state.fold.feed(events)
        self.state.record = self.state.fold.fold.session() or self.state.record

    def _on_folded(self, folded: list[Folded]) -> None:
        for one in folded:
            if one.event.direction == "note":
                self._on_note(one.event)
            if one.options and one.event.direction == "in" and one.event.turn is not None:
                self._follow_mode()

    def _on_note(self, event: Event) -> None:
        if event.kind == TurnStarted.kind:
            self.state.running = event.turn
            if self.turn is None or self.turn.index != event.turn:
                self.state.spawn(self.resume_turn())
        elif event.kind == TurnEnded.kind:
            self.state.running = None
            self.state.completed = event.payload.get("status") == "completed"
        elif event.kind == SessionSandbox.kind:
            self.sandboxes.forget_options()
        self.snapshots.heard(event)

    def _heard(self, agent: Agent, size: int) -> None:
        """Record that an agent has sent a message."""
        if self._turn_runner is not None:
            self._turn_runner.heard(agent, size)

    def _closing(self, agent: Agent, part: list[Received]) -> list[Draft]:
        """Return the turn's end, if these messages of its agent are all that it waits for."""
        return self._turn_runner.closing(agent, part) if self._turn_runner is not None else []

    def _changed(self) -> None:
        if self._turn_runner is not None:
            self._turn_runner.asks(self.permissions.waits)
        if self.turn is not None:
            self.turn.notify()
