"""An agent over its own pipes: as fast as anything between it and a person can be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

Message = dict[str, Any]


class BareAgent:
    """Speaks JSON-RPC with an agent process, one request at a time."""

    def __init__(self, process: subprocess.Popen[bytes], cwd: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self.pid = process.pid
        self._last_id = 0
        self.call("initialize", protocolVersion=1)
        new = self.call("session/new", cwd=str(cwd), mcpServers=[])
        self._session = orjson.loads(new[-1])["result"]["sessionId"]

    def call(self, method: str, **params: Any) -> list[bytes]:
        """Send a request; return the lines up to its response."""
        id = self._send(method, params)
        lines: list[bytes] = []
        while not lines or not _answers(lines[-1], id):
            lines.append(self._read(method))
        return lines

    def prompt(self, text: str) -> list[bytes]:
        """Run one turn; return its lines."""
        return self.call("session/prompt", **self._prompt(text))

    def first_text(self, text: str) -> float:
        """Run one turn; return the seconds until the first text of its answer."""
        began, first = time.perf_counter(), 0.0
        id = self._send("session/prompt", self._prompt(text))
        while not _answers(line := self._read("session/prompt"), id):
            if not first and b'"agent_message_chunk"' in line and b'"text":""' not in line:
                first = time.perf_counter() - began
        return first

    def _prompt(self, text: str) -> Message:
        return {"sessionId": self._session, "prompt": [{"type": "text", "text": text}]}

    def _send(self, method: str, params: Message) -> int:
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        self._in.write(orjson.dumps(request) + b"\n")
        self._in.flush()
        return self._last_id

    def _read(self, method: str) -> bytes:
        line = self._out.readline()
        if not line:
            raise EOFError(f"the agent ended during {method}")
        return line


def _answers(line: bytes, id: int) -> bool:
    return b'"session/update"' not in line and orjson.loads(line).get("id") == id


DEMO = (sys.executable, "-P", "-m", "session_widgets.demo")


@contextmanager
def bare_agent(place: Path, command: Sequence[str] = DEMO, env: Mapping[str, str] | None = None) -> Iterator[BareAgent]:
    """Run an agent, by default the demo, in the directory `place`."""
    place.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if env else None,
        cwd=place,
        env=env,
        start_new_session=True,
    )
    with process:
        try:
            yield BareAgent(process, place)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
