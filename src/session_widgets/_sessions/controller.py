"""One session's life cycle: it joins the managers. Lives on the private loop; `Session` is its public face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from session_widgets._harnesses import catalog
from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import SandboxProvider, get_provider
from session_widgets._sandboxes.options import Sandbox
from session_widgets._sessions.agent_manager import AgentManager
from session_widgets._sessions.forking import fork
from session_widgets._sessions.journal import note
from session_widgets._sessions.kept_files import KeptFiles
from session_widgets._sessions.limits import TurnLimits
from session_widgets._sessions.loop import in_thread
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.permissions import Policy
from session_widgets._sessions.restoring import Restored, restore_files
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.sandbox_options import (
    SandboxOptions,
    check_attachment,
    check_options,
    sandbox_name,
)
from session_widgets._sessions.settings import Settings
from session_widgets._sessions.skills import Skills
from session_widgets._sessions.snapshots import SnapshotManager
from session_widgets._sessions.state import SessionState, Stored
from session_widgets._sessions.tool_server import ToolServer
from session_widgets._sessions.turn_manager import TurnManager
from session_widgets._store import Store
from session_widgets.errors import NotDurable, WorkspaceError
from session_widgets.model import Endpoint, ExecResult
from session_widgets.transcript.notes import SessionChanged, SessionSandbox
from session_widgets.transcript.records import Draft, Event
from session_widgets.transcript.sources import Folded
from session_widgets.workspaces import Workspace


class SessionController:
    """Joins the managers of one session in this process; parks, switches, restores, forks and deletes it."""

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
        state = SessionState(
            stored, store, workspace, limits, self._on_events, lambda busy: self.turns.wait_for_store(busy)
        )
        session_id = stored.record.id
        self.state = state
        self.permissions = PermissionBroker(state.journal, policy, state.spawn, lambda: self.turns.on_change())
        self.skills = Skills(store.home, session_id)
        self.sandbox_options = SandboxOptions(store, session_id)
        self.tools = ToolServer(session_id, state.journal, state.spawn, lambda: self.turns.running, self.skills)
        self.sandboxes = SandboxManager(
            state, provider, harness, self.sandbox_options, self.tools, lambda end: self.agents.release(end=end)
        )
        self.agents = AgentManager(state, self.sandboxes, self.permissions, self.tools, self.skills, lambda: self.turns)
        self.snapshots = SnapshotManager(state, lambda: self.turns.running)
        self.turns = TurnManager(
            state, self.sandboxes, self.agents, self.permissions, self.tools, self.snapshots, self.mark_deleted
        )
        self.settings = Settings(state, self.agents, self.permissions, self.turns)
        state.activity.watch(self.turns.on_change)
        state.fold.watch(self._on_folded)

    @property
    def status(self) -> str:
        """`new`, `idle`, `running`, `waiting`, `detached`, `parked` or `deleted`."""
        if self.state.deleted:
            return "deleted"
        if (turn := self.turns.active) is not None:
            return self.turns.activity_of(turn)
        return "idle" if self.sandboxes.sandbox is not None else self.state.record.status

    async def meet(self, seconds: float) -> None:
        """Start the agent without a prompt, to learn its options; `TimeoutError` after `seconds`."""
        async with self.turns.beginning, asyncio.timeout(seconds):
            self.state.check_usable()
            sandbox, live = await self.sandboxes.probe_sandbox(refresh=True)
            await self.agents.ready(sandbox, live)

    async def exec(self, command: str, **options: Any) -> ExecResult:
        """Run a shell command in the sandbox; see `Sandbox.exec`."""
        await self.snapshots.settled()
        return await (await self.sandboxes.ready_sandbox()).exec(command, **options)

    async def endpoint(self, port: int) -> Endpoint:
        """Return the address of a port of the sandbox."""
        return await (await self.sandboxes.ready_sandbox()).endpoint(port)

    async def detach(self) -> None:
        """Disconnect from the session; its turn continues in the sandbox without this process."""
        self.state.check_usable()
        self.state.detached = True
        async with self.turns.beginning:
            await self.disconnect()

    async def mark_deleted(self) -> None:
        """Handle the deletion of the session by another process."""
        self.state.deleted = True
        self.state.journal.close()
        await self.disconnect()
        self.permissions.page.tell()

    async def disconnect(self) -> None:
        """Close every connection; agent and sandbox keep running."""
        await self.turns.leave()
        await self.sandboxes.disconnect()
        self.permissions.forget()

    async def attach(self) -> None:
        """Reconnect to the session, and read everything that happened meanwhile."""
        if self.state.deleted:
            self.state.check_usable()
        self.state.detached = False
        await self.state.journal.catch_up()
        await self.turns.reattach()
        self.turns.on_change()

    async def park(self, *, force: bool = False) -> None:
        """Stop the sandbox and keep the workspace; the next prompt starts it again."""
        async with self._at_rest("parking", force=force):
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
        check_options(sandbox, provider, self.state.workspace, self.state.store.home)
        if changed:
            provider.check(new_harness.id, self.state.workspace.location)
            check_attachment(provider, self.state.workspace)
            async with self._at_rest("switching", force=force):
                await self.sandboxes.stop("switched", save=not force)
                await self._commit_sandbox([note(SessionChanged(**changed))], sandbox)
                left = self.sandboxes.provider
                self.sandboxes.use(provider, new_harness)
                await left.aclose()
                self.state.activity.tell(None)
        elif isinstance(sandbox, Sandbox):
            await self.set_sandbox(sandbox)

    async def restore(self, files: KeptFiles, path: str) -> Restored:
        """Put earlier files back; see `Session.restore`."""
        async with self.turns.none_running("restoring files would change them under its agent"):
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

    @asynccontextmanager
    async def _at_rest(self, doing: str, *, force: bool) -> AsyncIterator[None]:
        """Let no turn run meanwhile; unless forced, the workspace is saved before."""
        async with self.turns.none_running(f"{doing} would end it"):
            await self.snapshots.settled()
            try:
                if not force:
                    await self.sandboxes.save()
            except WorkspaceError as error:
                raise NotDurable(
                    f"{doing} was not done, because the workspace is not verified to be saved. {error} "
                    f"Solve that, or pass force=True: {self.sandboxes.unsaved}.",
                    reason=error.reason,
                ) from error
            yield

    async def delete(self, *, vacuum: bool = False) -> None:
        """Stop everything and remove sandbox, managed workspace and transcript."""
        if self.state.deleted:
            return
        await self.turns.cancel()
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
        await self.sandboxes.provider.aclose()
        self.state.journal.close()
        self.turns.on_change()
        self.permissions.page.tell()
        if vacuum:
            await asyncio.to_thread(self.state.store.compact)

    def _on_events(self, events: list[Event]) -> None:
        self.state.fold.feed(events)
        self.state.record = self.state.fold.fold.session() or self.state.record

    def _on_folded(self, folded: list[Folded]) -> None:
        for one in folded:
            if one.event.direction == "note":
                self._on_note(one.event)
            if one.options and one.event.direction == "in" and one.event.turn is not None:
                self.settings.follow_mode()

    def _on_note(self, event: Event) -> None:
        self.turns.take_note(event)
        self.snapshots.take_note(event)
        if event.kind == SessionSandbox.kind:
            self.sandboxes.forget_options()
