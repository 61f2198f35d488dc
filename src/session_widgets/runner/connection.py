"""One agent process with its journal."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from signal import SIGKILL

from session_widgets.runner import envelopes
from session_widgets.runner.children import STDERR, Child, Children
from session_widgets.runner.envelopes import Message, key_of
from session_widgets.runner.guard import sweep
from session_widgets.runner.journal import APPEND, Journal, JournalError
from session_widgets.runner.limits import Limits
from session_widgets.runner.problems import Problem, conflict
from session_widgets.runner.snapshots import RequestSnapshot

CONNECTION_MARK = "SESSION_WIDGETS_CONNECTION"
REMEMBERED_REQUESTS = 16_384
MAX_ID_BYTES = 256
STOP_SECONDS = 2.0
LAST_WORDS_SECONDS = 0.5
COMPARE_SECONDS = 2.0
"""How long a response may be held: a file system may hang."""


class AgentGone(Problem):
    """The agent process has exited, so nothing can be sent to it.

    Args:
        id_: of the connection.
        never_accepted: whether the message is a request that certainly was not accepted before.
    """

    def __init__(self, id_: str, *, never_accepted: bool) -> None:
        about = {"serverId": id_, **({"accepted": False} if never_accepted else {})}
        super().__init__(410, "agent_process_exited", f"the agent of {id_} has exited", **about)


@dataclass(slots=True)
class Request:
    """An accepted request.

    Attributes:
        snapshot: to be compared with the workspace before its response is recorded; None if that was done.
        answer: the id of its response in the journal, 0 while it is open.
    """

    method: str
    digest: bytes
    snapshot: RequestSnapshot | None = None
    answer: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Connection:
    """The agent behind `/v1/acp/{id}`.

    Attributes:
        over: the process exited and its last messages are in the journal.
        failure: why the journal failed, if it did.
        exit: exit code, signal and last stderr of the agent; known after its exit, but not for a former runner's agent.
    """

    def __init__(self, id_: str, agent: str, created_ms: int, journal: Journal, limits: Limits) -> None:
        self.id = id_
        self.agent = agent
        self.created_ms = created_ms
        self.journal = journal
        self._accepted = journal.directory / "accepted"
        self.over = asyncio.Event()
        self.failure: str | None = None
        self.exit: tuple[int | None, int | None, str] = (None, None, "")
        self._limits = limits
        self._child: Child | None = None
        self._mark = ""
        self._life: asyncio.Task[None] | None = None
        self._syncs: set[asyncio.Task[None]] = set()
        self._partial = bytearray()
        self._skipping = False
        self._stderr = bytearray()
        self._heard = time.monotonic()
        self._requests: dict[bytes, Request] = {}
        self._open: dict[bytes, Request] = {}
        self._asked: set[bytes] = set()
        self._taking = asyncio.Lock()
        self._held: list[tuple[list[bytes], dict[bytes, int]]] | None = None
        self._comparing: asyncio.Task[None] | None = None

    async def start(
        self, children: Children, argv: Sequence[str], *, cwd: str, env: Mapping[str, str], nonce: str
    ) -> None:
        """Start the agent process; raise `OSError` or `ValueError` if that is not possible."""
        self._mark = f"{nonce}:{self.id}"
        self._append_accepted(b"")
        self._child = await children.spawn(
            argv,
            self._on_data,
            cwd=cwd,
            env={**env, CONNECTION_MARK: self._mark},
            stdin=asyncio.subprocess.PIPE,
        )
        self._life = asyncio.create_task(self._live(self._child))

    @property
    def busy(self) -> bool:
        """Whether the agent owes an answer and has not been silent for too long."""
        return bool(self._open) and (time.monotonic() - self._heard) * 1000 < self._limits.max_silence_ms

    async def request(self, message: Message, line: bytes, snapshot: RequestSnapshot | None = None) -> Request:
        """Forward a request, once: the same id with the same content is not sent again.

        Args:
            message: the request.
            line: the same as one line.
            snapshot: is taken before; the changes since then are recorded before the response.

        Raises:
            Problem: the agent has exited, or the id was used for another request.
        """
        key, new = key_of(message["id"]), Request(str(message["method"]), blake2b(line, digest_size=16).digest())
        if known := self._known(key, new):
            return known
        child = self._alive(key)
        if snapshot is not None:
            async with self._taking:
                if known := self._known(key, new):  # it came twice, and the agent works on it already
                    return known
                await snapshot.take()
                child = self._alive()
                child, new.snapshot = self._alive(key), snapshot
                self._accept(key, new)
        else:
            self._accept(key, new)
        await self._send(child, line)
        return new

    def _accept(self, key: bytes, new: Request) -> None:
        """Record a request before the agent receives it, also for a later runner."""
        try:
            self._append_accepted(key + b"\n")
        except OSError as error:
            raise Problem(507, "no_space", f"the request cannot be recorded: {error.strerror}") from error
        self._heard = time.monotonic()
        self._requests[key] = self._open[key] = new
        self._forget_old_requests()

    def _known(self, key: bytes, new: Request) -> Request | None:
        known = self._requests.get(key)
        if known and known.digest != new.digest:
            raise conflict(f"request id {key.decode()} was used for another {known.method} request")
        return known

    def _append_accepted(self, line: bytes) -> None:
        file = os.open(self._accepted, APPEND, 0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    async def notify(self, line: bytes) -> None:
        """Forward a notification; raise `Problem` if the agent has exited."""
        await self._send(self._alive(), line)

    async def respond(self, message: Message, line: bytes) -> None:
        """Forward the first answer to a request of the agent, and notify every reader of it.

        Any client with the token may answer, even an agent that can read the token: each client knows its own answers.

        Raises:
            Problem: the agent has exited, or has no such open request.
        """
        self._alive()
        key = key_of(message["id"])
        if key not in self._asked:
            raise conflict(f"the agent has no open request with id {key.decode()}; it may have been answered already")
        self._asked.discard(key)
        self._record([envelopes.answered(message)], {})
        await self._send(self._alive(), line)

    async def stop(self, grace: float = STOP_SECONDS) -> None:
        """Kill the process and all its children; returns once that is in the journal."""
        if self._child and not self.over.is_set():
            await self._child.stop(grace)
            await self.over.wait()

    def _never_accepted(self, key: bytes) -> bool:
        """Whether a request that is not known here was not accepted by an earlier runner either."""
        try:
            return key not in self._accepted.read_bytes().splitlines()
        except OSError:
            return False

    def _alive(self, key: bytes | None = None) -> Child:
        if self.failure:
            raise Problem(507, "no_space", self.failure)
        if self._child is None or not self._child.writable:
            raise AgentGone(self.id, never_accepted=key is not None and self._never_accepted(key))
        return self._child

    async def _send(self, child: Child, line: bytes) -> None:
        child.write(line + b"\n")
        await child.drain()

    def _forget_old_requests(self) -> None:
        if len(self._requests) > REMEMBERED_REQUESTS:
            oldest = next(key for key, request in self._requests.items() if request.answer)
            del self._requests[oldest]

    def _on_data(self, stream: int, data: bytes) -> None:
        self._heard = time.monotonic()
        if stream == STDERR:
            self._stderr += data
            del self._stderr[: max(0, len(self._stderr) - self._limits.max_stderr_bytes)]
            return
        end = data.rfind(b"\n")
        if end < 0:
            self._grow(data)
            return
        head, self._partial = self._partial + data[:end], bytearray()
        lines = head.split(b"\n")
        if self._skipping:
            self._skipping = False
            del lines[0]
        self._grow(data[end + 1 :])
        self._take([bytes(line) for line in lines])

    def _grow(self, data: bytes) -> None:
        """Keep the start of a line until its end arrives; drop it above the limit."""
        if self._skipping:
            return
        self._partial += data
        limit = self._limits.max_line_bytes
        if len(self._partial) > limit:
            start, self._partial, self._skipping = bytes(self._partial[: envelopes.RAW_CHARS]), bytearray(), True
            self._record([envelopes.invalid_stdout(f"line dropped; raise the limit maxLineBytes ({limit})", start)], {})

    def _take(self, lines: list[bytes]) -> None:
        kept: list[bytes] = []
        answers: dict[bytes, int] = {}
        for line in lines:
            if not (line := line.strip()):
                continue
            try:
                message, line = envelopes.read_line(line)
            except ValueError as error:
                kept.append(envelopes.invalid_stdout(str(error), line))
                continue
            if "id" in message:
                key = key_of(message["id"])
                if "method" in message:
                    if objection := self._objection(key):
                        kept.append(envelopes.invalid_stdout(objection, line))
                        continue
                    self._asked.add(key)
                elif key in self._open:
                    answers.setdefault(key, len(kept))
            kept.append(line)
        if kept:
            self._record(kept, answers)

    def _objection(self, key: bytes) -> str:
        """Return the error of an agent's request id, which is kept until the client answers."""
        limit = self._limits.max_agent_requests
        if len(key) > MAX_ID_BYTES:
            return f"request dropped; its id is longer than {MAX_ID_BYTES} bytes"
        if len(self._asked) >= limit and key not in self._asked:
            return f"request dropped; {limit} wait for an answer; raise the limit maxAgentRequests ({limit})"
        return ""

    def _record(self, lines: list[bytes], answers: dict[bytes, int]) -> None:
        """Write lines to the journal, then wake the readers; `answers` has the index of each response.

        The response to a request with a snapshot, and every later line, is held until the changes are recorded.
        """
        if self.failure:
            return
        if self._held is not None:
            self._held.append((lines, answers))
            return
        answers = {key: at for key, at in answers.items() if key in self._open}  # else answered while lines were held
        for key, index in answers.items():
            if (snapshot := self._open[key].snapshot) is not None:
                self._open[key].snapshot = None
                later = {key: at - index for key, at in answers.items() if at >= index}
                self._held = [(lines[index:], later)]
                self._comparing = asyncio.create_task(self._compare(snapshot))
                lines, answers = lines[:index], {key: at for key, at in answers.items() if at < index}
                break
        if lines:
            self._write(lines, answers)

    async def _compare(self, snapshot: RequestSnapshot) -> None:
        """Record the changes since a snapshot, then the held lines."""
        changes: list[bytes] = []
        with suppress(TimeoutError):
            changes = await asyncio.wait_for(snapshot.changes(), COMPARE_SECONDS)
        held, self._held = self._held or [], None
        for lines, answers in [(changes, dict[bytes, int]()), *held]:
            self._record(lines, answers)

    def _write(self, lines: list[bytes], answers: dict[bytes, int]) -> None:
        try:
            first = self.journal.append(lines)
        except JournalError as error:
            self._fail(str(error))
            return
        turn_ended = False
        for key, index in answers.items():
            request = self._open.pop(key)
            request.answer = first + index
            request.answered.set()
            turn_ended |= request.method == "session/prompt"
        if turn_ended:
            sync = asyncio.create_task(self._sync())
            self._syncs.add(sync)
            sync.add_done_callback(self._syncs.discard)

    async def _sync(self) -> None:
        try:
            await self.journal.sync()
        except OSError as error:
            self._fail(f"the journal cannot be written: {error.strerror}")

    def _fail(self, why: str) -> None:
        """Without a journal no message can be delivered: kill the agent, end its readers and fail open requests."""
        self.failure = why
        self.journal.end_readers()
        if self._child:
            self._child.signal(SIGKILL)

    async def _live(self, child: Child) -> None:
        """Wait for the process's exit and write its last messages."""
        leaving = asyncio.create_task(self._leave_when_silent(child))
        code = await child.ended(LAST_WORDS_SECONDS)
        leaving.cancel()
        child.signal(SIGKILL)
        await asyncio.to_thread(sweep, CONNECTION_MARK, self._mark)
        child.release()
        if rest := bytes(self._partial):
            self._take([rest])
        for request in self._open.values():
            request.snapshot = None  # its client requests the changes
        while self._held is not None and self._comparing is not None:
            await self._comparing
        status, signal = (code, None) if code >= 0 else (None, -code)
        self.exit = status, signal, self._stderr.decode(errors="replace")
        errors = [envelopes.exit_error(key, *self.exit) for key in self._open]
        answers = {key: index for index, key in enumerate(self._open)}
        self._record([*errors, envelopes.agent_exited(*self.exit)], answers)
        for request in self._open.values():
            request.answered.set()
        self._open.clear()
        await self._sync()
        self.over.set()

    async def _leave_when_silent(self, child: Child) -> None:
        """An agent that closed its output can send nothing more: kill it."""
        await child.silent.wait()
        await asyncio.sleep(LAST_WORDS_SECONDS)
        await child.stop(STOP_SECONDS)
