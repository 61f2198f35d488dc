"""A bucket in memory as the durable side of a sandbox elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_widgets.errors import NotDurable
from session_widgets.workspaces import sync_engine
from session_widgets.workspaces.contract import Workspace
from tests.support.trees import Distant
from tests.support.workspaces import persist, write
from tests.workspaces.memory import Memory, asked, put, workspace
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


def test_a_change_there_of_a_large_file_is_met_beside_small_ones(
    here: Workspace, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_engine, "LARGEST", 3)
    write(here, "large", "first")
    persist(here)
    write(here, "large", "ours, longer")
    write(here, "s", "1")
    put(memory, "large", b"theirs")
    asked(memory)
    with pytest.raises(NotDurable, match="1 file changed both here and in") as caught:
        persist(here)
    assert caught.value.reason == "conflict"
    assert asked(memory, "put").count(("put", "large")) == 1, "it is met at once"
