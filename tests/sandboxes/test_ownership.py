"""Giving a workspace to the user of a container."""

import os
from pathlib import Path

import pytest

from session_widgets._sandboxes.ownership import Account, container_account, hand_over
from session_widgets.errors import BadValue

AGENT = Account(1000, 1000)
pytestmark = pytest.mark.needs("root")


def owner(path):
    return path.lstat().st_uid, path.lstat().st_gid


def test_everything_in_it_and_nothing_behind_a_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("not ours")
    workspace = tmp_path / "workspace"
    (workspace / "a" / "b").mkdir(parents=True)
    (workspace / "a" / "b" / "file").write_text("x")
    (workspace / "link").symlink_to(outside / "file")
    (workspace / "folder").symlink_to(outside)
    hand_over(workspace, AGENT)
    assert {owner(path) for path in [workspace, *workspace.rglob("*")]} == {(1000, 1000)}
    assert {owner(path) for path in [outside, outside / "file"]} == {(0, 0)}


def test_what_has_the_right_owner_is_not_touched(tmp_path):
    hand_over(tmp_path, AGENT)
    before = tmp_path.stat().st_ctime_ns
    hand_over(tmp_path, AGENT)
    assert tmp_path.stat().st_ctime_ns == before


def test_a_directory_that_the_agent_cannot_write_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(BadValue, match="cannot write"):
        hand_over(tmp_path, AGENT)


@pytest.mark.parametrize("path", [Path("/"), Path.home(), Path.home().parent], ids=str)
def test_a_directory_that_holds_the_home_is_refused(path):
    before = owner(path)
    with pytest.raises(BadValue, match="directory of its own"):
        hand_over(path, AGENT)
    assert owner(path) == before


def test_root_in_the_kernel_is_not_root_in_the_container():
    account = container_account()
    assert (account.inside, account.runner) == ((1000, 1000), "0:1001")
    account = container_account(rootless=True)
    assert (account, account.inside) == (Account(os.getuid(), os.getgid(), rootless=True), None)
