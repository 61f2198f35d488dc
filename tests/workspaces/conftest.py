"""One session, on two machines."""

from __future__ import annotations

import pytest

from tests.support.workspaces import attach, workspace

pytest.register_assert_rewrite("tests.workspaces.of_sync", "tests.workspaces.of_sync_faults")


@pytest.fixture
def here(tmp_path, lab):
    space = workspace(tmp_path / "here", lab)
    attach(space)
    return space


@pytest.fixture
def there(tmp_path, lab):
    """The same session on another machine."""
    return workspace(tmp_path / "there", lab)
