"""The two programs that speak the same HTTP API, running the same agents."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from session_widgets.model import Endpoint
from tests.support.runner import TOKEN, RunnerProcess
from tests.support.sandbox_agent.server import sandbox_agent

SCRIPTED = (sys.executable, str(Path(__file__).with_name("scripted_agent.py")))
DEMO = (sys.executable, "-m", "session_widgets.demo")


@dataclass(frozen=True)
class Server:
    """A running server, the names it knows the agents by, and what it can do."""

    kind: str
    endpoint: Endpoint
    workspace: Path
    scripted: str
    demo: str
    ours: bool


@contextmanager
def start(kind: str, directory: Path) -> Iterator[Server]:
    """Run `kind` of server with all it writes below `directory`."""
    if kind == "sandbox-agent":
        workspace = directory / "workspace"
        workspace.mkdir()
        with sandbox_agent(directory, {"mock": SCRIPTED, "pi": DEMO}) as endpoint:
            yield Server(kind, endpoint, workspace, scripted="mock", demo="pi", ours=False)
        return
    agents = {"scripted": {"command": SCRIPTED, "env": {}}, "demo": {"command": DEMO, "env": {}}}
    runner = RunnerProcess(directory, agents=agents)
    try:
        endpoint = Endpoint(runner.url, {"Authorization": f"Bearer {TOKEN}"})
        yield Server(kind, endpoint, runner.root, scripted="scripted", demo="demo", ours=True)
    finally:
        runner.stop()
