"""An agent's capabilities and options before any session: asks a temporary process of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from session_widgets.runner import envelopes
from session_widgets.runner.children import STDOUT, Child, Children
from session_widgets.runner.config import AgentCommand
from session_widgets.runner.envelopes import Message

ANSWER_SECONDS = 20.0
STOP_SECONDS = 2.0
MAX_OUTPUT_BYTES = 8 << 20
_CLIENT: Message = {
    "protocolVersion": 1,
    "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
}


@dataclass(frozen=True, slots=True)
class Answers:
    """An agent's responses; `error` is the reason if there are none.

    Attributes:
        options: ACP's `configOptions` of a new session.
        capabilities: names of sandbox-agent's capabilities beyond those of every ACP agent.
        version: of the program.
    """

    options: list[Any] | None = None
    error: str | None = None
    capabilities: frozenset[str] = frozenset()
    version: str | None = None


class Interview:
    """Asks each agent once, one at a time."""

    def __init__(self, children: Children, root: str) -> None:
        self._children = children
        self._root = root
        self._asking = asyncio.Lock()
        self._known: dict[str, Answers] = {}

    def known(self, name: str) -> Answers:
        """Return an agent's responses to an earlier interview; nothing without one."""
        return self._known.get(name, Answers())

    async def ask(self, name: str, command: AgentCommand, *, fresh: bool) -> Answers:
        """Return an agent's responses, from a temporary process.

        Args:
            name: of the agent.
            command: of the agent.
            fresh: whether to ask again after an earlier success.
        """
        async with self._asking:
            known = self._known.get(name)
            if known is None or known.error or fresh:
                self._known[name] = await self._ask(command)
            return self._known[name]

    async def _ask(self, command: AgentCommand) -> Answers:
        talk = _Talk()
        try:
            child = await self._children.spawn(
                command.command, talk.on_data, cwd=self._root, env=command.env, stdin=asyncio.subprocess.PIPE
            )
        except (OSError, ValueError) as error:
            return Answers(error=f"{command.command[0]} does not start: {error}")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                about = await talk.request(child, "initialize", _CLIENT)
                session = await talk.request(child, "session/new", {"cwd": self._root, "mcpServers": []})
        except TimeoutError:
            return Answers(error=f"it did not answer within {ANSWER_SECONDS:g} s")
        except _Refusal as refusal:
            return Answers(error=str(refusal))
        finally:
            await asyncio.shield(child.stop(STOP_SECONDS))
            child.release()
        return _answers(about, session)


class _Refusal(Exception):
    """The agent responded with an error, or exited."""


class _Talk:
    """Sends requests to an agent, one after another; ignores all other messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._news = asyncio.Event()
        self._size = 0

    def on_data(self, stream: int, data: bytes) -> None:
        """Handle a line of output."""
        self._size += len(data)
        if stream != STDOUT or self._size > MAX_OUTPUT_BYTES:
            return
        *lines, rest = (self._buffer + data).split(b"\n")
        self._buffer = bytearray(rest)
        self._lines += map(bytes, lines)
        self._news.set()

    async def request(self, child: Child, method: str, params: Message) -> Mapping[str, Any]:
        """Send a request and return its result; raise `_Refusal` if there is none."""
        message = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
        if not child.writable:
            raise _Refusal("it ended before it was asked")
        child.write(orjson.dumps(message) + b"\n")
        ended = asyncio.create_task(child.exited.wait())
        try:
            while True:
                self._news.clear()
                while self._lines:
                    if (answer := _answer(self._lines.pop(0), method)) is not None:
                        return answer
                if ended.done():
                    raise _Refusal(f"it ended with code {child.code} before it answered {method}")
                news = asyncio.create_task(self._news.wait())
                await asyncio.wait({news, ended}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
        finally:
            ended.cancel()


def _answer(line: bytes, request_id: str) -> Mapping[str, Any] | None:
    try:
        message, _ = envelopes.read_line(line.strip())
    except ValueError:
        return None
    if message.get("id") != request_id or "method" in message:
        return None
    if "error" in message:
        raise _Refusal(f"it refused {request_id}: {_text(_object(message['error']).get('message'))}")
    return _object(message.get("result"))


def _answers(about: Mapping[str, Any], session: Mapping[str, Any]) -> Answers:
    can = _object(about.get("agentCapabilities"))
    prompt = _object(can.get("promptCapabilities"))
    options = [option for option in _list(session.get("configOptions")) if isinstance(option, dict)]
    modes = _list(_object(session.get("modes")).get("availableModes"))
    for option in options:
        if option.get("category") == "mode":
            modes += _list(option.get("options"))
    found = {
        "images": prompt.get("image") is True,
        "fileAttachments": prompt.get("embeddedContext") is True,
        "sessionLifecycle": can.get("loadSession") is True or bool(_object(can.get("sessionCapabilities"))),
        "planMode": any("plan" in (_object(mode).get("id"), _object(mode).get("value")) for mode in modes),
        "reasoning": any(option.get("category") == "thought_level" for option in options),
    }
    version = _object(about.get("agentInfo")).get("version")
    return Answers(
        options=options,
        capabilities=frozenset(name for name, has in found.items() if has),
        version=_text(version) if version else None,
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def _text(value: object) -> str:
    return value[:500] if isinstance(value, str) else "no reason given"
