"""The demo agent over its own pipes: as fast as anything between it and a person can be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
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
        self._last_id = 0
        self.call("initialize", protocolVersion=1)
        new = self.call("session/new", cwd=str(cwd), mcpServers=[])
        self._session = orjson.loads(new[-1])["result"]["sessionId"]

    def call(self, method: str, **params: Any) -> list[bytes]:
        """Send a request; return the lines up to its response."""
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        self._in.write(orjson.dumps(request) + b"\n")
        self._in.flush()
        lines: list[bytes] = []
        while True:
            lines.append(self._out.readline())
            if not lines[-1]:
                raise EOFError(f"the agent ended during {method}")
            if b'"session/update"' not in lines[-1] and orjson.loads(lines[-1]).get("id") == self._last_id:
                return lines

    def prompt(self, text: str) -> list[bytes]:
        """Run one turn; return its lines."""
        return self.call("session/prompt", sessionId=self._session, prompt=[{"type": "text", "text": text}])


@contextmanager
def bare_agent(place: Path) -> Iterator[BareAgent]:
    """Run the demo agent in the directory `place`."""
    place.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "session_widgets.harnesses.demo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=place,
    )
    with process:
        try:
            yield BareAgent(process, place)
        finally:
            process.kill()
