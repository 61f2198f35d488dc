"""A session's tools for its agents: notebook functions, and the user's MCP servers."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import orjson

from session_widgets._sandboxes import Sandbox
from session_widgets._sandboxes.tool_channel import ToolChannel
from session_widgets._sessions.host_tool import ERROR_CHARACTERS, HostTool, Run
from session_widgets._sessions.journal import Journal, note
from session_widgets._sessions.mcp_servers import NOTEBOOK, storable
from session_widgets._sessions.resume import readable
from session_widgets._sessions.skills import Skills
from session_widgets.errors import BadValue, SandboxError, SessionWidgetsError, TransportError
from session_widgets.transcript.notes import NotebookToolCalled
from session_widgets.transcript.records import Json

LOG = logging.getLogger("session_widgets")
ARGUMENT_CHARACTERS = 4_000
READY_SECONDS = 10
CLOSE_SECONDS = 5
RETRIES = 5
RETRY_SECONDS = 0.3
MODULE = "session_widgets.runner.tools"

Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]


class ToolServer:
    """The tools of one session, as long as this process holds it. Lives on the private loop.

    Attributes:
        tools: by name.
        servers: the user's own, in ACP's format.
    """

    def __init__(
        self, session_id: str, journal: Journal, spawn: Spawn, turn: Callable[[], int | None], skills: Skills
    ) -> None:
        self.tools: dict[str, HostTool] = {}
        self.servers: Sequence[Json] = ()
        self._session_id = session_id
        self._journal = journal
        self._spawn = spawn
        self._turn = turn
        self._skills = skills
        self._sandbox: Sandbox | None = None
        self._channel: ToolChannel | None = None
        self._listener: asyncio.Task[None] | None = None
        self._server: Json = {}
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._running: set[Run] = set()
        self._lock = asyncio.Lock()

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the tools, secrets excluded; None without any. It is stored with each agent."""
        skills = self._skills.fingerprint
        if not self.tools and not self.servers and not skills:
            return None
        servers = storable({"mcpServers": self.servers})["mcpServers"]
        what = [
            [tool.described for _, tool in sorted(self.tools.items())],
            list(servers),
            *([skills] if skills else []),
        ]
        return hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    @property
    def busy(self) -> bool:
        """Whether notebook functions are running for the agent."""
        return bool(self._calls)

    def serves(self, sandbox: Sandbox) -> bool:
        """Whether a sandbox has the current tools."""
        listening = self._listener is not None and not self._listener.done()
        return not self.tools or (self._sandbox is sandbox and listening and not self._lock.locked())

    async def serve(self, sandbox: Sandbox, python: str) -> list[Json]:
        """Register the tools in a sandbox and return the MCP servers for its agents.

        Raises:
            SandboxError: its server does not support tools.
            TransportError: it does not answer.
        """
        async with self._lock:
            if self.tools:
                if self._sandbox is not sandbox or self._listener is None or self._listener.done():
                    await self._stop()
                    await self._begin(sandbox)
                await self._offer(python)
            return [*([self._server] if self.tools else []), *self.servers]

    async def add(self, tools: Sequence[HostTool], servers: Sequence[Json] | None = None) -> None:
        """Add tools, and other servers if any are given. The next prompt brings them to the agent."""
        self.servers = self.servers if servers is None else servers
        self.tools.update({tool.name: tool for tool in tools})
        if not tools:
            return
        async with self._lock:
            if self._channel is not None:
                with suppress(SessionWidgetsError):  # the next prompt does it again, and reports an error
                    await self._channel.offer([tool.described for tool in self.tools.values()])

    async def _begin(self, sandbox: Sandbox) -> None:
        features = (await sandbox.runner.health()).get("features") or ()
        if "tools" not in features:
            raise SandboxError(
                "this sandbox's server cannot bring calls of an agent to this notebook, so a session in it takes no "
                "tools=. Use mcp_servers= with servers that the sandbox can start, or sandbox='local' or 'docker'."
            )
        self._channel = ToolChannel(await sandbox.endpoint(), self._session_id)
        self._sandbox = sandbox

    async def _offer(self, python: str) -> None:
        assert self._channel is not None, "_begin has made it"
        url, token = await self._channel.offer([tool.described for tool in self.tools.values()])
        env = {"SESSION_WIDGETS_TOOLS_URL": url, "SESSION_WIDGETS_TOOLS_TOKEN": token}
        self._server = {
            "name": NOTEBOOK,
            "command": python,
            "args": ["-P", "-m", MODULE],
            "env": [{"name": name, "value": value} for name, value in env.items()],
        }
        if self._listener is None:
            ready = asyncio.Event()
            self._listener = self._spawn(self._listen(self._channel, ready))
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await ready.wait()
            except TimeoutError:
                raise TransportError("the sandbox's runner does not hand out the calls of tools") from None

    async def stop(self) -> None:
        """Accept no more calls; abandon the running ones."""
        async with self._lock:
            await self._stop()

    async def _stop(self) -> None:
        listener, self._listener = self._listener, None
        channel, self._channel = self._channel, None
        self._sandbox = None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        self.cancel_calls()
        if self._calls:
            await asyncio.wait(self._calls.values(), timeout=CLOSE_SECONDS)
        if channel is not None:
            await channel.aclose()

    def cancel_calls(self) -> None:
        """Abandon the running calls: their turn was cancelled, or their results cannot be delivered."""
        for task in tuple(self._calls.values()):
            task.cancel()

    async def _listen(self, channel: ToolChannel, ready: asyncio.Event) -> None:
        """Receive calls until the runner is gone; a broken stream is reopened."""
        failures = 0
        while failures < RETRIES:
            try:
                async for kind, item in channel.calls():
                    failures = 0
                    ready.set()
                    if kind == "call":
                        task = self._calls[item["call"]] = self._spawn(self._take(channel, item))
                        task.add_done_callback(partial(self._over, item["call"]))
                    elif kind == "over" and (task_ := self._calls.get(item["over"])) is not None:
                        task_.cancel()
            except SessionWidgetsError as error:
                LOG.debug("the stream of tool calls of session %s was cut: %s", self._session_id, error)
            failures += 1
            await asyncio.sleep(RETRY_SECONDS)

    async def _take(self, channel: ToolChannel, item: Json) -> None:
        turn, started = self._turn(), time.monotonic()
        name, arguments = str(item["name"]), item["arguments"]
        error: str | None = None
        try:
            result = await self._carry_out(name, arguments)
        except asyncio.CancelledError:
            error = "the call was given up"
        except Exception as failure:  # the user's own code may raise anything
            error = readable(failure)[:ERROR_CHARACTERS]
        if error is not None:
            result = {"content": [{"type": "text", "text": error}], "isError": True}
        seconds = round(time.monotonic() - started, 3)
        called = NotebookToolCalled(
            name=name, arguments=_shown(arguments), ok=error is None, seconds=seconds, error=error
        )
        with suppress(SessionWidgetsError):
            await self._journal.commit([note(called, turn=turn)])
        with suppress(SandboxError, TransportError):  # the runner reports it to the agent, or is gone
            await channel.answer(str(item["call"]), result)

    def _over(self, call: str, _: asyncio.Task[None]) -> None:
        self._calls.pop(call, None)

    async def _carry_out(self, name: str, arguments: Json) -> Json:
        tool = self.tools.get(name)
        if tool is None:
            raise BadValue(f"the notebook has no tool {name!r:.80} any more")
        return await tool.call(arguments, self._running)


def _shown(arguments: Json) -> Any:
    try:
        text = orjson.dumps(arguments).decode()
    except TypeError:
        return "[left out: nested too deep]"
    return arguments if len(text) <= ARGUMENT_CHARACTERS else f"{text[:ARGUMENT_CHARACTERS]} [cut]"
