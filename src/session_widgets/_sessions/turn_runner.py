"""Runs one turn: prepare, send, wait, finish. Its end is stored exactly once, by any process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from session_widgets._sandboxes import Sandbox
from session_widgets._sessions.agent import Agent
from session_widgets._sessions.agent_manager import AgentManager
from session_widgets._sessions.journal import draft, note
from session_widgets._sessions.limits import TurnClock, TurnLimitReached, TurnLimits
from session_widgets._sessions.owner import is_alive
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.prompt import check_taken
from session_widgets._sessions.resume import readable
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.snapshots import SnapshotManager
from session_widgets._sessions.state import SessionState
from session_widgets._sessions.tool_server import ToolServer
from session_widgets._sessions.turn import Turn
from session_widgets._sessions.warm_prompt import WarmPrompt, ask, prompt_drafts
from session_widgets.acp import Call, Received
from session_widgets.acp.messages import CHANGES, notification
from session_widgets.errors import (
    AgentExited,
    NotDurable,
    NotFound,
    SessionWidgetsError,
    TransportError,
    WorkspaceError,
)
from session_widgets.host.manifest import Manifest
from session_widgets.printing import printable
from session_widgets.transcript.notes import PersistStarted, PromptNotDelivered, TurnEnded
from session_widgets.transcript.records import Draft, Event, FileChange, TurnRecord, TurnStatus

OWNER_POLL_SECONDS = 0.3
QUIET_SECONDS = 0.5
"""Seconds after which an operation is shown to the user."""
GRACE_SECONDS = 2
"""How long saving the files of a stopped turn may still take."""
CANCEL_SECONDS = 10
"""How long an agent that still sends messages may take to obey `session/cancel` before it is killed."""
HUSH_SECONDS = 1.5
"""How long it may be silent then."""
KILL_SECONDS = 0.4
"""Time from SIGTERM to SIGKILL for a silent agent."""
UNSURE_SECONDS = 30
"""For the first message of a turn whose kernel may have died before it sent the prompt, if the server cannot tell."""
SILENCE_SECONDS = 5
"""How long its mount may then be silent: a process that waits for it can neither answer nor be stopped."""


class TurnRunner:
    """One turn that this process runs."""

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
        self.task: asyncio.Task[None] | None = None
        self._state = state
        self._sandboxes = sandboxes
        self._agents = agents
        self._permissions = permissions
        self._tools = tools
        self._snapshots = snapshots
        self._turn = turn
        self._record = record
        self._agent: Agent | None = warm.agent if warm else None
        self._call: Call | None = warm.call if warm else None
        self._own = True
        self._posted_well = False
        self._undelivered = 0
        self._posted = asyncio.Event()
        self._cancelled = False
        self._ending = False
        self._stopped = asyncio.Event()
        self._clock: TurnClock | None = None
        self._held: set[str] = set()
        self._woken = asyncio.Event()
        self._heard_at = 0.0
        self._saved: Manifest | None = None

    def heard(self, agent: Agent, size: int) -> None:
        """Count `size` bytes from an agent."""
        if agent is not self._agent:
            return
        self._heard_at = time.monotonic()
        if self._clock is not None and self._clock.heard(size):
            self._woken.set()

    def closing(self, agent: Agent, part: list[Received]) -> list[Draft]:
        """Return the end of the turn if these messages bring the agent's answer, and no file has to be saved.

        The runner has just listed the directory: nothing in it has changed.
        """
        *before, last = [received.message for received in part]
        if agent is not self._agent or self._call is None or last.get("id") != self._call.id or self._cancelled:
            return []
        result, told = last.get("result"), (message.get("method") for message in before)
        if not isinstance(result, dict) or result.get("stopReason") == "cancelled":
            return []
        if not self._sandboxes.works_at_location:
            return []  # earlier changes, and files that no snapshot lists, are not saved yet
        if not {"session/update", CHANGES}.issuperset(told) or self._clock is None or self._clock.is_over:
            return []  # a request or an answer of others comes first
        changes = next((m["params"] for m in before if m.get("method") == CHANGES), agent.changes)
        if changes.get("snapshot") != self._snapshot or changes["changes"] or changes["truncated"]:
            return []
        self._ending = True
        now, reason = datetime.now(UTC).isoformat(), result.get("stopReason")
        return [self._end(TurnEnded(status="completed", stop_reason=reason, durable_at=now))]

    def _end(self, ended: TurnEnded) -> Draft:
        return note(ended, turn=self._turn.index, source=f"turn:{self._turn.index}:end")

    @property
    def _is_stored(self) -> bool:
        """Whether the turn's end is stored."""
        with self._state.fold.lock:
            fold = self._state.fold.fold
            return self._turn.index in fold.turns and fold.turn(self._turn.index).ended_at is not None

    def asks(self, person: bool) -> None:
        """Pause the clock while a person is asked, or resume it."""
        self._hold("person", person)

    def waits(self, store: bool) -> None:
        """Pause the clock while another process holds the store, or resume it: agent messages then wait unread."""
        self._hold("store", store)

    def _hold(self, why: str, held: bool) -> None:
        (self._held.add if held else self._held.discard)(why)
        if self._clock is not None:
            self._clock.pause(bool(self._held))
            self._woken.set()

    async def run(self, *, adopted: bool) -> bool:
        """Run the turn to its stored end; False if it continues without this process."""
        watching = self._state.spawn(self._sandboxes.watch())
        try:
            return await self._run(adopted=adopted)
        finally:
            watching.cancel()

    async def _run(self, *, adopted: bool) -> bool:
        status: TurnStatus = "failed"
        stop_reason, failure = None, None
        try:
            self._own = not adopted
            result = await (self._rejoin() if adopted else self._begin())
            stop_reason = result.get("stopReason")
            status = "cancelled" if stop_reason == "cancelled" else "completed"
        except asyncio.CancelledError:
            if not self._cancelled:  # detached, not stopped: another or a later process finishes it
                return False
            status, stop_reason = "cancelled", "cancelled"
        except Exception as error:  # any failure becomes the turn's stored error
            if self._agent is not None and isinstance(error, AgentExited):
                self._agent.dead = error  # its stream may not report it
            status, failure = ("cancelled", None) if self._cancelled else ("failed", error)
            if isinstance(error, TurnLimitReached) and self._agent is not None and self._call is not None:
                self._ending = True  # a cancellation from now on waits for the end
                await self._stop_agent(self._agent, self._call, HUSH_SECONDS)
        await self._finish(status, stop_reason, failure)
        return True

    @property
    def answered(self) -> bool:
        """Whether the agent has answered the prompt, so that later messages belong to no turn of ours."""
        return self._call is not None and self._call.result.done()

    async def cancel(self) -> None:
        """Stop the turn in any phase, and wait until its end is stored."""
        self._cancelled = True
        self._stopped.set()
        self._permissions.stop()
        if self._agent is not None and self._call is not None and not self._ending:
            await self._stop_agent(self._agent, self._call, CANCEL_SECONDS)
            if self._call.result.done() and self.task is not None:
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
        if not self._ending:
            self.task.cancel()
        await asyncio.wait([self.task])

    async def _stop_agent(self, agent: Agent, call: Call, patience: float) -> None:
        """Request cancellation; kill the agent if it is silent, or has not stopped after `patience` seconds."""
        begun = self._heard_at = time.monotonic()
        with suppress(TimeoutError):  # it may still end the turn normally
            async with asyncio.timeout(HUSH_SECONDS):
                await self._tell_of_cancel(agent)
        await self._permissions.cancel_all()
        self._tools.cancel_calls()
        while (left := min(self._heard_at + HUSH_SECONDS, begun + patience) - time.monotonic()) > 0:
            if (await asyncio.wait([call.result], timeout=left))[0]:
                return
        await self._sandboxes.unblock(SILENCE_SECONDS)
        await self._agents.kill(agent, KILL_SECONDS)

    async def _tell_of_cancel(self, agent: Agent) -> None:
        envelope = notification("session/cancel", {"sessionId": agent.session_id})
        await self._posted.wait()
        with suppress(SessionWidgetsError):
            await self._state.journal.commit([self._out(envelope, "notification", "session/cancel")])
            await agent.connection.post(envelope)

    async def _begin(self) -> dict[str, Any]:
        """Send the prompt, once: another agent gets it if the ready one has proved dead."""
        if self._agent is not None and self._call is not None:
            try:
                return await self._send(self._agent, self._call)
            except (AgentExited, TransportError) as error:
                if self._posted_well:
                    raise
                if await self._has_arrived(self._agent, self._call, error):
                    return await self._rejoin()
                await self._take_back(self._agent, self._call.id, error)
        return await self._dispatch()

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
        """Record that a stored prompt did not reach its agent, so that any process may send it to another one."""
        agent.dead, self._call = error, None
        self._posted.clear()
        index, number = self._turn.index, self._undelivered + 1
        undelivered = PromptNotDelivered(request=request, reason=readable(error))
        await self._state.journal.commit([note(undelivered, turn=index, source=f"turn:{index}:undelivered:{number}")])
        self._undelivered = number

    async def _dispatch(self) -> dict[str, Any]:
        state, index = self._state, self._turn.index
        if not self._snapshots.apart:
            await self._snapshots.settled()
        sandbox, live = await self._sandboxes.probe_sandbox(refresh=True)
        agent = self._agent = await self._agents.ready(sandbox, live)
        if self._own:
            await self._agents.end_others(live)
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
        self._call = call
        return await self._send(agent, call)

    async def _send(self, agent: Agent, call: Call) -> dict[str, Any]:
        self._clock = TurnClock(self._state.limits)
        posting = self._state.spawn(agent.connection.post(call.envelope, snapshot=self._snapshot))
        try:
            await self._within_limits(posting, self._clock)
            self._posted_well = True
            agent.tier, agent.history = "warm", None
        finally:
            posting.cancel()
            self._posted.set()
        return await self._within_limits(call.result, self._clock) or {}

    async def _within_limits(self, result: asyncio.Future[Any], clock: TurnClock) -> Any:
        """Wait for the agent's answer.

        Raises:
            TurnLimitReached: a limit was exceeded.
        """
        while not result.done():
            self._woken.clear()
            if self._tools.busy and clock.is_silent:
                clock.alive()
            clock.check()
            woken = asyncio.ensure_future(self._woken.wait())
            try:
                await asyncio.wait({result, woken}, timeout=clock.left, return_when="FIRST_COMPLETED")
            finally:
                woken.cancel()
        return await result

    async def _rejoin(self) -> dict[str, Any]:
        """Continue another process's turn: send an unsent prompt, else wait for the answer."""
        state, index = self._state, self._turn.index
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
        agent = self._agent = await self._agents.rejoin(sandbox)
        if agent is None:
            if (answer := _answer(events)) is not None:
                return answer
            raise AgentExited("the agent's process ended while no kernel was attached, so the turn's end is unknown")
        envelope = dict(sent)
        result = agent.peer.expect(envelope["id"], "session/prompt")
        self._call = Call(envelope, result)
        events = await state.journal.ask(state.store.events, state.record.id, turn=index)
        if (answer := _answer(events)) is not None:  # stored before this process expected it
            self._posted.set()
            return answer
        takes_twice = "async-post" in await agent.connection.features()
        limits = state.limits if takes_twice else _unsure(state.limits)
        clock = self._clock = TurnClock(limits, begun=any(event.direction == "in" for event in events))
        self._permissions.take_again(agent, events, index)
        try:
            if takes_twice:  # the runner recognises the id if it was sent before
                await self._agents.post_again(sandbox, agent, envelope, self._snapshot)
        except AgentExited as error:  # the stream reports the rest, and the exit
            if error.unsent:
                await self._take_back(agent, envelope["id"], error)
                return await self._rejoin()
        finally:
            self._posted.set()
        return await self._within_limits(result, clock) or {}

    async def _finish(self, status: TurnStatus, stop_reason: str | None, failure: Exception | None) -> None:
        state = self._state
        self._ending = True
        error = None if failure is None else await self._explained(failure)
        if self._cancelled:
            await self._agents.leave_cancelled()
        if self._is_stored:
            self._over()
            return
        files, durable_at, durability_error = await self._changes()
        ended = TurnEnded(
            status=status,
            stop_reason=stop_reason,
            error=error,
            files=files,
            durable_at=durable_at,
            durability_error=durability_error,
        )
        end = self._end(ended)
        try:
            await state.journal.commit([end])
        except Exception as failure:  # if the end cannot be stored, waiting calls must end anyway
            text = f"{error or ''} The transcript could not be stored: {failure}".strip()
            self._turn.fail_unsaved(end, text)
            state.activity.tell(None)
        else:
            self._over(saved=durability_error is None)

    def _over(self, *, saved: bool = True) -> None:
        self._snapshots.begin(self._turn.index, self._saved, saved=saved)
        self._turn.finish()
        self._state.activity.tell(None)

    async def _explained(self, failure: Exception) -> str:
        """Add the state of an unresponsive sandbox to the error."""
        found = await self._sandboxes.look_for_sandbox() if isinstance(failure, TransportError) else None
        return f"{readable(failure)}. {found}" if found else readable(failure)

    async def _changes(self) -> tuple[tuple[FileChange, ...], str | None, str | None]:
        """Return the turn's changed files, when they were verified to be saved, or why not."""
        sandbox = self._sandboxes.sandbox
        if sandbox is None and (self._call is None or self._sandboxes.works_at_location):
            return (), None, None
        files: tuple[FileChange, ...] = ()
        try:
            files = await self._changed_files(sandbox)
        except SessionWidgetsError as error:
            if self._sandboxes.works_at_location:  # otherwise unknown which files to sync to disk
                return (), None, readable(error)
        try:
            await self._persist(files)
        except WorkspaceError as error:
            return files, None, printable(f"{error.reason}: {error}")
        except Exception as error:  # in any case, the turn ends
            return files, None, readable(error)
        return files, datetime.now(UTC).isoformat(), None

    async def _persist(self, files: Sequence[FileChange]) -> None:
        """Run the barrier; show it if it takes time, and wait only briefly after a cancellation."""
        state = self._state
        await self._snapshots.settled()
        saving, stopped = state.spawn(self._sandboxes.persist(files)), state.spawn(self._stopped.wait())
        try:
            done, _ = await asyncio.wait({saving, stopped}, timeout=QUIET_SECONDS, return_when="FIRST_COMPLETED")
            if not done:
                started = PersistStarted(attachment=state.workspace.attachment)
                await state.journal.commit([note(started, turn=self._turn.index)])
                await asyncio.wait({saving, stopped}, return_when="FIRST_COMPLETED")
            if stopped.done():
                await asyncio.wait({saving}, timeout=GRACE_SECONDS)
            if not saving.done():
                saving.cancel()
                raise NotDurable("the turn was stopped before its files were verified.", reason="interrupted")
            self._saved = saving.result()
        finally:
            stopped.cancel()

    async def _changed_files(self, sandbox: Sandbox | None) -> tuple[FileChange, ...]:
        if sandbox is None:
            return ()
        if self._agent is not None and self._agent.changes.get("snapshot") == self._snapshot:
            return sandbox.runner.changes_of(self._agent.changes)
        with suppress(NotFound, TransportError):  # without a runner there is no snapshot to compare with
            return await sandbox.runner.changes(self._snapshot)
        return ()

    @property
    def _snapshot(self) -> str:
        return f"turn-{self._turn.index}"

    def _out(self, envelope: dict[str, Any], kind: str, method: str, source: str = "") -> Draft:
        return draft("out", kind, envelope, self._turn.index, method=method, source=source)


def _unsure(limits: TurnLimits) -> TurnLimits:
    """Return limits for a prompt that must not be sent twice and that nobody may have sent."""
    return replace(limits, first_byte=min(limits.first_byte or UNSURE_SECONDS, UNSURE_SECONDS))


def _answer(events: Sequence[Event]) -> dict[str, Any] | None:
    """Return the result of the prompt among a turn's events, if any."""
    for event in events:
        if event.direction == "in" and event.method == "session/prompt" and event.kind == "response":
            return dict(event.payload.get("result") or {})
    return None
