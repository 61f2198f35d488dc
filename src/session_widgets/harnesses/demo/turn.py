"""One prompt to its stop reason."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from acp.connection import Connection
from acp.exceptions import RequestError

from session_widgets.errors import BadPath
from session_widgets.harnesses.demo import client, free_text, tasks, tools
from session_widgets.harnesses.demo.answers import script_for
from session_widgets.harnesses.demo.memory import Memory, count_words, prompt_text
from session_widgets.harnesses.demo.script import (
    Command,
    Crash,
    Deaf,
    Fail,
    Mode,
    Offer,
    Plan,
    Question,
    Read,
    Remember,
    Run,
    Say,
    Silent,
    Stream,
    Think,
    Title,
    Tool,
    Unknown,
    Wait,
    Write,
    parse,
)
from session_widgets.harnesses.demo.toolcall import Answer, Refused, ToolCall, text_content

MESSAGE, THOUGHT = "agent_message_chunk", "agent_thought_chunk"
_WORD = re.compile(r"\s*\S+\s*|\s+")
_BREATH = 64  # chunks between two looks at what the client says


class TurnCancelled(Exception):
    """The client answered a permission request with `cancelled`."""


@dataclass
class Session:
    """An open session; `servers` are its MCP servers, `standing_answers` the user's "always" by kind of tool."""

    id: str
    cwd: Path
    memory: Memory
    servers: Sequence[dict[str, Any]] = ()
    standing_answers: dict[str, Answer] = field(default_factory=dict)
    running: asyncio.Task[str] | None = None


class Turn:
    """Carries out one prompt and tells the client of it."""

    def __init__(
        self,
        session: Session,
        connection: Connection,
        prompt: list[dict[str, Any]],
        questions: frozenset[str] = frozenset(),
    ) -> None:
        """Take what a turn needs; `questions` are the modes of elicitation that the client knows."""
        self.session = session
        self.questions = questions
        self.cwd = session.cwd
        self._connection = connection
        self._prompt = prompt
        self._past_words = session.memory.words
        self._past_prompts: list[str] = []
        self._text: list[str] = []  # of the message or thought that is being said
        self._text_kind: str | None = None
        self._said = {MESSAGE: 0, THOUGHT: 0}  # words
        self._plan: tuple[str, ...] = ()
        self._ticked = 0
        self._calls = 0

    async def run(self) -> str:
        """Carry out the prompt and return ACP's stop reason.

        Raises:
            RequestError: the script said `fail`, or something broke.
        """
        memory = self.session.memory
        memory.append({"type": "prompt", "blocks": self._prompt})
        self._past_prompts, self._past_words = memory.prompts[:-1], memory.words - count_words(memory.prompts[-1])
        stop_reason = "error"
        try:
            await self._carry_out(prompt_text(self._prompt))
            stop_reason = "end_turn"
        except (asyncio.CancelledError, TurnCancelled):
            stop_reason = "cancelled"
        finally:
            self._remember_text()
            memory.append({"type": "end", "stop_reason": stop_reason})
        await self._send_usage()
        return stop_reason

    def usage(self) -> dict[str, int]:
        """Return ACP's `Usage` of this turn; a token is a word."""
        parts = {
            "inputTokens": count_words(prompt_text(self._prompt)),
            "outputTokens": self._said[MESSAGE],
            "thoughtTokens": self._said[THOUGHT],
            "cachedReadTokens": self._past_words,
        }
        return {**parts, "totalTokens": sum(parts.values())}

    async def say(self, text: str, *, kind: str = MESSAGE) -> None:
        """Stream a message (or a thought) word by word; it follows an earlier one as a new paragraph."""
        words = _WORD.findall(text)
        if self._text_kind == kind and words:
            words[0] = f"\n\n{words[0]}"
        for word in words:
            await self._chunk(kind, word)

    async def show_plan(self, entries: tuple[str, ...], done: int) -> None:
        """Publish a plan with its first `done` entries completed."""
        self._plan = entries
        await self._tick(done)

    async def update(self, update: dict[str, Any]) -> None:
        """Send a session update, unless the client is gone."""
        with contextlib.suppress(ConnectionError):
            await self._connection.send_notification("session/update", {"sessionId": self.session.id, "update": update})

    async def record(self, update: dict[str, Any]) -> None:
        """Send a session update that `session/load` is to replay."""
        self._remember_text()
        self.session.memory.append({"type": "update", "update": update})
        await self.update(update)

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        """Send the client a request of this session, and return its result."""
        return await self._connection.send_request(method, {"sessionId": self.session.id, **params})

    async def ask(self, tool_call: dict[str, Any], options: Sequence[dict[str, str]]) -> str:
        """Ask the user for permission; return the kind of the option chosen, `reject_once` for anything else.

        Raises:
            TurnCancelled: the outcome is `cancelled`.
        """
        try:
            answer = await self.request("session/request_permission", {"toolCall": tool_call, "options": list(options)})
        except RequestError:
            return "reject_once"
        match answer:
            case {"outcome": {"outcome": "cancelled"}}:
                raise TurnCancelled
            case {"outcome": {"outcome": "selected", "optionId": chosen}}:
                return next((option["kind"] for option in options if option["optionId"] == chosen), "reject_once")
        return "reject_once"

    @asynccontextmanager
    async def tool(self, kind: str, title: str, raw_input: dict[str, Any]) -> AsyncIterator[ToolCall]:
        """Make a tool call; whatever ends the block closes it. A failed one does not end the turn."""
        self._calls += 1
        id_ = f"call_{self.session.id[:8]}_{self.session.memory.turns}_{self._calls}"
        call = ToolCall(self, id_, kind, title, raw_input)
        try:
            yield call
        except Refused as refusal:
            await call.finish("failed", content=text_content(str(refusal)))
            await self.say(f"{refusal} So I went on without: {title}")
        except (BadPath, OSError, ValueError) as error:
            await call.finish("failed", content=text_content(str(error)))
        except (asyncio.CancelledError, TurnCancelled):
            await call.finish("failed", content=text_content("Cancelled."))
            raise

    async def _carry_out(self, text: str) -> None:
        script = script_for(text)
        task, commands = tasks.find(script), parse(script)
        await self._think_first(commands)
        if task is not None:
            await task(self)
            return
        if commands is None:
            await free_text.answer(self, text)
            return
        for command in commands:
            await self._obey(command)
            if self._ticked < len(self._plan) and not isinstance(command, Plan):
                await self._tick(self._ticked + 1)
        if self._ticked < len(self._plan):
            await self._tick(len(self._plan))

    async def _think_first(self, commands: list[Command] | None) -> None:
        what = "free text, so I look at the workspace" if commands is None else f"a script of {len(commands)} commands"
        thoughts = (f"The prompt is {what}.", "I take it step by step, in the order given.")
        for thought in thoughts[: self.session.memory.settings.thoughts]:
            await self.say(thought, kind=THOUGHT)

    async def _obey(self, command: Command) -> None:
        match command:
            case Say(text):
                await self.say(text)
            case Think(text):
                await self.say(text, kind=THOUGHT)
            case Plan(entries):
                self._plan = entries
                await self._tick(0)
            case Write(path, text):
                await tools.write(self, path, text)
            case Read(path):
                await tools.read(self, path)
            case Run(shell_command):
                await tools.run(self, shell_command)
            case Wait(seconds):
                await tools.wait(self, seconds)
            case Tool(name, arguments):
                await tools.call(self, name, dict(arguments))
            case Stream(count):
                await self._stream(count)
            case Question(params):
                await client.question(self, params)
            case Mode(id_, asks):
                await client.go_to(self, id_, asks=asks)
            case Title(text):
                await client.title(self, text)
            case Offer(names):
                await client.offer(self, names)
            case Remember():
                await self.say(self._memories())
            case Silent():
                await asyncio.Event().wait()
            case Deaf():
                client.be_deaf()
            case Fail(message):
                raise RequestError(-32603, message)
            case Crash(code):
                self._crash(code)
            case Unknown(line, text):
                await self.say(f"Line {line} is no command I know, so I skipped it: `{text}`")

    async def _stream(self, count: int) -> None:
        for index in range(count):
            await self._chunk(MESSAGE, f"chunk {index} ")

    async def _chunk(self, kind: str, text: str) -> None:
        if self._text_kind != kind:
            self._remember_text()
            self._text_kind = kind
        self._text.append(text)
        self._said[kind] += count_words(text)
        if len(self._text) % _BREATH == 0:
            await asyncio.sleep(0)
        await self.update({"sessionUpdate": kind, "content": {"type": "text", "text": text}})

    async def _tick(self, done: int) -> None:
        """Publish the plan with its first `done` entries completed."""
        self._ticked = done
        statuses = ["completed"] * done + ["in_progress"] + ["pending"] * len(self._plan)
        entries = [
            {"content": entry, "priority": "medium", "status": status}
            for entry, status in zip(self._plan, statuses, strict=False)
        ]
        await self.record({"sessionUpdate": "plan", "entries": entries})

    def _memories(self) -> str:
        count = len(self._past_prompts)
        if not count:
            return "0 earlier turns: this is the first prompt."
        return f"{count} earlier turn{'s' * (count > 1)}; the first prompt was: {self._past_prompts[0]}"

    def _crash(self, code: int) -> NoReturn:
        self._remember_text()
        print(f"demo: the script said crash {code}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the log
        os._exit(code)

    def _remember_text(self) -> None:
        """Make one record of the chunks said so far."""
        if self._text:
            update = {"sessionUpdate": self._text_kind, "content": {"type": "text", "text": "".join(self._text)}}
            self._text = []
            self.session.memory.append({"type": "update", "update": update})
        self._text_kind = None

    async def _send_usage(self) -> None:
        size = self.session.memory.settings.context_words
        used = min(self.usage()["totalTokens"], size)  # the demo models forget what does not fit
        await self.update({"sessionUpdate": "usage_update", "used": used, "size": size})
