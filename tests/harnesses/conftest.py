from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harnesses.driver import Conversation, DemoProcess


@pytest.fixture(scope="package")
def shared_agent() -> Iterator[DemoProcess]:
    """One process for every test that does not end it; its sessions keep their state in their workspaces."""
    agent = DemoProcess()
    yield agent
    assert agent.close() == 0, agent.stderr()
    assert "never retrieved" not in agent.stderr()
    assert "Background task failed" not in agent.stderr()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def talk(shared_agent: DemoProcess, workspace: Path) -> Conversation:
    """A new session in the shared process."""
    return Conversation(shared_agent, workspace)


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[[], DemoProcess]]:
    """Starts processes that share one state directory, and ends them."""
    started: list[DemoProcess] = []

    def start() -> DemoProcess:
        started.append(DemoProcess(env={"DEMO_STATE_DIR": str(tmp_path / "state")}))
        return started[-1]

    yield start
    for agent in started:
        if not agent.process.stdout.closed:
            agent.kill()
