"""The methods of ACP that a client calls."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from acp.agent.router import build_agent_router
from acp.connection import Connection
from acp.exceptions import RequestError
from acp.interfaces import Agent
from acp.meta import AGENT_METHODS, PROTOCOL_VERSION
from acp.schema import ClientCapabilities, DeleteSessionRequest
from pydantic import BaseModel

from session_widgets.errors import BadValue
from session_widgets.harnesses.demo.memory import Memory, stored_sessions
from session_widgets.harnesses.demo.settings import Settings
from session_widgets.harnesses.demo.turn import Session, Turn
from session_widgets.harnesses.demo.wire import StdioTransport
from session_widgets.model import check_session_id
from session_widgets.version import __version__

Servers = Sequence[BaseModel] | None


class DemoAgent:
    """An agent on one connection; its method names are those of the library's `Agent` protocol."""

    def __init__(self, transport: StdioTransport, state_dir: Path | None) -> None:
        router = build_agent_router(cast("Agent", self), use_unstable_protocol=True)
        router.route_request(AGENT_METHODS["session_delete"], DeleteSessionRequest, self, "delete_session")
        self._connection = Connection(router, transport, listening=False)
        self._state_dir = state_dir
        self._sessions: dict[str, Session] = {}
        self._questions: frozenset[str] = frozenset()

    async def serve(self) -> None:
        """Answer until the end of input; then stop what runs."""
        try:
            await self._connection.main_loop()
        finally:
            await self._connection.close()

    async def initialize(
        self, protocol_version: int, client_capabilities: ClientCapabilities | None = None, **_: Any
    ) -> dict[str, Any]:
        """Tell what this agent can do."""
        asked = client_capabilities.elicitation if client_capabilities else None
        self._questions = frozenset(name for name in ("form", "url") if asked and getattr(asked, name) is not None)
        return {
            "protocolVersion": min(protocol_version, PROTOCOL_VERSION) or PROTOCOL_VERSION,
            "agentInfo": {"name": "session-widgets-demo", "title": "Demo", "version": __version__},
            "agentCapabilities": {
                "loadSession": True,
                "promptCapabilities": {"embeddedContext": True},
                "sessionCapabilities": {"list": {}, "resume": {}, "close": {}, "delete": {}},
            },
            "authMethods": [],
        }

    async def new_session(self, cwd: str, mcp_servers: Servers = None, **_: Any) -> dict[str, Any]:
        """Start a session in the directory `cwd`."""
        root = _directory(cwd)
        session_id = uuid.uuid4().hex
        self._sessions[session_id] = Session(
            session_id, root, Memory.create(self._folder(cwd), session_id, cwd), _servers(mcp_servers)
        )
        return {"sessionId": session_id, **Settings().state()}

    async def load_session(self, cwd: str, session_id: str, mcp_servers: Servers = None, **_: Any) -> dict[str, Any]:
        """Reopen a session and replay it."""
        session = self._reopen(cwd, session_id, mcp_servers)
        for update in session.memory.replay():
            await self._notify(session_id, update)
        return session.memory.settings.state()

    async def resume_session(self, cwd: str, session_id: str, mcp_servers: Servers = None, **_: Any) -> dict[str, Any]:
        """Reopen a session in silence."""
        return self._reopen(cwd, session_id, mcp_servers).memory.settings.state()

    async def list_sessions(self, cwd: str | None = None, **_: Any) -> dict[str, Any]:
        """List the sessions on disk, all on one page."""
        return {"sessions": stored_sessions(self._folder(cwd or os.getcwd()), cwd)}  # noqa: PTH109 - text is meant

    async def close_session(self, session_id: str, **_: Any) -> None:
        """Stop and forget an open session; its file stays."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            raise RequestError.resource_not_found(session_id)
        await _stop(session)

    async def delete_session(self, session_id: str, **_: Any) -> dict[str, Any]:
        """Delete a session and its file."""
        session = self._sessions.pop(session_id, None)
        if session:
            await _stop(session)
        path = session.memory.path if session else self._file(os.getcwd(), session_id)  # noqa: PTH109 - text is meant
        path.unlink(missing_ok=True)
        return {}

    async def set_session_mode(self, session_id: str, mode_id: str, **_: Any) -> None:
        """Choose the mode."""
        await self._choose(session_id, "mode", mode_id)

    async def set_config_option(self, session_id: str, config_id: str, value: str | bool, **_: Any) -> dict[str, Any]:
        """Choose mode, model or effort."""
        settings = await self._choose(session_id, config_id, value)
        return {"configOptions": settings.config_options()}

    async def prompt(self, session_id: str, prompt: list[BaseModel], **_: Any) -> dict[str, Any]:
        """Carry out a prompt."""
        session = self._open(session_id)
        _refuse_while_running(session)
        blocks = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in prompt]
        turn = Turn(session, self._connection, blocks, self._questions)
        running = session.running = asyncio.create_task(turn.run())
        try:
            await asyncio.wait({running})
        finally:
            await _stop(session)
        stop_reason = "cancelled" if running.cancelled() else running.result()
        return {"stopReason": stop_reason, "usage": turn.usage()}

    async def cancel(self, session_id: str, **_: Any) -> None:
        """Cancel the running turn, if there is one; its prompt is answered with `cancelled`."""
        session = self._sessions.get(session_id)
        if session and session.running and not session.running.cancelling():
            session.running.cancel()

    async def _choose(self, session_id: str, option: str, value: object) -> Settings:
        session = self._open(session_id)
        before = session.memory.settings
        try:
            settings = before.changed(option, value)
        except ValueError as error:
            raise RequestError.invalid_params({"details": str(error)}) from None
        session.memory.choose(settings)
        if settings.mode != before.mode:
            await self._notify(session_id, {"sessionUpdate": "current_mode_update", "currentModeId": settings.mode})
        options = settings.config_options()
        await self._notify(session_id, {"sessionUpdate": "config_option_update", "configOptions": options})
        return settings

    async def _notify(self, session_id: str, update: dict[str, Any]) -> None:
        await self._connection.send_notification("session/update", {"sessionId": session_id, "update": update})

    def _open(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise RequestError.resource_not_found(session_id)
        return session

    def _reopen(self, cwd: str, session_id: str, servers: Servers) -> Session:
        if running := self._sessions.get(session_id):
            _refuse_while_running(running)
        root, path = _directory(cwd), self._file(cwd, session_id)
        if not path.is_file():
            raise RequestError.resource_not_found(session_id)
        session = self._sessions[session_id] = Session(session_id, root, Memory(path), _servers(servers))
        return session

    def _folder(self, cwd: str) -> Path:
        return self._state_dir or Path(cwd) / ".harness" / "demo"

    def _file(self, cwd: str, session_id: str) -> Path:
        try:
            return self._folder(cwd) / f"{check_session_id(session_id)}.jsonl"
        except BadValue as error:
            raise RequestError.invalid_params({"details": str(error)}) from None


def _servers(given: Servers) -> list[dict[str, Any]]:
    return [server.model_dump(mode="json", by_alias=True, exclude_none=True) for server in given or ()]


def _directory(cwd: str) -> Path:
    path = Path(cwd)
    if "\0" in cwd or not path.is_absolute() or not path.is_dir():
        raise RequestError.invalid_params({"details": f"cwd must be an existing absolute directory; got {cwd!r:.200}"})
    return path


def _refuse_while_running(session: Session) -> None:
    if session.running:
        raise RequestError.invalid_request({"details": "a turn is running in this session; cancel it or wait"})


async def _stop(session: Session) -> None:
    running, session.running = session.running, None
    if running and not running.done():
        if not running.cancelling():
            running.cancel()
        await asyncio.wait({running})
