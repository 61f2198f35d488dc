"""`Session.aio`: the session's methods, awaitable from any event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes.options import Sandbox
from session_widgets._sessions.controller import SessionController
from session_widgets._sessions.file_diff import Diff
from session_widgets._sessions.file_history import diff, files_at
from session_widgets._sessions.files import AsyncFiles
from session_widgets._sessions.kept_files import KeptFiles
from session_widgets._sessions.limits import TurnLimits, check_limits
from session_widgets._sessions.loop import private_loop
from session_widgets._sessions.permissions import PermissionRequest, Policy, check_policy
from session_widgets._sessions.prompt import check_key, check_prompt, check_timeout
from session_widgets._sessions.questions import QuestionRequest
from session_widgets._sessions.restoring import Restored
from session_widgets._sessions.turn import Turn
from session_widgets.errors import BadValue
from session_widgets.model import Endpoint, ExecResult, check_session_id
from session_widgets.transcript.records import Event, Json
from session_widgets.transcript.transcript import Transcript

if TYPE_CHECKING:
    from session_widgets._sessions.session import Session

Prompt = str | Sequence[Json]

STREAM_POLL_SECONDS = 0.05


class AsyncSession:
    """The methods of `Session`; cancelling a task that awaits `send` cancels its turn."""

    def __init__(self, controller: SessionController, open_session: Callable[..., Session]) -> None:
        self._controller = controller
        self._open_session = open_session
        self.files = AsyncFiles(controller.sandboxes.files, controller.snapshots.settled)

    @property
    def turns(self) -> Coroutine[Any, Any, list[Turn]]:
        """`await session.aio.turns`; see `Session.turns`."""
        return self._turns()

    @property
    def pending(self) -> Coroutine[Any, Any, tuple[PermissionRequest, ...]]:
        """`await session.aio.pending`; see `Session.pending`."""
        return self._pending()

    @property
    def questions(self) -> Coroutine[Any, Any, tuple[QuestionRequest, ...]]:
        """`await session.aio.questions`; see `Session.questions`."""
        return self._questions()

    @property
    def transcript(self) -> Coroutine[Any, Any, Transcript]:
        """`await session.aio.transcript`; see `Session.transcript`."""
        return self._transcript()

    @property
    def snapshots(self) -> Coroutine[Any, Any, list[KeptFiles]]:
        """`await session.aio.snapshots`; see `Session.snapshots`."""
        return self._snapshots()

    async def send(self, prompt: Prompt, *, idempotency_key: str | None = None, timeout: float | None = None) -> Turn:
        """See `Session.send`."""
        check_timeout(timeout)
        try:
            turn = await self.start(prompt, idempotency_key=idempotency_key)
            async with asyncio.timeout(timeout):
                await turn
        except asyncio.CancelledError:
            await asyncio.shield(self.cancel())
            raise
        return turn

    async def start(self, prompt: Prompt, *, idempotency_key: str | None = None) -> Turn:
        """Send a prompt and return its turn at once; see `send`."""
        return await private_loop().aio(self._controller.turns.start(check_prompt(prompt), check_key(idempotency_key)))

    async def stream(self, prompt: Prompt) -> AsyncIterator[Event]:
        """See `Session.stream`; cancelling the task that iterates cancels the turn."""
        loop, arrived = asyncio.get_running_loop(), asyncio.Queue[list[Event]]()

        def deliver(events: list[Event]) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, events)

        journal = self._controller.state.journal
        await private_loop().aio(journal.watch(deliver, journal.cursor))
        try:
            turn = await self.start(prompt)
            while True:
                seen, over = turn.news_count, turn.ended
                while not arrived.empty():
                    for event in arrived.get_nowait():
                        if event.turn == turn.index:
                            yield event
                if over:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(STREAM_POLL_SECONDS):
                        await turn.news(seen)
                await self._controller.permissions.answer_here_async()
        except asyncio.CancelledError:
            await asyncio.shield(self.cancel())
            raise
        finally:
            private_loop().loop.call_soon_threadsafe(journal.unwatch, deliver)

    async def cancel(self) -> bool:
        """Stop the running turn and wait for its end. Returns False if none was running."""
        return await private_loop().aio(self._controller.turns.cancel())

    async def steer(self, prompt: Prompt) -> Turn:
        """Stop the running turn, if any, and start another."""
        return await private_loop().aio(self._controller.turns.steer(check_prompt(prompt)))

    async def set_model(self, id: str) -> None:
        """Choose the model; see `options`.

        It applies to every later start of the agent. A running turn keeps the old model.

        Raises:
            BadValue: the agent does not offer it; the message lists its options. Before the agent's first start this
                is unknown: then the first turn fails with that message. Harnesses with a settings file for the model
                accept any.
            AgentFailed: the agent refused it; nothing was changed.
        """
        await private_loop().aio(self._controller.settings.choose("model", id))

    async def set_mode(self, id: str) -> None:
        """Choose the agent's mode, even during a turn; see `set_model`."""
        await private_loop().aio(self._controller.settings.choose("mode", id))

    async def set_effort(self, id: str) -> None:
        """Choose the reasoning effort; see `set_model`."""
        await private_loop().aio(self._controller.settings.choose("effort", id))

    async def set_permissions(self, permissions: Policy) -> None:
        """Set the permission policy from now on; open requests still wait.

        Args:
            permissions: as for `open_session`. It is stored, unless it is a function.
        """
        await private_loop().aio(self._controller.settings.set_rules(check_policy(permissions), None))

    async def set_limits(self, limits: TurnLimits) -> None:
        """Set the limits of later turns; they are stored. A running turn keeps its own."""
        await private_loop().aio(self._controller.settings.set_rules(None, check_limits(limits)))

    async def detach(self) -> None:
        """Disconnect from the session: its turn continues in the sandbox until `attach()`."""
        await private_loop().aio(self._controller.detach())

    async def attach(self) -> None:
        """Reconnect to the session, and read everything that happened meanwhile."""
        await private_loop().aio(self._controller.attach())

    async def park(self, *, force: bool = False) -> None:
        """Stop the sandbox and all its processes; keep workspace and transcript. The next prompt starts it again.

        Args:
            force: park even if the workspace is not verified to be saved.

        Raises:
            SessionBusy: a turn is running.
            NotDurable: the workspace is not saved in its bucket, with the reason; nothing was stopped.
        """
        await private_loop().aio(self._controller.park(force=force))

    async def switch(
        self,
        *,
        harness: str | Harness | None = None,
        sandbox: str | Sandbox | None = None,
        token: str | None = None,
        force: bool = False,
    ) -> None:
        """Continue with another harness, in another sandbox, or both. The next prompt starts it, with the same files.

        The old sandbox is removed. `Turn.tier` tells how the agent regains its memory. Mode and effort of the old
        harness are dropped, and its model, unless both have a settings file for the model.

        Args:
            harness: as for `open_session`; None keeps it.
            sandbox: as for `open_session`; None keeps it.
            token: as for `open_session`.
            force: switch even if the workspace is not verified to be saved.

        Raises:
            SessionBusy: a turn is running.
            NotDurable: the workspace is not saved in its bucket, with the reason; nothing was changed.
            BadValue: there is no such harness or sandbox.
        """
        await private_loop().aio(self._controller.switch(harness, sandbox, token=token, force=force))

    async def take_over(self) -> None:
        """Acquire the lease of a workspace in a bucket: turns of its former holder then fail to be durable."""
        await private_loop().aio(self._controller.take_over())

    async def delete(self, *, vacuum: bool = False) -> None:
        """Delete the session: sandbox, transcript, and its workspace unless you gave it. There is no undo.

        Args:
            vacuum: also rewrite the store's file (`Store.compact`): otherwise deleted text can still be read in it. If
                this process is killed before that is done, call `store().compact()`: the session is already deleted.
        """
        await private_loop().aio(self._controller.delete(vacuum=vacuum))

    async def exec(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = 60,
    ) -> ExecResult:
        """Run a shell command in the sandbox. Interrupting the cell kills it.

        Args:
            command: for `sh -c`.
            cwd: directory relative to the workspace.
            env: variables added to the sandbox's own.
            stdin: input of the command.
            timeout: seconds; None for no limit.

        Returns:
            Exit code and output; a non-zero code raises nothing.

        Raises:
            ExecTimeout: it ran longer than `timeout` and was killed with all its children.
        """
        if not isinstance(command, str) or "\0" in command:
            raise BadValue(f"command must be text for `sh -c`, without NUL; got {command!r:.80}.")
        data = stdin.encode() if isinstance(stdin, str) else stdin
        return await private_loop().aio(self._controller.exec(command, cwd=cwd, env=env, stdin=data, timeout=timeout))

    async def endpoint(self, port: int) -> Endpoint:
        """Return the address of a port of the sandbox, such as that of a server which the agent has started.

        Args:
            port: named in `Sandbox(..., ports=[8000])`, for providers that have this option.

        Returns:
            `url`, and `headers` that a request needs: they contain a secret.

        Raises:
            SandboxError: the sandbox leads to no such port.
        """
        if type(port) is not int or not 1 <= port <= 65535:
            raise BadValue(f"port must be a number from 1 to 65535; got {port!r:.80}.")
        return await private_loop().aio(self._controller.endpoint(port))

    async def diff(self, turn: Turn | KeptFiles, other: Turn | KeptFiles | None = None) -> Diff:
        """Compare the files before a turn with those at its end, or the files of two times.

        The files before a turn are those at the end of the previous one; if they were not kept, the earlier contents
        are missing. `.git` and `.harness` are left out.

        Args:
            turn: a turn of any session, or `files_at_end` of one.
            other: the later of two times; None compares with the time before the turn.

        Returns:
            The created, modified and deleted files. A notebook draws them; `print(diff)` prints a unified diff.

        Raises:
            SessionBusy: the turn is running.
            FilesNotKept: the files were not kept, or were deleted to make room.

        Example:
            >>> session.diff(turn).modified
            ('hello.py',)
        """
        return await private_loop().aio(diff(await self._turns(), turn, other))

    async def restore(self, turn: Turn | KeptFiles, path: str = "") -> Restored:
        """Put the files back as they were at the end of a turn; files that were created since are deleted.

        The present files are kept before, so that it can be undone. The agent's memory (`.harness`) and the transcript
        stay, and so do files that were not kept. No sandbox is started.

        Args:
            turn: a turn of any session, or its `files_at_end`, or `previous` of an earlier restore.
            path: a file or folder; everything by default.

        Returns:
            The changes. `session.restore(restored.previous)` undoes them.

        Raises:
            SessionBusy: a turn is running.
            FilesNotKept: the files were not kept, or were deleted to make room.
            NotFound: there is no such path, neither now nor then.
            WorkspaceError: the files cannot be written, or were not verified to be saved; restore again.

        Example:
            >>> session.restore(session.turns[0]).deleted
            ('notes.md',)
        """
        return await private_loop().aio(self._restore(turn, path))

    async def _restore(self, turn: Turn | KeptFiles, path: str) -> Restored:
        return await self._controller.restore(await files_at(turn), path)

    async def fork(self, turn: Turn, id: str) -> Session:
        """Create a session that continues from the end of a turn, beside this one, which is not changed.

        It has the files and all events up to then, and the harness, sandbox, settings, rules and skills; a directory of
        your own is copied into one that belongs to the fork. Its first prompt restores the agent's memory
        (`Turn.tier`). `v_sessions` has its origin: `forked_from` and `forked_at_turn`. Functions and MCP servers are
        not copied: pass them to `open_session(id, tools=..., mcp_servers=...)`.

        Args:
            turn: an ended turn of this session.
            id: of the new session; if it is already a fork of this turn, that is returned.

        Raises:
            BadValue: the id or the turn is invalid.
            SessionConflict: another session has this id.
            SessionBusy: the turn is running.
            FilesNotKept: the files of the turn's end were not kept, or were deleted to make room.
            WorkspaceError: the files cannot be written; nothing was created.

        Example:
            >>> session.fork(session.turns[0], id="hello-again").send("Try it with a class")
        """
        arguments = await private_loop().aio(self._fork(turn, id))
        return await asyncio.to_thread(self._open_session, **arguments)

    async def _fork(self, turn: Turn, id: str) -> dict[str, Any]:
        """Create it, and return the arguments that open it."""
        if not isinstance(turn, Turn) or turn.session_id != self._controller.state.record.id:
            raise BadValue(f"fork() takes a turn of this session, such as session.turns[0]; got {turn!r:.80}.")
        return await self._controller.fork(turn.index, await files_at(turn), check_session_id(id))

    async def events(self, after: int = 0, limit: int | None = None) -> list[Event]:
        """See `Session.events`."""
        return await asyncio.to_thread(
            self._controller.state.store.events, self._controller.state.record.id, after, limit
        )

    async def _turns(self) -> list[Turn]:
        records = await asyncio.to_thread(self._controller.state.store.turns, self._controller.state.record.id)
        if records and records[-1].ended_at is None:
            await private_loop().aio(self._controller.turns.resume())  # another process may have begun it
        return [self._controller.turns.turn_of(record) for record in records]

    async def _pending(self) -> tuple[PermissionRequest, ...]:
        return tuple(self._controller.permissions.pending.values())

    async def _questions(self) -> tuple[QuestionRequest, ...]:
        return tuple(self._controller.permissions.questions.pending.values())

    async def _snapshots(self) -> list[KeptFiles]:
        return await private_loop().aio(self._controller.snapshots.all())

    async def _transcript(self) -> Transcript:
        return Transcript(self._controller.state.record.id, await self.events())
