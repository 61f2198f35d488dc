"""One prompt to its stop reason, live while it runs."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, Protocol

from session_widgets._sessions.change_signal import ChangeSignal
from session_widgets._sessions.handover import handed_over
from session_widgets._sessions.kept_files import KeptFiles
from session_widgets._sessions.loop import private_loop
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.snapshots import SnapshotManager
from session_widgets._sessions.state import SessionState
from session_widgets._store.redaction import redactor
from session_widgets.errors import SessionError
from session_widgets.ticker import Ticker
from session_widgets.transcript.envelopes import as_object, as_objects
from session_widgets.transcript.outcomes import outcome
from session_widgets.transcript.records import Draft, FileChange, Json, Step, Tier, TurnRecord, Usage
from session_widgets.transcript.sources import SharedFold

Status = Literal["running", "waiting", "detached", "completed", "cancelled", "failed"]
Doing = Literal["running", "waiting", "detached"]


class TurnSession(Protocol):
    """The part of a session that its turns read; `TurnManager` implements it."""

    state: SessionState
    permissions: PermissionBroker
    snapshots: SnapshotManager

    def activity_of(self, turn: Turn) -> Doing:
        """Return the activity of a running turn, as far as this process knows."""


class Turn:
    """A turn of a session. Read its attributes at any time; `wait()` or `await` for its end.

    Example:
        >>> turn = session.start("say hello")
        >>> turn.wait().text
        'hello'
    """

    def __init__(self, session: TurnSession, record: TurnRecord, fold: SharedFold | None = None) -> None:
        self._session = session
        self._record = record
        self._fold = None if record.ended_at else fold
        self.unsaved_end: Draft | None = None
        self._news = ChangeSignal(over=record.ended_at is not None)

    @property
    def ended(self) -> bool:
        """Whether it has ended, in any way."""
        return self._news.over

    @property
    def session_id(self) -> str:
        """Id of its session."""
        return self._record.session_id

    @property
    def index(self) -> int:
        """Place in the session, from 1."""
        return self._record.index

    @property
    def status(self) -> Status:
        """`running`, `waiting` (for a permission), `detached`, `completed`, `cancelled` or `failed`."""
        if self._news.over:
            assert self._record.status != "unfinished", "it is no import"
            return self._record.status
        return self._session.activity_of(self)

    @property
    def prompt(self) -> tuple[Json, ...]:
        """The user's words, as ACP content blocks."""
        return tuple(self._record.prompt)

    @property
    def text(self) -> str:
        """The agent's messages so far, joined; without thoughts and tool output."""
        return self._now().text

    @property
    def stop_reason(self) -> str | None:
        """ACP's stop reason, e.g. "end_turn" or "cancelled"; None while it runs or if it failed."""
        return self._now().stop_reason

    @property
    def outcome(self) -> str:
        """The outcome as one word.

        Its `status`, but for a completed turn with a refusal "refused", with a limit "token_limit" or "request_limit",
        without an answer "no_answer", with a reported error "model_error"; for a failed one whose error has a known
        cause also "auth_failed", "rate_limited", "agent_exited", "turn_limit".
        """
        now = self._now()
        return outcome(now.status, now.stop_reason, now.error, now.failure)

    @property
    def usage(self) -> Usage:
        """Tokens and cost as the agent reported them, with their scope; None for missing ones."""
        return self._now().usage

    @property
    def files(self) -> tuple[FileChange, ...]:
        """Files that this turn created, modified or deleted; known after its end."""
        return self._record.files

    @property
    def files_at_end(self) -> KeptFiles:
        """All files of the workspace at the end of this turn, by path; blocks.

        Without `node_modules`, `__pycache__`, `.venv` and `.harness`, and files above 64 MB (`left_out` lists them).
        A session keeps 2 GB; older turns lose theirs first. `await turn.kept_files()` does not block.

        Raises:
            SessionBusy: the turn is running.
            FilesNotKept: they were not kept, for example because the kernel died, or were deleted to make room.

        Example:
            >>> turn.files_at_end["hello.py"].read_text()
            "print('hi')"
        """
        return private_loop().run(self.kept_files())

    async def kept_files(self) -> KeptFiles:
        """Return `files_at_end`, from any event loop."""
        return await private_loop().aio(self._session.snapshots.files_at_end(self.index))

    @property
    def started_at(self) -> datetime:
        """When the prompt was stored, UTC."""
        return self._record.started_at

    @property
    def ended_at(self) -> datetime | None:
        """When the end was stored, UTC."""
        return self._record.ended_at

    @property
    def tier(self) -> Tier | None:
        """How the agent regained its memory: warm, resume, load, replay or fresh."""
        return self._now().tier

    @property
    def handed_over(self) -> Json | None:
        """The history that this turn's prompt carried; None without one.

        `turns` lists the earlier turns, oldest first: `prompt`, `answer`, and, if any, `tools` (`title`, `status`,
        `result`), `files`, and `ended`, unless it completed. Omissions are counted beside it.

        Example:
            >>> [told["prompt"] for told in turn.handed_over["turns"]]
            ['Write a parser']
        """
        sent = self._session.state.store.sent_prompt(self._record.session_id, self.index) or {}
        blocks = as_objects(as_object(sent.get("params")).get("prompt"))
        return handed_over(blocks[: len(blocks) - len(self.prompt)])

    @property
    def durable_at(self) -> datetime | None:
        """When the turn's files were verified to be on durable storage, UTC."""
        return self._record.durable_at

    @property
    def durability_error(self) -> str | None:
        """Why `durable_at` is None, if the barrier failed."""
        return self._record.durability_error

    @property
    def error(self) -> str | None:
        """The error, if the turn failed."""
        return self._record.error

    @property
    def steps(self) -> tuple[Step, ...]:
        """The turn so far: prompt, messages, thoughts, tool calls, plan."""
        fold = self._fold
        if fold is None:
            return tuple(self._session.state.store.steps(self._record.session_id, self.index))
        with fold.lock:
            return fold.fold.steps_of(self.index)

    def wait(self, timeout: float | None = None) -> Turn:
        """Block until the turn ends, and return it. Interrupting the wait leaves the turn running.

        A permission request that waits for a person is asked in the cell if no click can arrive meanwhile.

        Args:
            timeout: seconds; None for no limit.

        Raises:
            TimeoutError: it is still running after `timeout` seconds.
            SessionError: the session was detached meanwhile.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        ticker = Ticker()
        while not self._news.over:
            seen = self.news_count
            if self.status == "detached":
                raise self._detached()
            ticker.show(self._session.state.activity.words)
            self._session.permissions.answer_here()
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(
                    f"turn {self.index} of session {self._record.session_id!r} still runs after {timeout:g} s. "
                    "Wait again with turn.wait(), or stop it with session.cancel()."
                )
            self.wait_news(None if deadline is None else deadline - time.monotonic(), seen)
        ticker.show(None)
        return self

    @property
    def news_count(self) -> int:
        """Number of changes so far. Read it before other attributes, so that no later change is missed."""
        return self._news.count

    def wait_news(self, timeout: float | None, seen: int | None = None) -> None:
        """Block until there are more changes than `seen` (default: than now) or the end, at most `timeout` seconds."""
        self._news.wait(self._news.count if seen is None else seen, timeout)

    def __await__(self) -> Generator[Any, None, Turn]:
        """Wait for the end from any event loop; cancelling the wait leaves the turn running."""
        return self._wait_async().__await__()

    async def _wait_async(self) -> Turn:
        while not self._news.over:
            seen = self.news_count
            if self.status == "detached":
                raise self._detached()
            await self._session.permissions.answer_here_async()
            await self.news(seen)
        return self

    async def news(self, seen: int) -> None:
        """Await more changes than `seen`, or the end."""
        await self._news.arrive(seen)

    def finish(self, record: TurnRecord | None = None) -> None:
        """Apply the stored end, by default that of the fold, and wake all waiting calls. Only the session calls it."""
        self._record = record or self._now()
        self._news.tell(over=True)
        self._fold = None

    def fail_unsaved(self, end: Draft, error: str) -> None:
        """End only in memory, because the store accepts nothing; called by the session alone."""
        self.unsaved_end = end
        self.finish(replace(self._now(), status="failed", error=error, ended_at=end.ts))

    def notify(self) -> None:
        """Wake all waiting calls."""
        self._news.tell()

    def _now(self) -> TurnRecord:
        fold = self._fold
        if fold is None or self._news.over:
            return self._record
        with fold.lock:
            return fold.fold.turn(self.index) if self.index in fold.fold.turns else self._record

    def _detached(self) -> SessionError:
        return SessionError(
            f"session {self._record.session_id!r} was detached; turn {self.index} continues in its sandbox. "
            "Call session.attach() and wait again."
        )

    def __repr__(self) -> str:
        hide = redactor().plain  # a notebook stores a cell's result
        text = hide(self.text[:8192])
        shown = repr(text if len(text) <= 80 else text[:79] + "…")
        end = f", error={hide(self.error)!r}" if self.error else ""
        word = "" if self.outcome in {self.status, "running"} else f", outcome={self.outcome!r}"
        return f"Turn({self.index}, {self.status}{word}, stop_reason={self.stop_reason!r}, text={shown}{end})"
