"""The public session object: blocking by default, awaitable by `aio`."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from session_widgets._sessions import display
from session_widgets._sessions.asynchronous import AsyncSession
from session_widgets._sessions.blocking import blocking
from session_widgets._sessions.control import SessionControl
from session_widgets._sessions.controller import SessionController
from session_widgets._sessions.files import Files
from session_widgets._sessions.host_tool import SECONDS as TOOL_SECONDS
from session_widgets._sessions.host_tool import HostTool
from session_widgets._sessions.kept_files import KeptFiles
from session_widgets._sessions.limits import TurnLimits
from session_widgets._sessions.loop import private_loop
from session_widgets._sessions.mcp_servers import check_harness
from session_widgets._sessions.permissions import PermissionRequest, Policy
from session_widgets._sessions.prompt import check_timeout
from session_widgets._sessions.questions import QuestionRequest
from session_widgets._sessions.turn import Turn
from session_widgets._store import Store
from session_widgets.ticker import Ticker
from session_widgets.transcript.options import SETTINGS, Choice, Command
from session_widgets.transcript.records import Event, Json, SessionRecord
from session_widgets.transcript.transcript import Transcript

Prompt = str | Sequence[Json]


class Session:
    """A harness in a sandbox on a workspace. Created by `open_session`.

    Attributes:
        files: the workspace.
        aio: the same methods, awaitable from any event loop.
        control: other functions for widgets.

    Example:
        >>> session = open_session("hello")
        >>> session.send("say hi").text
        'hi'
    """

    def __init__(self, controller: SessionController, open_session: Callable[..., Session]) -> None:
        self._controller = controller
        self._panel: Any = None  # a second output is another view of the same model
        self.aio = AsyncSession(controller, open_session)
        self.files = Files(self.aio.files)
        self.control = SessionControl(controller.state, controller.permissions, controller.sandboxes)

    @property
    def id(self) -> str:
        """The id passed to `open_session`."""
        return self._controller.state.record.id

    @property
    def title(self) -> str:
        """The user's title, else the agent's, else the id."""
        return self._controller.state.record.title or self.id

    @property
    def harness(self) -> str:
        """Name of the agent program."""
        return self._controller.state.record.harness

    @property
    def sandbox(self) -> str:
        """Name of the sandbox provider."""
        return self._controller.state.record.sandbox

    @property
    def status(self) -> str:
        """`new`, `idle`, `running`, `waiting` (for a permission), `detached`, `parked` or `deleted`."""
        return self._controller.status

    @property
    def workspace(self) -> Path:
        """The workspace's absolute path inside the sandbox."""
        return Path(private_loop().run(self._controller.sandboxes.machine()).root)

    @property
    def location(self) -> str:
        """Location of the workspace: a directory of this machine, or "s3://bucket/prefix/session"."""
        return self._controller.state.workspace.location

    @property
    def attachment(self) -> str:
        """Connection of the sandbox to it: `directory`, `sync`, `fuse:s3fs`, `fuse:weed` or `fuse:geesefs`."""
        return self._controller.state.workspace.attachment

    @property
    def activity(self) -> str | None:
        """The current operation besides the agent's own work, such as restoring files; None without one."""
        return self._controller.state.activity.words

    @property
    def model(self) -> str | None:
        """The chosen model; None for the harness's default."""
        return self._controller.state.record.model

    @property
    def mode(self) -> str | None:
        """The chosen mode of the agent; None for the harness's default."""
        return self._controller.state.record.mode

    @property
    def effort(self) -> str | None:
        """The chosen reasoning effort; None for the harness's default."""
        return self._controller.state.record.effort

    @property
    def permissions(self) -> Policy:
        """The permission policy: see `open_session`."""
        return self._controller.permissions.policy

    @property
    def limits(self) -> TurnLimits:
        """The limits of a turn's time and size."""
        return self._controller.state.limits

    @property
    def options(self) -> Mapping[str, tuple[Choice, ...]]:
        """The agent's options, by "mode", "model" and "effort", with its own ids.

        Categories that it does not offer are omitted. Empty until the first prompt has started the agent: this property
        starts nothing. `Choice.current` is the agent's current value, even if it changed that itself.

        Example:
            >>> [choice.id for choice in session.options["mode"]]
            ['ask', 'accept_edits', 'full_access', 'plan']
        """
        offers = self._controller.state.fold.options
        return {name: choices for name in SETTINGS if (choices := offers.choices(name))}

    @property
    def skills(self) -> tuple[str, ...]:
        """Names of its skills; `open_session(..., skills=[...])` replaces them."""
        return self._controller.skills.names

    @property
    def commands(self) -> tuple[Command, ...]:
        """The agent's own slash commands: the agent interprets a prompt that begins with "/" and one of these names.

        Empty until the agent has sent them, after its first start.

        Example:
            >>> session.commands[0].name
            'review'
        """
        return self._controller.state.fold.options.commands

    @property
    def store(self) -> Store:
        """The store that holds the transcript."""
        return self._controller.state.store

    @property
    def turns(self) -> list[Turn]:
        """All turns, oldest first."""
        return private_loop().run(self.aio.turns)

    @property
    def pending(self) -> tuple[PermissionRequest, ...]:
        """Open permission requests, oldest first."""
        return tuple(self._controller.permissions.pending.values())

    @property
    def questions(self) -> tuple[QuestionRequest, ...]:
        """Open questions of the agent, oldest first. A blocking cell asks them itself.

        Example:
            >>> session.questions[0].accept({"answer": "blue"})
            True
        """
        return tuple(self._controller.permissions.questions.pending.values())

    @property
    def snapshots(self) -> list[KeptFiles]:
        """The kept files of all turns' ends, and of the times before a `restore`, oldest first."""
        return private_loop().run(self.aio.snapshots)

    @property
    def transcript(self) -> Transcript:
        """The session read back from the store."""
        return Transcript(self.id, self.events())

    def send(self, prompt: Prompt, *, idempotency_key: str | None = None, timeout: float | None = None) -> Turn:
        """Send a prompt and block until its turn ends. Interrupting the cell cancels the turn.

        Args:
            prompt: text, or a list of ACP content blocks, such as `{"type": "text", "text": "What is this?"}` and
                `{"type": "image", "mimeType": "image/png", "data": "<base64>"}`.
            idempotency_key: sending again with the same key returns the first turn.
            timeout: seconds to wait; None for no limit.

        Returns:
            The ended turn; check its `status` and `error`.

        Raises:
            SessionBusy: another turn is running.
            TimeoutError: it is still running after `timeout` seconds, and continues.
            BadValue: the prompt is empty or invalid.
        """
        check_timeout(timeout)
        try:
            return self.start(prompt, idempotency_key=idempotency_key).wait(timeout)
        except KeyboardInterrupt:
            self.cancel()
            raise

    start = blocking(AsyncSession.start, "aio")

    def stream(self, prompt: Prompt) -> Iterator[Event]:
        """Send a prompt and yield the turn's events as they are stored.

        Interrupting the cell cancels the turn; leaving the loop early leaves it running.
        """
        arrived: queue.SimpleQueue[list[Event]] = queue.SimpleQueue()
        unsubscribe = self.subscribe(arrived.put, after=self._controller.state.journal.cursor)
        ticker = Ticker()
        try:
            turn = self.start(prompt)
            while True:
                ticker.show(self._controller.state.activity.words)
                seen, over = turn.news_count, turn.ended
                while not arrived.empty():
                    yield from (event for event in arrived.get() if event.turn == turn.index)
                if over:
                    return
                turn.wait_news(0.05, seen)
                self._controller.permissions.answer_here()
        except KeyboardInterrupt:
            self.cancel()
            raise
        finally:
            unsubscribe()

    cancel = blocking(AsyncSession.cancel, "aio")
    steer = blocking(AsyncSession.steer, "aio")
    set_model = blocking(AsyncSession.set_model, "aio")
    set_mode = blocking(AsyncSession.set_mode, "aio")
    set_effort = blocking(AsyncSession.set_effort, "aio")
    set_permissions = blocking(AsyncSession.set_permissions, "aio")
    set_limits = blocking(AsyncSession.set_limits, "aio")
    detach = blocking(AsyncSession.detach, "aio")
    attach = blocking(AsyncSession.attach, "aio")
    park = blocking(AsyncSession.park, "aio")
    switch = blocking(AsyncSession.switch, "aio")
    take_over = blocking(AsyncSession.take_over, "aio")
    delete = blocking(AsyncSession.delete, "aio")
    exec = blocking(AsyncSession.exec, "aio")
    endpoint = blocking(AsyncSession.endpoint, "aio")
    diff = blocking(AsyncSession.diff, "aio")
    restore = blocking(AsyncSession.restore, "aio")
    fork = blocking(AsyncSession.fork, "aio")

    def tool(
        self, function: Callable[..., Any] | None = None, *, name: str | None = None, timeout: float = TOOL_SECONDS
    ) -> Callable[..., Any]:
        """Let the agent call a function of this notebook, with the notebook's rights. Also as a decorator.

        The agent receives its name, docstring and annotated parameters. A plain function runs in a thread, an
        `async` one on its own loop. Its result or exception is the answer. Each call is a `host_tool` event.
        A tool of the same name is replaced.

        Args:
            function: the function.
            name: by default the function's.
            timeout: seconds of a call.

        Returns:
            The function itself.

        Raises:
            BadValue: it cannot be a tool, or the harness supports none.
            MissingDependency: the package `mcp` is not installed.

        Example:
            >>> @session.tool
            ... def price(ticker: str) -> float:
            ...     "The latest price of a share."
            ...     return prices[ticker]
        """
        if function is None:
            return lambda given: self.tool(given, name=name, timeout=timeout)
        check_harness(self._controller.sandboxes.harness)
        private_loop().run(self._controller.tools.add([HostTool(function, name, timeout)]))
        return function

    @property
    def record(self) -> SessionRecord:
        """The session as of its latest event."""
        return self._controller.state.record

    @property
    def live(self) -> bool:
        """Whether events may still come: it is neither detached nor deleted."""
        return self.status not in {"detached", "deleted"}

    def events(self, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return stored events with `seq` greater than `after`, at most `limit`."""
        return self.store.events(self.id, after, limit)

    def subscribe(self, callback: Callable[[list[Event]], None], after: int = 0) -> Callable[[], None]:
        """Call `callback` with every stored event after `after`, in order and once, on the private loop's thread.

        Returns:
            A function that stops it.
        """
        journal, loop = self._controller.state.journal, private_loop()
        watching = loop.submit(journal.watch(callback, after))

        def unsubscribe() -> None:
            watching.cancel()  # it may still be reading earlier events
            loop.loop.call_soon_threadsafe(journal.unwatch, callback)

        return unsubscribe

    def _ipython_display_(self) -> None:
        display.draw(self)

    def __repr__(self) -> str:
        return f"Session({self.id!r}, harness={self.harness!r}, sandbox={self.sandbox!r}, status={self.status!r})"
