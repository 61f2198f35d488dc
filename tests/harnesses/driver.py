"""Drives the real demo agent over its pipes, one raw JSON line at a time."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import until

COMMAND = (sys.executable, "-P", "-m", "session_widgets.demo")
Message = dict[str, Any]


class DemoProcess:
    """A running demo agent; `initialize` has been answered."""

    def __init__(
        self, command: Sequence[str] = COMMAND, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        inherited = {name: value for name, value in os.environ.items() if name != "DEMO_STATE_DIR"}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**inherited, **(env or {})},
            cwd=cwd,
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._stderr: list[bytes] = []
        self._threads = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._last_id = 0
        self.capabilities = self.call("initialize", protocolVersion=1)["result"]

    def write(self, line: bytes) -> None:
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, method: str, **params: Any) -> int:
        """Send a request and return its id."""
        self._last_id += 1
        self.write(json.dumps({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}).encode())
        return self._last_id

    def notify(self, method: str, **params: Any) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def answer(self, request: Message, result: Any) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode())

    def read(self, seconds: float = 20) -> Message:
        """Return the next message; EOFError when the agent has closed its stdout."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            pytest.fail(f"the agent said nothing for {seconds} s; stderr: {self.stderr()}")
        if not line:
            raise EOFError(self.stderr())
        return json.loads(line)

    def call(self, method: str, **params: Any) -> Message:
        """Send a request and return its response."""
        return self.collect(self.send(method, **params))[1]

    def collect(self, id_: int) -> tuple[list[Message], Message]:
        """Return the messages before the response to request `id_`, and the response."""
        before: list[Message] = []
        while True:
            message = self.read()
            if message.get("id") == id_ and "method" not in message:
                return before, message
            before.append(message)

    def read_until(self, method: str) -> Message:
        """Return the next message with that method; those before it are dropped."""
        while (message := self.read()).get("method") != method:
            pass
        return message

    def stderr(self) -> str:
        """Return what it wrote so far; all of it once it has ended."""
        if self.process.poll() is not None:
            self._threads[1].join(5)
        return b"".join(self._stderr).decode(errors="replace")

    def close(self) -> int:
        """End its input and return the exit code."""
        self.process.stdin.close()
        try:
            return self.process.wait(10)
        finally:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def _read_stdout(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _read_stderr(self) -> None:
        for line in self.process.stderr:
            self._stderr.append(line)


@dataclass
class Reply:
    """What came back for one prompt."""

    updates: list[Message] = field(default_factory=list)
    permissions: list[Message] = field(default_factory=list)
    result: Message | None = None
    error: Message | None = None

    @property
    def text(self) -> str:
        return chunks(self.updates, "agent_message_chunk")

    @property
    def thought(self) -> str:
        return chunks(self.updates, "agent_thought_chunk")

    @property
    def stop_reason(self) -> str:
        assert self.result, self.error
        return self.result["stopReason"]

    def of(self, kind: str) -> list[Message]:
        return [update for update in self.updates if update["sessionUpdate"] == kind]

    def tools(self) -> list[Message]:
        """Each tool call as a client has it in the end: its updates merged, `statuses` in order."""
        calls: dict[str, Message] = {}
        for update in self.updates:
            if id_ := update.get("toolCallId"):
                call = calls.setdefault(id_, {"statuses": []})
                if update.get("status") and call["statuses"][-1:] != [update["status"]]:
                    call["statuses"].append(update["status"])
                call.update(update)
        return list(calls.values())


class Conversation:
    """One ACP session; `answer` decides permission requests by the option's kind."""

    def __init__(self, agent: DemoProcess, cwd: Path, session_id: str | None = None) -> None:
        self.agent = agent
        self.cwd = cwd
        self.answer = "allow_once"
        self.opened: Message = {}
        if session_id is None:
            self.opened = agent.call("session/new", cwd=str(cwd), mcpServers=[])["result"]
            session_id = self.opened["sessionId"]
        self.id = session_id

    def start(self, prompt: str | list[Message]) -> int:
        blocks = [{"type": "text", "text": prompt}] if isinstance(prompt, str) else prompt
        return self.agent.send("session/prompt", sessionId=self.id, prompt=blocks)

    def prompt(self, prompt: str | list[Message]) -> Reply:
        return self.finish(self.start(prompt))

    def finish(self, id_: int, reply: Reply | None = None, *, until: Callable[[Reply], object] | None = None) -> Reply:
        """Read up to the response to prompt `id_`, or only until `until` holds; permissions are answered."""
        reply = reply or Reply()
        while until is None or not until(reply):
            message = self.agent.read()
            if message.get("method") == "session/update":
                assert message["params"]["sessionId"] == self.id
                reply.updates.append(message["params"]["update"])
            elif message.get("method") == "session/request_permission":
                reply.permissions.append(message)
                if self.answer != "nothing":
                    self.agent.answer(message, outcome(message, self.answer))
            elif message.get("id") == id_:
                reply.result, reply.error = message.get("result"), message.get("error")
                return reply
        return reply

    def cancel(self) -> None:
        self.agent.notify("session/cancel", sessionId=self.id)


def outcome(request: Message, kind: str) -> Message:
    if kind == "cancelled":
        return {"outcome": {"outcome": "cancelled"}}
    chosen = next(option["optionId"] for option in request["params"]["options"] if option["kind"] == kind)
    return {"outcome": {"outcome": "selected", "optionId": chosen}}


def chunks(updates: list[Message], kind: str) -> str:
    return "".join(update["content"]["text"] for update in updates if update["sessionUpdate"] == kind)


def shown(tool: Message) -> str:
    """The text that a tool call shows in the end."""
    return "".join(block["content"]["text"] for block in tool["content"] if block["type"] == "content")


def alive(pid: int) -> bool:
    """Whether process `pid` runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_dead(pid: int) -> None:
    until(lambda: not alive(pid), seconds=5, what=f"the end of process {pid}")
