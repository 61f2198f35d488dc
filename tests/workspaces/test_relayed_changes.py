"""A directory and a sandbox elsewhere that change, break or are replaced while they are compared: nothing is lost."""

from __future__ import annotations

import threading
from io import BytesIO

import pytest

from session_widgets.errors import NotDurable, TransportError, WorkspaceConflict, WorkspaceError
from session_widgets.host.host_tree import HostTree
from session_widgets.workspaces import sync_engine
from tests.support.relaying import World, files, put
from tests.support.trees import Distant
from tests.support.waiting import until


@pytest.fixture(params=[HostTree, Distant], ids=["calls", "streams"])
def world(request, tmp_path):
    return World(tmp_path, request.param)


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


def test_many_small_files_go_in_a_few_streams_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(sync_engine, "BATCH_FILES", 2)
    together = threading.Barrier(sync_engine.STREAMS, timeout=30)

    class Waiting(Distant):
        def write_many(self, items):
            together.wait()
            return super().write_many(items)

    world = World(tmp_path, Waiting)
    for number in range(2 * sync_engine.STREAMS):
        put(world.durable, f"d{number % 3}/f{number}", str(number))
    world.attach()
    assert files(world.box) == files(world.durable)
