"""A directory and a bucket in memory, kept in step: what holds of a real store, and each thing by itself."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from session_widgets.workspaces.sync import SyncWorkspace
from workspaces import test_sync, test_sync_faults
from workspaces.memory import Memory, workspace

ELSEWHERE = {
    "test_many_keys_are_all_listed_restored_and_removed",  # slow
    "test_whoever_lost_the_lease_in_between_notices",  # a third workspace, of a real store
}
globals().update(  # what needs nothing of a store but its objects is asked of these, too
    (name, test)
    for module in (test_sync, test_sync_faults)
    for name, test in vars(module).items()
    if name.startswith("test_")
    and name not in ELSEWHERE
    and {"lab", "seaweed", "faulty"}.isdisjoint(inspect.signature(test).parameters)
)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def here(tmp_path: Path, memory: Memory) -> SyncWorkspace:
    space = workspace(tmp_path / "here", memory)
    space.attach(lambda _: None)
    return space


@pytest.fixture
def there(tmp_path: Path, memory: Memory) -> SyncWorkspace:
    """The same session on another machine."""
    return workspace(tmp_path / "there", memory)
