"""One prompt to its stop reason: parses and runs it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from session_widgets.demo import client, free_text, tasks, tools, updates
from session_widgets.demo.answers import script_for
from session_widgets.demo.capabilities import Capabilities
from session_widgets.demo.jsonrpc import Connection, Json, RequestError
from session_widgets.demo.memory import Memory, count_words, prompt_text
from session_widgets.demo.reply import MESSAGE, THOUGHT, Reply, TurnCancelled
from session_widgets.demo.script import (
    Command,
    Compact,
    Crash,
    Deaf,
    Fail,
    Mode,
    Notice,
    Offer,
    Plan,
    PlanOperation,
    Question,
    Read,
    Remember,
    Run,
    Say,
    Silent,
    Stream,
    Subagent,
    Think,
    Title,
    Tool,
    Unknown,
    Update,
    Wait,
    Write,
    parse,
)
from session_widgets.demo.session import Session


class Turn:
    """Runs one prompt and reports it to the client."""

    def __init__(
        self,
        session: Session,
        connection: Connection,
        prompt: list[Json],
        capabilities: Capabilities,
    ) -> None:
        """Take what a turn needs; `capabilities` are the client's."""
        self._session = session
        self._connection = connection
        self._prompt = prompt
        self._subagents = 0
        self._reply = Reply(session, connection, capabilities)
        self._past_words = session.memory.words
        self._past_prompts: list[str] = []
        self._plan: Sequence[str] = ()
        self._ticked = 0

    async def run(self) -> str:
        """Carry out the prompt and return ACP's stop reason.

        Raises:
            RequestError: the script said `fail`, or something broke.
        """
        memory = self._session.memory
        memory.append({"type": "prompt", "blocks": self._prompt})
        self._past_prompts, self._past_words = memory.prompts[:-1], memory.words - count_words(memory.prompts[-1])
        stop_reason = "error"
        try:
            await self._carry_out(prompt_text(self._prompt))
            stop_reason = "end_turn"
        except (asyncio.CancelledError, TurnCancelled):
            stop_reason = "cancelled"
        finally:
            self._reply.remember_text()
            memory.append({"type": "end", "stop_reason": stop_reason})
        await self._send_usage()
        return stop_reason

    def usage(self) -> dict[str, int]:
        """Return ACP's `Usage` of this turn; a token is a word."""
        parts = {
            "inputTokens": count_words(prompt_text(self._prompt)),
            "outputTokens": self._reply.said[MESSAGE],
            "thoughtTokens": self._reply.said[THOUGHT],
            "cachedReadTokens": self._past_words,
        }
        return {**parts, "totalTokens": sum(parts.values())}

    async def _carry_out(self, text: str) -> None:
        script = script_for(text)
        task, commands = tasks.find(script), parse(script)
        await self._think_first(commands)
        if task is not None:
            await task(self._reply)
            return
        if commands is None:
            await free_text.answer(self._reply, text)
            return
        for command in commands:
            await self._obey(command)
            if self._ticked < len(self._plan) and not isinstance(command, Plan):
                await self._show_plan(self._plan, self._ticked + 1)
        if self._ticked < len(self._plan):
            await self._show_plan(self._plan, len(self._plan))

    async def _think_first(self, commands: list[Command] | None) -> None:
        what = "free text, so I look at the workspace" if commands is None else f"a script of {len(commands)} commands"
        thoughts = (f"The prompt is {what}.", "I take it step by step, in the order given.")
        for thought in thoughts[: self._session.memory.settings.thoughts]:
            await self._reply.say(thought, kind=THOUGHT)

    async def _obey(self, command: Command) -> None:
        match command:
            case Say(text):
                await self._reply.say(text)
            case Think(text):
                await self._reply.say(text, kind=THOUGHT)
            case Plan(entries):
                await self._show_plan(entries, 0)
            case Write(path, text):
                await tools.write(self._reply, path, text)
            case Read(path):
                await tools.read(self._reply, path)
            case Run(shell_command):
                await tools.run(self._reply, shell_command)
            case Wait(seconds):
                await tools.wait(self._reply, seconds)
            case Tool(name, arguments):
                await tools.call(self._reply, name, dict(arguments))
            case Stream(count):
                await self._stream(count)
            case Question(params):
                await client.question(self._reply, params)
            case Mode(id_, asks):
                await client.go_to(self._reply, id_, asks=asks)
            case Title(text):
                await client.title(self._reply, text)
            case Offer(names):
                await client.offer(self._reply, names)
            case Notice(severity, title, description):
                await updates.notice(self._reply, severity, title, description)
            case Compact(summary, error):
                await updates.compact(self._reply, summary, error)
            case PlanOperation(operation, id_, text):
                await updates.plan(self._reply, operation, id_, text)
            case Subagent(title, script):
                await self._delegate(title, script)
            case Update(update):
                await updates.send(self._reply, update)
            case Remember():
                await self._reply.say(self._memories())
            case Silent():
                await asyncio.Event().wait()
            case Deaf():
                client.be_deaf()
            case Fail(message):
                raise RequestError(-32603, message)
            case Crash(code):
                self._crash(code)
            case Unknown(line, text):
                await self._reply.say(f"Line {line} is no command I know, so I skipped it: `{text}`")

    async def _delegate(self, title: str, script: str) -> None:
        """Let a child session carry out `script`, with a file and a usage of its own."""
        client = self._reply.client
        if not client.takes("subagent_update"):
            await self._reply.say("This client takes no subagents.")
            return
        self._subagents += 1
        id_ = f"{self._session.id[:60]}-{self._session.memory.turns}-{self._subagents}"
        memory = Memory.create(self._session.memory.path.parent / "subagents", id_, str(self._session.cwd))
        child = Session(id_, self._session.cwd, memory, self._session.servers, self._session.standing_answers)
        memory.choose(self._session.memory.settings)
        turn = Turn(child, self._connection, [{"type": "text", "text": script}], client)

        async def tell(**changes: object) -> None:
            await self._reply.update({"sessionUpdate": "subagent_update", "sessionId": id_, **changes})

        await tell(title=title, state={"state": "running"})
        message = {"messageId": f"{id_}-task", "senderSessionId": self._session.id, "recipientSessionId": id_}
        content = [{"type": "text", "text": script}]
        await self._reply.update({"sessionUpdate": "session_message", **message, "content": content})
        try:
            stop_reason = await turn.run()
        except RequestError as error:
            await tell(state={"state": "idle", "stopReason": "error", "error": error.as_json()})
            await self._reply.say(f"The subagent failed: {error}")
            return
        await tell(state={"state": "idle", "stopReason": stop_reason, "usage": turn.usage()})
        if stop_reason == "cancelled":
            raise TurnCancelled

    async def _stream(self, count: int) -> None:
        for index in range(count):
            await self._reply.chunk(MESSAGE, f"chunk {index} ")

    async def _show_plan(self, entries: Sequence[str], done: int) -> None:
        self._plan, self._ticked = entries, done
        await self._reply.show_plan(entries, done)

    def _memories(self) -> str:
        count = len(self._past_prompts)
        if not count:
            return "0 earlier turns: this is the first prompt."
        return f"{count} earlier turn{'s' * (count > 1)}; the first prompt was: {self._past_prompts[0]}"

    def _crash(self, code: int) -> NoReturn:
        self._reply.remember_text()
        print(f"demo: the script said crash {code}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the log
        os._exit(code)

    async def _send_usage(self) -> None:
        size = self._session.memory.settings.context_words
        used = min(self.usage()["totalTokens"], size)  # the demo models forget what does not fit
        await self._reply.update({"sessionUpdate": "usage_update", "used": used, "size": size})
