"""A real runner in its own process, and a client that reads its event streams."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.waiting import until

AGENT = Path(__file__).with_name("runner_agent.py")
TOKEN = "a-token-for-tests"

Event = tuple[int, dict[str, Any]]


def write_config(directory: Path, **settings: Any) -> Path:
    """Write a config file for a runner below `directory`."""
    root = directory / "workspace"
    root.mkdir(parents=True, exist_ok=True)
    config = {
        "root": str(root),
        "state": str(directory / "state"),
        "token": TOKEN,
        "nonce": f"nonce-{time.monotonic_ns()}",
        "agents": {
            "demo": {"command": [sys.executable, str(AGENT)], "env": {"DEMO": "yes"}, "version": "1.2"},
            "missing": {"command": ["no-such-agent"]},
        },
        **settings,
    }
    path = directory / "config.json"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return path


class RunnerProcess:
    """Started on creation; `stop` or `kill` it."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        config = write_config(directory, **settings)
        self.nonce = json.loads(config.read_text())["nonce"]
        self.root = directory / "workspace"
        self.state = directory / "state"
        self.ready = self.state / "ready.json"
        self.ready.unlink(missing_ok=True)
        self.log = directory / "log"
        command = [sys.executable, "-m", "session_widgets.runner", "--config", str(config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
        until(lambda: self.ready.exists() or self.process.poll() is not None, what="ready.json")
        assert self.process.poll() is None, self.log.read_text()
        self.port = json.loads(self.ready.read_text())["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=30)

    def stop(self, how: int = signal.SIGTERM) -> float:
        """End it and return how long that took."""
        self.http.close()
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(15)
        return time.monotonic() - started

    def carriers(self) -> list[int]:
        """Process ids, the runner's own not among them, that carry its mark and live."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("SESSION_WIDGETS_RUNNER") == self.nonce and process.status() != "zombie":
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    def post(
        self, connection: str, method: str, params: Any = None, *, id_: Any = None, **options: Any
    ) -> httpx.Response:
        """Post a request (or without `id_` a notification) to the agent."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if id_ is not None:
            message["id"] = id_
        return self.http.post(f"/v1/acp/{connection}?agent=demo", json=message, **options)

    def open(self, connection: str) -> str:
        """Start an agent."""
        answer = self.post(connection, "initialize", id_="init")
        assert answer.status_code == 200, answer.text
        return connection

    def prompt(
        self, connection: str, text: str, id_: Any = "p", *, wait: bool = True, snapshot: str = ""
    ) -> httpx.Response:
        """Send a prompt and wait for its answer, or only until it is accepted."""
        params = {"sessionId": "s", "prompt": [{"type": "text", "text": text}]}
        prefer = [*([] if wait else ["respond-async"]), *([f"snapshot={snapshot}"] if snapshot else [])]
        headers = {"prefer": ", ".join(prefer)} if prefer else {}
        return self.post(connection, "session/prompt", params, id_=id_, headers=headers)

    @contextmanager
    def stream(self, path: str, **headers: str) -> Iterator[Iterator[tuple[str, str, bytes]]]:
        """Open an event stream: (event, id, data) each; comments come as (":", "", text)."""
        sent = {"accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
        with self.http.stream("GET", path, headers=sent) as response:
            assert response.status_code == 200, response.read()
            yield _parse(response.iter_raw())

    def events(
        self, connection: str, after: int | None = None, *, last: int | None = None, method: str = ""
    ) -> list[Event]:
        """Read events behind `after` up to id `last`, or up to the first with this method."""
        headers = {} if after is None else {"last_event_id": str(after)}
        found: list[Event] = []
        with self.stream(f"/v1/acp/{connection}", **headers) as stream:
            for event, id_, data in stream:
                assert event == "message"
                found.append((int(id_), json.loads(data)))
                if int(id_) == last or (method and found[-1][1].get("method") == method):
                    return found
        return found

    def texts(self, connection: str, last: int) -> list[str]:
        """Return the text of each message chunk up to id `last`."""
        updates = [
            message["params"]["update"] for _, message in self.events(connection, last=last) if "params" in message
        ]
        return [update["content"]["text"] for update in updates]


def _parse(chunks: Iterator[bytes]) -> Iterator[tuple[str, str, bytes]]:
    rest = b""
    for chunk in chunks:
        *frames, rest = (rest + chunk).split(b"\n\n")
        for frame in frames:
            if frame.startswith(b":"):
                yield ":", "", frame[1:].strip()
                continue
            fields = dict(line.split(b": ", 1) for line in frame.split(b"\n"))
            yield fields.get(b"event", b"").decode(), fields.get(b"id", b"").decode(), fields[b"data"]


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def names_in(directory: Path) -> list[str]:
    """The names in a directory, sorted; none if it does not exist yet."""
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []
