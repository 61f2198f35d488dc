"""A directory as the durable side of a sandbox elsewhere, whose tree is another directory here."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from io import BytesIO
from pathlib import Path

import pytest

from session_widgets.errors import NotDurable, TransportError, WorkspaceConflict, WorkspaceError
from session_widgets.host.host_tree import HostTree
from session_widgets.workspaces import forget_tree
from session_widgets.workspaces.local import LocalWorkspace
from tests.support.trees import Distant
from tests.support.waiting import until


class World:
    """A directory of the user, and the machine elsewhere."""

    def __init__(self, home: Path, kind: type[HostTree]) -> None:
        self.home, self.kind = home, kind
        self.place = home / "sync"
        self.durable = home / "project"
        self.durable.mkdir()
        self.box = home / "box"
        self.space = self.another_box()

    def another_box(self):
        """A new sandbox: its directory is empty."""
        shutil.rmtree(self.box, ignore_errors=True)
        self.box.mkdir()
        forget_tree(self.place)
        return self.another_kernel()

    def another_kernel(self):
        self.space = LocalWorkspace(self.durable, managed=False).relayed(self.kind(self.box), self.place)
        return self.space

    def attach(self) -> None:
        self.space.attach(lambda _: None)

    def persist(self) -> None:
        self.space.persist(self.space.scan, ())


def files(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(params=[HostTree, Distant], ids=["calls", "streams"])
def world(request, tmp_path):
    return World(tmp_path, request.param)


def put(root: Path, path: str, text: str = "x") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


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


def test_a_change_on_both_sides_keeps_both(world):
    put(world.durable, "a", "first")
    world.attach()
    put(world.box, "a", "theirs, of the agent")
    put(world.durable, "a", "mine")
    with pytest.raises(NotDurable, match=r"'a' \(the directory's version is 'a\.remote-") as caught:
        world.persist()
    assert caught.value.reason == "conflict"
    assert files(world.durable) == {"a": "mine"}
    world.persist()
    found = files(world.durable)
    assert found.pop("a") == "theirs, of the agent"
    assert list(found.values()) == ["mine"]
    put(world.box, "a", "agent")
    put(world.durable, "a", "me")
    with pytest.raises(WorkspaceConflict):
        world.attach()
    world.attach()
    world.persist()
    assert files(world.durable)["a"] == "agent"
    assert "me" in files(world.durable).values()


def test_what_the_user_writes_while_it_is_saved_is_not_replaced(world, monkeypatch):
    put(world.durable, "a", "first")
    world.attach()
    put(world.box, "a", "agent")
    read = HostTree.read
    read_many = getattr(world.kind, "read_many", None)

    def change():
        if (world.durable / "a").read_text() == "first":
            put(world.durable, "a", "mine, just now")

    monkeypatch.setattr(HostTree, "read", lambda *args: (change(), read(*args))[1])
    if read_many:
        monkeypatch.setattr(world.kind, "read_many", lambda *args: (change(), read_many(*args))[1])
    with pytest.raises(NotDurable, match="both here and in"):
        world.persist()
    world.persist()
    assert sorted(files(world.durable).values()) == ["agent", "mine, just now"]


def test_what_the_agent_writes_while_it_is_sent_there_is_not_replaced(world, monkeypatch):
    put(world.durable, "a", "1")
    world.attach()
    put(world.durable, "a", "22")
    write = HostTree.write

    def late(self, entry, body, seen):
        if entry.path == "a":
            put(world.box, "a", "agent, just now")
        return write(self, entry, body, seen)

    monkeypatch.setattr(HostTree, "write", late)
    with pytest.raises(WorkspaceConflict):
        world.attach()
    assert sorted(files(world.box).values()) == ["22", "agent, just now"]


def test_a_new_box_is_filled_and_deletes_nothing(world):
    put(world.durable, "a", "a")
    world.attach()
    put(world.box, "b", "b")
    world.persist()
    world.another_box()
    world.attach()
    assert files(world.box) == {"a": "a", "b": "b"}
    world.persist()
    assert files(world.durable) == {"a": "a", "b": "b"}


def test_a_box_that_was_replaced_behind_our_back_deletes_nothing(world):
    """The record of another directory does not count, even if nobody said that the box is a new one."""
    put(world.durable, "a", "a")
    world.attach()
    world.persist()
    held = world.box.rename(world.home / "old")
    world.box.mkdir()
    world.another_kernel()
    world.attach()
    assert files(world.box) == {"a": "a"}
    assert held.is_dir()
    world.persist()
    assert files(world.durable) == {"a": "a"}


def test_a_tree_that_is_replaced_during_a_turn_is_not_saved(world):
    put(world.durable, "a", "a")
    world.attach()
    world.box.rename(world.home / "old")
    world.box.mkdir()
    world.space._tree = world.kind(world.box)
    with pytest.raises(NotDurable, match="was replaced") as caught:
        world.persist()
    assert caught.value.reason == "mount"
    assert files(world.durable) == {"a": "a"}


def test_a_directory_that_was_replaced_deletes_nothing_in_the_box(world):
    put(world.durable, "a", "a")
    world.attach()
    world.persist()
    world.durable.rename(world.home / "elsewhere")
    world.durable.mkdir()
    world.another_kernel()
    world.attach()
    assert files(world.box) == {"a": "a"}
    world.persist()
    assert files(world.durable) == {"a": "a"}


def test_another_kernel_brings_home_what_is_in_the_box(world):
    put(world.durable, "a", "1")
    put(world.durable, "b", "1")
    world.attach()
    put(world.box, "a", "2")
    (world.box / "b").unlink()
    put(world.box, "c", "2")
    world.another_kernel()
    world.attach()
    assert files(world.box) == {"a": "2", "c": "2"}
    world.persist()
    assert files(world.durable) == {"a": "2", "c": "2"}


def test_a_transfer_that_breaks_goes_on_where_it_was(world, monkeypatch):
    for number in range(40):
        put(world.durable, f"f{number}", str(number))
    write, count = HostTree.write, iter(range(1000))
    guard = threading.Lock()

    def breaks(self, entry, body, seen):
        with guard:
            if next(count) == 20:
                raise TransportError("the connection broke")
        return write(self, entry, body, seen)

    monkeypatch.setattr(HostTree, "write", breaks)
    with pytest.raises(WorkspaceError, match="the connection broke") as caught:
        world.attach()
    assert caught.value.reason == "unreachable"
    there = {path: path.stat().st_ino for path in world.box.iterdir() if path.name.startswith("f")}
    assert len(there) >= 20
    world.attach()
    assert files(world.box) == files(world.durable)
    assert {path: path.stat().st_ino for path in there} == there, "they are not sent again"


def test_a_box_that_cannot_be_reached_is_said_and_nothing_is_lost(world, monkeypatch):
    put(world.durable, "a", "1")
    world.attach()
    put(world.box, "a", "2")

    def gone(*_):
        raise TransportError("no route")

    with monkeypatch.context() as broken:
        broken.setattr(HostTree, "manifest", gone)
        with pytest.raises(NotDurable, match="no route") as caught:
            world.persist()
    assert caught.value.reason == "unreachable"
    assert files(world.durable) == {"a": "1"}
    world.persist()
    assert files(world.durable) == {"a": "2"}


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


def test_a_body_that_changes_on_its_way_is_not_stored(world, monkeypatch):
    """What arrives must have the hash of the list; the next list shows what there is now."""
    world.attach()
    put(world.box, "a", "listed")
    calls = iter(range(10))
    read = HostTree.read

    class Other:
        def __init__(self, context):
            self.context = context

        def __enter__(self):
            self.context.__enter__()
            return BytesIO(b"forged")

        def __exit__(self, *of):
            return self.context.__exit__(*of)

    monkeypatch.setattr(
        HostTree, "read", lambda self, entry: Other(read(self, entry)) if next(calls) < 2 else read(self, entry)
    )
    world.persist()
    assert files(world.durable) == {"a": "listed"}


def test_a_listed_change_of_the_user_is_not_replaced_either(world):
    put(world.durable, "a", "first")
    world.attach()
    file = put(world.durable, "a", "mine")

    def settled():
        world.space._engine.side.listing()
        return world.space._engine.side._known["a"].stamp

    until(settled, what="a file that need not be hashed again")
    put(world.box, "a", "agent")
    with pytest.raises(NotDurable, match="both here and in"):
        world.persist()
    assert file.read_text() == "mine"
