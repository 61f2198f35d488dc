"""A directory of this host as a tree."""

from __future__ import annotations

import pytest

from session_widgets.host.host_tree import HostTree
from session_widgets.workspaces.file_tree import BulkTree
from tests.workspaces.of_file_tree import *  # noqa: F403


@pytest.fixture
def root(tmp_path):
    return tmp_path


@pytest.fixture
def tree(root):
    tree = HostTree(root)
    yield tree
    tree.close()


def test_it_is_near(tree):
    """Many small files go by parallel calls, not by a stream."""
    assert not isinstance(tree, BulkTree)
