"""The connections of one runner: started on first use, restored from disk after a restart."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from pathlib import Path
from typing import Any

import orjson

from session_widgets.runner import envelopes
from session_widgets.runner.children import Children
from session_widgets.runner.config import AgentCommand, Config
from session_widgets.runner.connection import Connection
from session_widgets.runner.journal import Journal
from session_widgets.runner.problems import Problem, conflict, invalid, over_limit

CONNECTION_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
OLD_JOURNALS = 64
LOST = "the runner ended before the agent did"


class Connections:
    """Every `/v1/acp/{id}` by id; journals of a former runner are readable, but their agents have exited."""

    def __init__(self, config: Config, children: Children) -> None:
        self._config = config
        self._children = children
        self._directory = config.state / "acp"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._starting = asyncio.Lock()
        self._by_id: dict[str, Connection] = {}
        self._restore()

    @property
    def busy(self) -> bool:
        """Whether any agent owes an answer."""
        return any(connection.busy for connection in self._by_id.values())

    def list(self) -> list[dict[str, Any]]:
        """Return the public records of the connections with a running agent, by id."""
        alive = (connection for _, connection in sorted(self._by_id.items()) if not connection.over.is_set())
        return [{"serverId": one.id, "agent": one.agent, "createdAtMs": one.created_ms} for one in alive]

    def get(self, id_: str) -> Connection:
        """Return a connection; raise `Problem` if it does not exist."""
        if connection := self._by_id.get(id_):
            return connection
        raise Problem(404, "session_not_found", id_, sessionId=id_)

    async def get_or_start(self, id_: str, agent: str | None) -> Connection:
        """Return the connection, starting `agent` for a new id.

        Raises:
            Problem: bad id, no or unknown agent, another agent than before, too many agents, or a failed start.
        """
        if not CONNECTION_ID.fullmatch(id_):
            raise invalid(f"a connection id is 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-': {id_!r:.80}")
        async with self._starting:
            if known := self._by_id.get(id_):
                if agent not in (None, known.agent):
                    raise conflict(f"server '{id_}' already exists for agent '{known.agent}'; requested '{agent}'")
                return known
            if agent is None:
                raise invalid(f"missing required 'agent' query parameter for first POST to /v1/acp/{id_}")
            connection = await self._start(id_, agent)
            self._by_id[id_] = connection
            return connection

    async def delete(self, id_: str, grace: float) -> None:
        """Stop the agent, with SIGKILL after `grace` seconds, and remove the connection with its journal.

        Does nothing if it does not exist.
        """
        if connection := self._by_id.get(id_):
            await connection.stop(grace)
            await connection.journal.remove()
            self._by_id.pop(id_, None)

    async def stop(self) -> None:
        """Stop every agent; the journals stay."""
        connections = self._by_id.values()
        await asyncio.gather(*(connection.stop() for connection in connections))
        await asyncio.gather(*(connection.journal.close() for connection in connections))

    async def _start(self, id_: str, agent: str) -> Connection:
        command = find_agent(self._config, agent)
        limit = self._config.limits.max_agents
        if len(self.list()) >= limit:
            raise over_limit(409, "max_agents", limit, f"{limit} agents are running")
        directory = self._directory / id_
        created_ms = time.time_ns() // 1_000_000
        connection = self._open(id_, agent, created_ms)
        meta = directory / "meta.json"
        meta.touch(mode=0o600)
        meta.write_bytes(orjson.dumps({"agent": agent, "createdAtMs": created_ms}))
        try:
            await connection.start(
                self._children,
                command.command,
                cwd=str(self._config.root),
                env=command.env,
                nonce=self._config.nonce,
            )
        except (OSError, ValueError) as error:
            await connection.journal.remove()
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise Problem(500, "agent_not_installed", f"{command.command[0]}: {why}", agent=agent) from error
        return connection

    def _open(self, id_: str, agent: str, created_ms: int) -> Connection:
        limits = self._config.limits
        journal = Journal(self._directory / id_, max_bytes=limits.max_journal_bytes)
        return Connection(id_, agent, created_ms, journal, limits)

    def _restore(self) -> None:
        found = sorted(self._directory.glob("*/meta.json"), key=lambda path: path.stat().st_mtime)
        for old in found[:-OLD_JOURNALS]:
            shutil.rmtree(old.parent, ignore_errors=True)
        for path in found[-OLD_JOURNALS:]:
            meta = orjson.loads(path.read_bytes())
            self._by_id[path.parent.name] = restored = self._open(path.parent.name, meta["agent"], meta["createdAtMs"])
            restored.over.set()
            last = restored.journal.line(restored.journal.last_id) if restored.journal.last_id else None
            if last is None or not envelopes.tells_of_exit(last):
                restored.journal.append([envelopes.agent_exited(None, None, LOST)])


def find_agent(config: Config, name: str) -> AgentCommand:
    """Return the command of an agent; raise `Problem` if it is not configured."""
    if command := config.agents.get(name):
        return command
    raise Problem(400, "unsupported_agent", name, agent=name, agents=sorted(config.agents))


def executable(command: AgentCommand) -> str | None:
    """Return the path of an agent's program, or None if it does not exist."""
    path = shutil.which(command.command[0], path=command.env.get("PATH"))
    return str(Path(path).absolute()) if path else None
