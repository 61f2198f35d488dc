"""The methods of ACP that a client calls."""

from __future__ import annotations

import asyncio
import os
import re
import uuid
from pathlib import Path

from session_widgets.demo import login, params
from session_widgets.demo.capabilities import Capabilities
from session_widgets.demo.jsonrpc import Connection, Json, RequestError, Transport
from session_widgets.demo.memory import Memory, stored_sessions
from session_widgets.demo.params import checked
from session_widgets.demo.session import Session
from session_widgets.demo.settings import Settings
from session_widgets.demo.turn import Turn
from session_widgets.version import __version__

PROTOCOL_VERSION = 1
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")  # also the name of its file


class DemoAgent:
    """An agent on one connection."""

    def __init__(self, transport: Transport, state_dir: Path | None) -> None:
        requests = {
            "initialize": checked(params.INITIALIZE, self._initialize),
            "session/new": checked(params.NEW, self._new),
            "session/load": checked(params.LOAD, self._load),
            "session/resume": checked(params.RESUME, self._resume),
            "session/list": checked(params.LIST, self._list),
            "session/close": checked(params.SESSION, self._close),
            "session/delete": checked(params.SESSION, self._delete),
            "session/set_mode": checked(params.SET_MODE, self._set_mode),
            "session/set_config_option": checked(params.SET_CONFIG_OPTION, self._set_config_option),
            "session/prompt": checked(params.PROMPT, self._prompt),
        }
        self._connection = Connection(transport, requests, {"session/cancel": checked(params.SESSION, self._cancel)})
        self._state_dir = state_dir
        self._sessions: dict[str, Session] = {}
        self._client = Capabilities()

    async def serve(self) -> None:
        """Answer until the end of input; then stop what runs."""
        await self._connection.serve()

    async def _initialize(self, given: Json) -> Json:
        """Tell what this agent can do."""
        self._client = Capabilities.of(given.get("clientCapabilities"))
        return {
            "protocolVersion": PROTOCOL_VERSION,
            "agentInfo": {"name": "session-widgets-demo", "title": "Demo", "version": __version__},
            "agentCapabilities": {
                "loadSession": True,
                "promptCapabilities": {"embeddedContext": True},
                "sessionCapabilities": {"list": {}, "resume": {}, "close": {}, "delete": {}},
            },
            "authMethods": login.methods(self._client),
        }

    async def _new(self, given: Json) -> Json:
        """Start a session in the directory `cwd`."""
        login.check()
        cwd = given["cwd"]
        root = _directory(cwd)
        id_ = uuid.uuid4().hex
        memory = Memory.create(self._folder(cwd), id_, cwd)
        self._sessions[id_] = Session(id_, root, memory, given["mcpServers"])
        return {"sessionId": id_, **Settings().state()}

    async def _load(self, given: Json) -> Json:
        """Reopen a session and replay it."""
        session = self._reopen(given)
        for update in session.memory.replay():
            if self._client.takes(update["sessionUpdate"]):
                await self._notify(session.id, update)
        return session.memory.settings.state()

    async def _resume(self, given: Json) -> Json:
        """Reopen a session in silence."""
        return self._reopen(given).memory.settings.state()

    async def _list(self, given: Json) -> Json:
        """List the sessions on disk, all on one page."""
        cwd = given.get("cwd")
        return {"sessions": stored_sessions(self._folder(cwd or os.getcwd()), cwd)}  # noqa: PTH109 - text is meant

    async def _close(self, given: Json) -> Json:
        """Stop and forget an open session; its file stays."""
        session = self._open(given)
        del self._sessions[session.id]
        await _stop(session)
        return {}

    async def _delete(self, given: Json) -> Json:
        """Delete a session and its file."""
        id_ = given["sessionId"]
        session = self._sessions.pop(id_, None)
        if session:
            await _stop(session)
        path = session.memory.path if session else self._file(os.getcwd(), id_)  # noqa: PTH109 - text is meant
        path.unlink(missing_ok=True)
        return {}

    async def _set_mode(self, given: Json) -> Json:
        """Choose the mode."""
        await self._choose(given, "mode", given["modeId"])
        return {}

    async def _set_config_option(self, given: Json) -> Json:
        """Choose mode, model or effort."""
        settings = await self._choose(given, given["configId"], given["value"])
        return {"configOptions": settings.config_options()}

    async def _prompt(self, given: Json) -> Json:
        """Carry out a prompt."""
        session = self._open(given)
        _refuse_while_running(session)
        turn = Turn(session, self._connection, given["prompt"], self._client)
        running = session.running = asyncio.create_task(turn.run())
        try:
            await asyncio.wait({running})
        finally:
            await _stop(session)
        stop_reason = "cancelled" if running.cancelled() else running.result()
        return {"stopReason": stop_reason, "usage": turn.usage()}

    async def _cancel(self, given: Json) -> None:
        """Cancel the running turn, if there is one; its prompt is answered with `cancelled`."""
        session = self._sessions.get(given["sessionId"])
        if session and session.running and not session.running.cancelling():
            session.running.cancel()

    async def _choose(self, given: Json, option: str, value: object) -> Settings:
        session = self._open(given)
        before = session.memory.settings
        try:
            settings = before.changed(option, value)
        except ValueError as error:
            raise RequestError.invalid_params(str(error)) from None
        session.memory.choose(settings)
        if settings.mode != before.mode:
            await self._notify(session.id, {"sessionUpdate": "current_mode_update", "currentModeId": settings.mode})
        options = settings.config_options()
        await self._notify(session.id, {"sessionUpdate": "config_option_update", "configOptions": options})
        return settings

    async def _notify(self, session_id: str, update: Json) -> None:
        await self._connection.notify("session/update", {"sessionId": session_id, "update": update})

    def _open(self, given: Json) -> Session:
        session = self._sessions.get(given["sessionId"])
        if session is None:
            raise RequestError.resource_not_found(given["sessionId"])
        return session

    def _reopen(self, given: Json) -> Session:
        login.check()
        id_, cwd = given["sessionId"], given["cwd"]
        if running := self._sessions.get(id_):
            _refuse_while_running(running)
        root, path = _directory(cwd), self._file(cwd, id_)
        if not path.is_file():
            raise RequestError.resource_not_found(id_)
        session = self._sessions[id_] = Session(id_, root, Memory(path), given.get("mcpServers") or [])
        return session

    def _folder(self, cwd: str) -> Path:
        return self._state_dir or Path(cwd) / ".harness" / "demo"

    def _file(self, cwd: str, session_id: str) -> Path:
        if not _SESSION_ID.fullmatch(session_id):
            raise RequestError.invalid_params(f"params.sessionId: {session_id!r:.80} is no session of this agent")
        return self._folder(cwd) / f"{session_id}.jsonl"


def _directory(cwd: str) -> Path:
    path = Path(cwd)
    if "\0" in cwd or not path.is_absolute() or not path.is_dir():
        raise RequestError.invalid_params(f"cwd must be an existing absolute directory; got {cwd!r:.200}")
    return path


def _refuse_while_running(session: Session) -> None:
    if session.running:
        raise RequestError.invalid_request("a turn is running in this session; cancel it or wait")


async def _stop(session: Session) -> None:
    running, session.running = session.running, None
    if running and not running.done():
        if not running.cancelling():
            running.cancel()
        await asyncio.wait({running})
