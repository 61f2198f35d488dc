"""The same requests to our runner and to the real sandbox-agent 0.4.2, beside each other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.runner import AGENT, RunnerProcess
from tests.support.sandbox_agent.server import sandbox_agent

pytestmark = pytest.mark.needs("sandbox-agent")

COMMAND = [sys.executable, str(AGENT)]
JSON = {"content-type": "application/json"}
TAR = {"content-type": "application/x-tar"}
LIMITS = {
    "maxConcurrentProcesses": 64,
    "defaultRunTimeoutMs": 30_000,
    "maxRunTimeoutMs": 300_000,
    "maxOutputBytes": 1 << 20,
    "maxLogBytesPerProcess": 10 << 20,
    "maxInputBytesPerRequest": 64 << 10,
}
PREFLIGHT = {"origin": "http://page.example", "access-control-request-method": "POST", "authorization": ""}


@dataclass
class Server:
    """One of the two: `http` has its token, `{here}` in a path stands for a directory of its own."""

    http: httpx.Client
    here: str

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.http.request(method, path.replace("{here}", self.here), **options)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Our runner and the real server, with the same agent."""
    directory = tmp_path_factory.mktemp("both")
    runner = RunnerProcess(directory / "ours", agents={"pi": {"command": COMMAND}})
    (directory / "real").mkdir()
    try:
        with (
            sandbox_agent(directory / "real", {"pi": COMMAND}) as endpoint,
            httpx.Client(base_url=endpoint.url, headers=dict(endpoint.headers), timeout=30) as http,
        ):
            yield Server(runner.http, str(runner.root)), Server(http, str(directory / "real"))
    finally:
        runner.stop()


def kind(answer: httpx.Response) -> str:
    return answer.json()["type"] if answer.headers.get("content-type") == "application/problem+json" else ""


MCP = "/v1/config/mcp?directory={here}&mcpName="
SKILLS = "/v1/config/skills?directory={here}&skillName="
REMOTE = {"type": "remote", "url": "https://example.com/mcp", "headers": {"X": "y"}, "unknown": 1}
LOCAL = {"type": "stdio", "command": "server", "args": ["a"], "env": {"A": "b"}}
SOURCES = {"sources": [{"type": "local", "source": "/tmp/skills", "skills": ["one"]}, {"type": "odd", "source": "x"}]}
SAME = [
    ("GET", "/v1/agents/pi?config=maybe", {}),
    ("GET", "/v1/agents/nope", {}),
    ("POST", "/v1/agents/pi/install", {"json": {}}),
    ("POST", "/v1/agents/pi/install", {"json": {"reinstall": "yes"}}),
    ("POST", "/v1/agents/pi/install", {"json": {"agentVersion": "9.9"}}),
    ("POST", "/v1/agents/pi/install", {"json": {"reinstall": True}}),
    ("POST", "/v1/agents/pi/install", {}),
    ("POST", "/v1/agents/nope/install", {"json": {}}),
    ("GET", "/v1/processes", {}),
    ("GET", "/v1/processes?owner=user", {}),
    ("GET", "/v1/processes?owner=system", {}),
    ("GET", "/v1/processes?owner=desktop", {}),
    ("GET", "/v1/processes?owner=weird", {}),
    ("GET", "/v1/processes/config", {}),
    ("POST", "/v1/processes/config", {"json": {}}),
    ("POST", "/v1/processes/config", {"json": {"maxOutputBytes": 5}}),
    ("POST", "/v1/processes/config", {"json": LIMITS | {"maxOutputBytes": 0}}),
    ("POST", "/v1/processes/config", {"json": LIMITS | {"unknown": 1}}),
    ("POST", "/v1/processes/config", {"json": LIMITS | {"maxRunTimeoutMs": 1_000}}),
    ("POST", "/v1/processes/config", {"json": LIMITS}),
    ("POST", "/v1/processes/run", {"json": {"command": "true", "timeoutMs": 400_000}}),
    ("GET", "/ui/", {"headers": {"authorization": ""}}),
    ("GET", "/ui", {"headers": {"authorization": ""}}),
    ("OPTIONS", "/v1/acp/one", {"headers": PREFLIGHT}),
    ("OPTIONS", "/v1/agents", {"headers": PREFLIGHT}),
    ("PUT", MCP + "remote", {"json": REMOTE}),
    ("GET", MCP + "remote", {}),
    ("PUT", MCP + "local", {"json": LOCAL}),
    ("GET", MCP + "local", {}),
    ("GET", MCP + "none", {}),
    ("GET", MCP, {}),
    ("GET", "/v1/config/mcp?directory={here}", {}),
    ("GET", "/v1/config/mcp?directory=&mcpName=x", {}),
    ("PUT", MCP + "bad", {"json": {"type": "odd"}}),
    ("PUT", MCP + "bad", {"json": {"type": "local"}}),
    ("PUT", MCP + "bad", {"content": b"{", "headers": JSON}),
    ("GET", MCP + "bad", {}),
    ("PUT", "/v1/config/mcp?directory=relative/folder&mcpName=x", {"json": LOCAL}),
    ("GET", "/v1/config/mcp?directory=relative/folder&mcpName=x", {}),
    ("DELETE", MCP + "remote", {}),
    ("DELETE", MCP + "remote", {}),
    ("GET", MCP + "remote", {}),
    ("PUT", SKILLS + "default", {"json": SOURCES}),
    ("GET", SKILLS + "default", {}),
    ("GET", SKILLS + "none", {}),
    ("PUT", SKILLS + "bad", {"json": {}}),
    ("DELETE", SKILLS + "default", {}),
    ("GET", SKILLS + "default", {}),
]


def test_both_answer_the_same(both):
    ours, _ = both
    for method, path, options in SAME:
        mine, theirs = (server.ask(method, path, **options) for server in both)
        asked = f"{method} {path} {options.get('json', '')}"
        assert mine.status_code == theirs.status_code, (asked, mine.text, theirs.text)
        if kind(theirs):  # the rest of its refusals is plain text
            assert kind(mine) == kind(theirs), asked
        elif theirs.headers.get("content-type") == "application/json":
            assert _lasting(mine.json()) == _lasting(theirs.json()), asked
    assert (ours.http.options("/v1/acp", headers=PREFLIGHT).headers.keys() & {"access-control-allow-origin"}) == set()


def _lasting(body: Any) -> Any:
    """An answer without what differs from run to run, and without the signal that ours tells of."""
    if not isinstance(body, dict):
        return body
    return {name: value for name, value in body.items() if name not in ("durationMs", "signal", "agents")}


def test_an_entry_is_in_the_same_file(both):
    files = []
    for server in both:
        server.ask("PUT", MCP + "kept", json=LOCAL)
        files.append(server.ask("GET", "/v1/fs/file?path={here}/.sandbox-agent/config/mcp.json").json()["kept"])
    assert files[0] == files[1] == {"type": "local", "command": "server", "args": ["a"], "env": {"A": "b"}}


OURS_IS_SAFER = [
    # An agent is given JSON-RPC alone, and a client learns at once that nothing will come of anything else.
    ("POST", "/v1/acp/one", {"json": {}}, 400, 202),
    ("POST", "/v1/acp/one", {"json": {"jsonrpc": "1.0", "id": 5, "method": "x"}}, 400, 200),
    # A path that is missing, a folder that is not empty and a bad archive are no faults of the server, nor of a proxy.
    ("GET", "/v1/fs/stat?path=missing", {}, 404, 400),
    ("DELETE", "/v1/fs/entry?path={here}/full", {}, 409, 502),
    ("POST", "/v1/fs/upload-batch?path={here}/up", {"content": b"no tar at all" * 99, "headers": TAR}, 400, 502),
    # Nothing outside the workspace is read.
    ("GET", "/v1/fs/stat?path=/etc/hostname", {}, 403, 200),
]


def test_where_ours_is_safer(both):
    for server in both:
        server.ask("POST", "/v1/acp/one?agent=pi", json={"jsonrpc": "2.0", "id": 1, "method": "initialize"})
        server.ask("PUT", "/v1/fs/file?path={here}/full/file", content=b"x")
    for method, path, options, *expected in OURS_IS_SAFER:
        statuses = [server.ask(method, path, **options).status_code for server in both]
        assert statuses == expected, (method, path)
    ours, _ = both
    assert ours.ask("PUT", "/v1/config/mcp?directory=/tmp/elsewhere&mcpName=x", json=LOCAL).status_code == 403
    ours.ask("DELETE", "/v1/acp/one")
