"""The resume restorer: warm, `session/resume`, `session/load`, replay, fresh. Each native tier is verified."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from session_widgets._sessions.agent import Agent, replayed_prompts
from session_widgets._sessions.handover import prompt_text
from session_widgets._sessions.journal import Journal, draft
from session_widgets._sessions.mcp_servers import check_supported, storable
from session_widgets.acp import AcpConnection, Call, Peer
from session_widgets.acp.protocol import check_version, initialize_params
from session_widgets.errors import AgentError, AgentExited, AgentFailed, SessionWidgetsError
from session_widgets.model import Endpoint
from session_widgets.printing import printable
from session_widgets.transcript.notes import AgentStarted
from session_widgets.transcript.options import Setting
from session_widgets.transcript.records import Json, SessionRecord, Tier, TurnRecord
from session_widgets.version import __version__

LOG = logging.getLogger("session_widgets")
SETUP_SECONDS = 120
LAST_WORDS_SECONDS = 2.0

StartPump = Callable[[Agent], asyncio.Task[None]]
Past = Callable[[Sequence[TurnRecord], bool], dict[str, Any] | None]
"""Takes turns, and whether the agent reads embedded resources; returns the history of these turns."""


class MemoryRestorer:
    """Starts an agent process and restores the session's memory in it."""

    def __init__(
        self,
        record: SessionRecord,
        cwd: str,
        journal: Journal,
        start_pump: StartPump,
        servers: Sequence[Json] = (),
        *,
        portable: bool = True,
        cut_off: bool = False,
        given: str | None = None,
    ) -> None:
        """Take the dependencies of all tiers.

        Args:
            record: the session.
            cwd: the workspace, as the agent sees it.
            journal: where requests are stored.
            start_pump: begins to read an agent's messages.
            servers: the MCP servers for the agent.
            portable: whether the harness works with a loaded memory at another path.
            cut_off: whether the previous agent may not have saved all of its memory.
            given: the agent's own id of a session whose file was put into its state: an import's.
        """
        self._record = record
        self._cwd = cwd
        self._journal = journal
        self._start_pump = start_pump
        self._servers = servers
        self._portable = portable
        self._cut_off = cut_off
        self._given = given
        self._replayed: list[Json] = []

    async def start(
        self, endpoint: Endpoint, turns: Sequence[TurnRecord], before: AgentStarted | None, past: Past
    ) -> Agent:
        """Start a process and try the tiers in order.

        Args:
            endpoint: the runner.
            turns: the ended turns with a prompt to an agent.
            before: the `agent_started` note of the session's previous agent, if any.
            past: makes a history.
        """
        peer = Peer()
        name = f"{self._record.id[:40]}-{uuid4().hex[:12]}"
        agent = Agent(AcpConnection(endpoint, name, self._record.harness, on_post_failed=peer.fail), peer)
        try:
            result = await self._initialize(agent)
            check_version(result)
            agent.info = result.get("agentInfo") or {}
            agent.capabilities = result.get("agentCapabilities") or {}
            await self._remember(agent, turns, before, past)
        except BaseException:
            await asyncio.shield(agent.connection.close())
            raise
        return agent

    async def _initialize(self, agent: Agent) -> dict[str, Any]:
        """Send the request that starts the process; only then is there a stream to read."""
        try:
            made = await post(self._journal, agent, "initialize", initialize_params(__version__))
        except AgentExited as error:  # before it could be sent: the stream has its last words
            await asyncio.wait({self._start_pump(agent)}, timeout=LAST_WORDS_SECONDS)
            raise agent.dead or error from error
        self._start_pump(agent)
        return await answer(made)

    def take_update(self, message: Json) -> None:
        """Keep an update that may belong to a replay."""
        self._replayed.append((message.get("params") or {}).get("update") or {})

    async def _remember(
        self, agent: Agent, turns: Sequence[TurnRecord], before: AgentStarted | None, past: Past
    ) -> None:
        earlier = self._record.agent_session_id
        check_supported(self._servers, agent.capabilities)
        place = {"cwd": self._cwd, "mcpServers": list(self._servers)}
        own = before is not None and before.harness == self._record.harness  # another harness's memory is not its own
        moved = before is not None and before.cwd not in {None, self._cwd}
        usable = own and (self._portable or not moved)
        if turns and earlier and usable and await self._is_listed(agent, earlier):
            agent.session_id = earlier
            shown = moved or self._cut_off  # only a load shows the agent's memory
            tiers: tuple[Tier, ...] = ("load",) if shown else ("resume", "load")
            for tier in filter(agent.offers, tiers):
                if (untold := await self._restore(agent, tier, place, turns)) is not None:
                    agent.history = await asyncio.to_thread(past, untold, _reads_resources(agent))
                    agent.tier = tier
                    return
        elif turns and self._given and agent.offers("load"):
            agent.session_id = self._given
            if (untold := await self._restore(agent, "load", place, turns)) is not None:
                agent.history = await asyncio.to_thread(past, untold, _reads_resources(agent))
                agent.tier = "load"
                return
        result = await call(self._journal, agent, "session/new", place)
        agent.session_id = str(result.get("sessionId") or "")
        agent.take_setup(result)
        agent.history = await asyncio.to_thread(past, turns, _reads_resources(agent))
        agent.tier = "replay" if agent.history else "fresh"

    async def _is_listed(self, agent: Agent, session_id: str) -> bool:
        """Whether the agent still has the session; without `session/list` the tier itself shows it."""
        if not agent.offers("list"):
            return True
        cursor = None
        while True:
            try:
                page = await call(self._journal, agent, "session/list", {"cursor": cursor} if cursor else {})
            except AgentFailed:
                return False
            if any(session.get("sessionId") == session_id for session in page.get("sessions") or ()):
                return True
            cursor = page.get("nextCursor")
            if not cursor:
                return False

    async def _restore(
        self, agent: Agent, tier: Tier, place: Json, turns: Sequence[TurnRecord]
    ) -> Sequence[TurnRecord] | None:
        """Return the turns missing in the agent's memory; None if it lacks more than interrupted ones."""
        self._replayed.clear()
        method = f"session/{tier}"
        try:
            result = await call(self._journal, agent, method, {"sessionId": agent.session_id, **place})
        except AgentError as error:
            if agent.dead is not None:
                raise
            LOG.warning("%s failed, trying the next tier: %s", method, error)
            return None
        untold = _not_in(self._replayed, _of_one_session(turns)) if tier == "load" else ()
        if any(turn.status == "completed" for turn in untold):
            LOG.warning("%s of %s replayed another conversation than the store holds", method, agent.session_id)
            return None
        agent.take_setup(result)
        return untold if self._cut_off else ()  # a normally stopped agent omits turns only for its own reasons


def _reads_resources(agent: Agent) -> bool:
    return bool((agent.capabilities.get("promptCapabilities") or {}).get("embeddedContext"))


def _of_one_session(turns: Sequence[TurnRecord]) -> Sequence[TurnRecord]:
    """Return the turns since the agent's session began: earlier ones came in a history, not as prompts."""
    begun = [at for at, turn in enumerate(turns) if turn.tier in {"fresh", "replay"}]
    return turns[begun[-1] :] if begun else turns


def _not_in(replayed: Sequence[Json], turns: Sequence[TurnRecord]) -> Sequence[TurnRecord]:
    """Return the turns whose prompts are missing in the replay, in order; an agent may add text to prompts.

    An interrupted turn may appear only in the history of a later turn, and need not precede it.
    """
    heard, at = replayed_prompts(replayed), 0
    missing: list[TurnRecord] = []
    for turn in turns:
        words = prompt_text(turn.prompt).strip()
        found = next((n for n in range(at, len(heard)) if words in heard[n]), None)
        if found is None:
            missing.append(turn)
        else:
            at = found + (turn.status == "completed")
            missing = [turn for turn in missing if turn.status == "completed"]
    return missing


async def apply_settings(agent: Agent, record: SessionRecord, journal: Journal) -> None:
    """Set the session's model, mode and effort; no tier keeps them reliably."""
    wanted: tuple[Setting, ...] = ("model", "mode", "effort")  # a model may have its own efforts
    for name in wanted:
        if (value := getattr(record, name)) is not None:
            await apply_setting(agent, name, value, journal)


def is_set_up(agent: Agent, record: SessionRecord) -> bool:
    """Whether the agent has the session's model, mode and effort."""
    wanted: tuple[Setting, ...] = ("model", "mode", "effort")
    return all(
        value is None or _names_it(agent, name, value) or agent.settings.request(name, value) is None
        for name in wanted
        for value in [getattr(record, name)]
    )


async def apply_setting(agent: Agent, name: Setting, value: str, journal: Journal) -> None:
    """Set one of them unless it is set already.

    Raises:
        BadValue: the agent does not offer it.
    """
    if _names_it(agent, name, value):
        return
    if (wanted := agent.settings.request(name, value)) is not None:
        method, params = wanted
        answered = await call(journal, agent, method, {"sessionId": agent.session_id, **params})
        agent.settings.apply_set(method, params)
        agent.take_setup(answered)


def _names_it(agent: Agent, name: Setting, value: str) -> bool:
    """Whether the agent's settings file names a model that it does not offer."""
    return name == "model" and agent.model == value and not agent.settings.offers(name, value)


async def call(journal: Journal, agent: Agent, method: str, params: Json) -> dict[str, Any]:
    """Send a request outside turns and wait for its stored answer."""
    return await answer(await post(journal, agent, method, params))


async def post(journal: Journal, agent: Agent, method: str, params: Json) -> Call:
    """Store a request and send it."""
    made = agent.peer.request(method, params)
    stored = {**made.envelope, "params": storable(params)}
    committing = journal.commit([draft("out", "request", stored, None, method=method)])
    await asyncio.gather(committing, agent.connection.features())  # the first request to a runner asks for them
    await agent.connection.post(made.envelope)
    return made


async def answer(made: Call) -> dict[str, Any]:
    """Wait for the answer to a set-up request.

    Raises:
        AgentError: no answer within SETUP_SECONDS.
    """
    try:
        async with asyncio.timeout(SETUP_SECONDS):
            return await made.result or {}
    except TimeoutError as error:
        raise AgentError(f"the agent did not answer {made.envelope['method']} within {SETUP_SECONDS} s.") from error


def readable(error: BaseException) -> str:
    """Return one printable line for the user; with the class name only if the message is incomplete."""
    text = printable(str(error))
    return text if isinstance(error, SessionWidgetsError) and text else f"{type(error).__name__}: {text}".rstrip(": ")
