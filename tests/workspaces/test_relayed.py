"""A directory as the durable side of a sandbox elsewhere: what goes there, and what comes home."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from session_widgets.errors import NotDurable, WorkspaceError
from session_widgets.host.host_tree import HostTree
from session_widgets.host.tree import TEMPORARY
from session_widgets.workspaces.local import LocalWorkspace
from tests.support.relaying import World, files, put
from tests.support.trees import Distant


@pytest.fixture(params=[HostTree, Distant], ids=["calls", "streams"])
def world(request, tmp_path):
    return World(tmp_path, request.param)


def test_files_go_there_and_changes_come_home(world):
    put(world.durable, "keep", "keep")
    put(world.durable, "src/edit", "old")
    put(world.durable, "src/gone", "gone")
    put(world.durable, "run.sh").chmod(0o755)
    (world.durable / "empty/inner").mkdir(parents=True)
    (world.durable / "link").symlink_to("src/edit")
    os.utime(world.durable / "keep", ns=(1, 1_700_000_000_123_456_789))
    world.attach()
    assert files(world.box) == files(world.durable)
    assert (world.box / "keep").stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert stat.S_IMODE((world.box / "run.sh").stat().st_mode) == 0o755
    assert (world.box / "link").readlink() == Path("src/edit")
    assert (world.box / "empty/inner").is_dir()
    put(world.box, "src/edit", "new")
    (world.box / "src/gone").unlink()
    (world.box / "link").unlink()
    (world.box / "link").symlink_to("keep")
    put(world.box, "made/deep/file", "made").chmod(0o600)
    (world.box / "made/folder").mkdir()
    world.persist()
    assert files(world.durable) == files(world.box)
    assert (world.durable / "link").readlink() == Path("keep")
    assert stat.S_IMODE((world.durable / "made/deep/file").stat().st_mode) == 0o600
    assert (world.durable / "made/folder").is_dir()
    assert (world.durable / "made/deep/file").stat().st_mtime_ns == (world.box / "made/deep/file").stat().st_mtime_ns
    before = {p: p.stat().st_ctime_ns for p in [*world.durable.rglob("*"), *world.box.rglob("*")]}
    world.attach()
    world.persist()
    assert {p: p.stat().st_ctime_ns for p in before} == before, "nothing is transferred again"


def test_a_folder_that_loses_its_last_file_stays_and_one_that_is_removed_goes(world):
    put(world.durable, "a/b/file")
    put(world.durable, "c/d/file")
    world.attach()
    (world.box / "a/b/file").unlink()
    shutil.rmtree(world.box / "c")
    world.persist()
    assert (world.durable / "a/b").is_dir()
    assert not (world.durable / "c").exists()
    (world.durable / "a/b").rmdir()
    world.attach()
    assert not (world.box / "a/b").exists()


def test_a_file_becomes_a_folder_and_back(world):
    put(world.durable, "thing", "file")
    world.attach()
    (world.box / "thing").unlink()
    put(world.box, "thing/inside")
    world.persist()
    assert files(world.durable) == {"thing/inside": "x"}
    shutil.rmtree(world.box / "thing")
    put(world.box, "thing", "again")
    world.persist()
    assert files(world.durable) == {"thing": "again"}


def test_changes_of_the_user_go_there_before_a_turn(world):
    put(world.durable, "edit", "1")
    put(world.durable, "gone", "1")
    put(world.durable, "mode", "1").chmod(0o644)
    world.attach()
    world.persist()
    put(world.durable, "edit", "2")
    (world.durable / "gone").unlink()
    (world.durable / "mode").chmod(0o755)
    put(world.durable, "new/file", "new")
    world.attach()
    assert files(world.box) == files(world.durable)
    assert stat.S_IMODE((world.box / "mode").stat().st_mode) == 0o755


def test_links_are_links_and_nothing_is_written_through_one(world):
    outside = world.home / "outside"
    outside.mkdir()
    put(outside, "secret", "secret")
    put(world.durable, "folder/file", "1")
    world.attach()
    (world.box / "out").symlink_to(outside)
    shutil.rmtree(world.durable / "folder")
    (world.durable / "folder").symlink_to(outside)
    put(world.box, "folder/file", "2")
    with pytest.raises(NotDurable):
        world.persist()
    assert files(outside) == {"secret": "secret"}
    assert (world.durable / "folder").is_symlink()


def test_caches_and_pipes_stay_where_they_are(world):
    put(world.durable, "node_modules/x")
    os.mkfifo(world.durable / "pipe")
    put(world.durable, "a")
    world.attach()
    assert files(world.box) == {"a": "x"}
    put(world.box, "sub/.venv/bin/python")
    put(world.box, "sub/b")
    world.persist()
    assert set(files(world.durable)) == {"node_modules/x", "a", "sub/b"}
    (world.durable / "sub/b").unlink()
    (world.durable / "sub").rmdir()
    world.attach()
    assert (world.box / "sub/.venv/bin/python").exists()


def test_a_directory_that_cannot_be_listed_whole_deletes_nothing(world, monkeypatch):
    put(world.durable, "a")
    world.attach()
    world.persist()
    os.truncate(put(world.durable, "a"), 33 << 30)
    with pytest.raises(WorkspaceError, match="larger than 32 GiB") as caught:
        world.attach()
    assert caught.value.reason == "name"
    assert files(world.box) == {"a": "x"}
    (world.durable / "a").unlink()
    world.durable.rmdir()
    with pytest.raises(WorkspaceError, match="does not exist"):
        world.attach()
    assert files(world.box) == {"a": "x"}


def test_a_managed_directory_is_created(tmp_path):
    (tmp_path / "box").mkdir()
    space = LocalWorkspace(tmp_path / "w/s1", managed=True).relayed(HostTree(tmp_path / "box"), tmp_path / "sync")
    space.attach(lambda _: None)
    put(tmp_path / "box", "a")
    space.persist(space.scan, ())
    assert files(tmp_path / "w/s1") == {"a": "x"}
    assert stat.S_IMODE((tmp_path / "w/s1").stat().st_mode) == 0o700


def test_a_file_larger_than_a_stream_takes_goes_by_itself(world):
    body = os.urandom(3 << 20)
    (world.durable / "big").write_bytes(body)
    world.attach()
    assert (world.box / "big").read_bytes() == body
    (world.box / "back").write_bytes(body[::-1])
    world.persist()
    assert (world.durable / "back").read_bytes() == body[::-1]


def test_leftovers_of_killed_writes_are_removed_and_those_of_running_ones_stay(world):
    old, new = (put(world.durable, f"a/{TEMPORARY}{name}") for name in ("old", "new"))
    os.utime(old, (1, 1))
    world.attach()
    assert not old.exists()
    assert new.exists()
    assert files(world.box) == {}
