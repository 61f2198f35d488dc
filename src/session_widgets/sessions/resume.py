"""The resume ladder: warm, `session/resume`, `session/load`, replay, fresh. Each native tier is verified."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from session_widgets.acp import AcpConnection, Call, Peer
from session_widgets.acp.messages import initialize_params
from session_widgets.errors import AgentError, AgentFailed, SessionWidgetsError
from session_widgets.model import Endpoint, Json, SessionRecord, Tier, TurnRecord
from session_widgets.offers import Setting
from session_widgets.sessions.agent import Agent, replayed_prompts
from session_widgets.sessions.handover import prompt_text
from session_widgets.sessions.journal import Journal, draft
from session_widgets.sessions.mcp_servers import check_supported, storable
from session_widgets.version import __version__

LOG = logging.getLogger("session_widgets")
SETUP_SECONDS = 120

StartPump = Callable[[Agent], None]
Past = Callable[[bool], dict[str, Any] | None]
"""Takes whether the agent reads embedded resources; returns the history for one that remembers nothing."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """An agent that is ready, and how it got its memory."""

    agent: Agent
    tier: Tier


class Ladder:
    """Starts an agent process and gives it the session's memory."""

    def __init__(
        self,
        record: SessionRecord,
        cwd: str,
        journal: Journal,
        start_pump: StartPump,
        servers: Sequence[Json] = (),
        *,
        portable: bool = True,
    ) -> None:
        self._record = record
        self._cwd = cwd
        self._journal = journal
        self._start_pump = start_pump
        self._servers = servers
        self._portable = portable
        self._replayed: list[Json] = []

    async def start(self, endpoint: Endpoint, turns: Sequence[TurnRecord], before: Json | None, past: Past) -> Resumed:
        """Start a process and climb down the ladder.

        Args:
            endpoint: the runner.
            turns: those that an agent was asked and that have ended.
            before: the `agent_started` note of the agent that had the session last, if any had.
            past: makes the history of `turns`.
        """
        peer = Peer()
        name = f"{self._record.id[:40]}-{uuid4().hex[:12]}"
        agent = Agent(AcpConnection(endpoint, name, self._record.harness, on_post_failed=peer.fail), peer)
        try:
            result = await self._initialize(agent)
            agent.info = result.get("agentInfo") or {}
            agent.capabilities = result.get("agentCapabilities") or {}
            return await self._remember(agent, turns, before or {}, past)
        except BaseException:
            await asyncio.shield(agent.connection.close())
            raise

    async def _initialize(self, agent: Agent) -> dict[str, Any]:
        """Send the request that starts the process; there is a stream to read only from then on."""
        made = await post(self._journal, agent, "initialize", initialize_params(__version__))
        self._start_pump(agent)
        return await answer(made)

    def take_update(self, message: Json) -> None:
        """Keep an update that may belong to a replay."""
        self._replayed.append((message.get("params") or {}).get("update") or {})

    async def _remember(self, agent: Agent, turns: Sequence[TurnRecord], before: Json, past: Past) -> Resumed:
        earlier = self._record.agent_session_id
        check_supported(self._servers, agent.capabilities)
        place = {"cwd": self._cwd, "mcpServers": list(self._servers)}
        own = before.get("harness") == self._record.harness  # another harness's memory is not this one's
        moved = before.get("cwd", self._cwd) != self._cwd
        usable = own and (self._portable or not moved)
        if turns and earlier and usable and await self._is_listed(agent, earlier):
            agent.session_id = earlier
            for tier in ("load",) if moved else ("resume", "load"):  # only a load shows what it found in a new place
                if agent.offers(tier) and await self._restore(agent, tier, place, turns):
                    return Resumed(agent, "resume" if tier == "resume" else "load")
        result = await call(self._journal, agent, "session/new", place)
        agent.session_id = str(result.get("sessionId") or "")
        agent.take_setup(result)
        embedded = bool((agent.capabilities.get("promptCapabilities") or {}).get("embeddedContext"))
        agent.history = await asyncio.to_thread(past, embedded)
        return Resumed(agent, "replay" if agent.history else "fresh")

    async def _is_listed(self, agent: Agent, session_id: str) -> bool:
        """Whether the agent still knows the session; an agent that cannot list is asked by trying."""
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

    async def _restore(self, agent: Agent, tier: str, place: Json, turns: Sequence[TurnRecord]) -> bool:
        self._replayed.clear()
        try:
            result = await call(self._journal, agent, f"session/{tier}", {"sessionId": agent.session_id, **place})
        except AgentError as error:
            if agent.dead is not None:
                raise
            LOG.warning("session/%s failed, trying the next tier: %s", tier, error)
            return False
        done = [turn for turn in _of_one_session(turns) if turn.status == "completed"]
        if tier == "load" and not _matches(self._replayed, done):
            LOG.warning("session/load of %s replayed another conversation than the store holds", agent.session_id)
            return False
        agent.take_setup(result)
        return True


def _of_one_session(turns: Sequence[TurnRecord]) -> Sequence[TurnRecord]:
    """Return the turns since the agent's session began: of earlier ones it was told in a history, not in prompts."""
    begun = [at for at, turn in enumerate(turns) if turn.tier in {"fresh", "replay"}]
    return turns[begun[-1] :] if begun else turns


def _matches(replayed: Sequence[Json], turns: Sequence[TurnRecord]) -> bool:
    """Whether every prompt of the store is in the replay, in order; an agent may add words of its own."""
    heard = iter(replayed_prompts(replayed))
    return all(any(prompt_text(turn.prompt).strip() in words for words in heard) for turn in turns)


async def apply_settings(agent: Agent, record: SessionRecord, journal: Journal) -> None:
    """Set model, mode and effort as the session wants them; no tier keeps them reliably."""
    wanted: tuple[Setting, ...] = ("model", "mode", "effort")  # a model may have its own efforts
    for name in wanted:
        if (value := getattr(record, name)) is not None:
            await apply_setting(agent, name, value, journal)


async def apply_setting(agent: Agent, name: Setting, value: str, journal: Journal) -> None:
    """Set one of them unless it is set already.

    Raises:
        BadValue: the agent does not offer it.
    """
    if name == "model" and agent.model == value and not agent.settings.offers(name, value):
        return  # its settings file names it
    if (wanted := agent.settings.request(name, value)) is not None:
        method, params = wanted
        answered = await call(journal, agent, method, {"sessionId": agent.session_id, **params})
        agent.settings.take_set(method, params)
        agent.take_setup(answered)


async def call(journal: Journal, agent: Agent, method: str, params: Json) -> dict[str, Any]:
    """Send a request that belongs to no turn and wait for its stored answer."""
    return await answer(await post(journal, agent, method, params))


async def post(journal: Journal, agent: Agent, method: str, params: Json) -> Call:
    """Store a request and send it."""
    made = agent.peer.request(method, params)
    stored = {**made.envelope, "params": storable(params)}
    await journal.commit([draft("out", "request", stored, None, method=method)])
    await agent.connection.post(made.envelope)
    return made


async def answer(made: Call) -> dict[str, Any]:
    """Wait for the answer to a request of the set-up.

    Raises:
        AgentError: none came within SETUP_SECONDS.
    """
    try:
        async with asyncio.timeout(SETUP_SECONDS):
            return await made.result or {}
    except TimeoutError as error:
        raise AgentError(f"the agent did not answer {made.envelope['method']} within {SETUP_SECONDS} s.") from error


def readable(error: BaseException) -> str:
    """Return one line for the user; the class name only where the message does not say it all."""
    text = str(error)
    return text if isinstance(error, SessionWidgetsError) and text else f"{type(error).__name__}: {text}".rstrip(": ")
