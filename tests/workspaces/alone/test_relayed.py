"""A bucket in memory as the durable side of a sandbox elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_widgets.workspaces.contract import Workspace
from tests.support.trees import Distant
from tests.workspaces.memory import Memory, workspace
from tests.workspaces.of_sync import *  # noqa: F403


def relayed(home: Path, memory: Memory) -> Workspace:
    """The directory that only the sandbox of this machine sees is where an attachment "sync" would have its copy."""
    base = workspace(home, memory)
    base.path.mkdir(parents=True)
    return base.relayed(Distant(base.path), home / "sync")


@pytest.fixture
def here(tmp_path: Path, memory: Memory) -> Workspace:
    space = relayed(tmp_path / "here", memory)
    space.attach(lambda _: None)
    return space


@pytest.fixture
def there(tmp_path: Path, memory: Memory) -> Workspace:
    return relayed(tmp_path / "there", memory)
