"""A directory and a bucket in memory, which change while they are compared, sent and fetched."""

from __future__ import annotations

import stat
from contextlib import suppress

import pytest

from session_widgets.errors import NotDurable, WorkspaceConflict
from session_widgets.workspaces.sync import SyncWorkspace
from tests.support.workspaces import persist, write
from tests.workspaces.memory import Memory, asked, keys, put, refuse


def test_what_is_gone_while_it_is_compared_is_stored_again(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "a", b"1")
    memory.objects["s1/a"]["ETag"] = '"parts-2"'
    write(here, "a", "1")

    def remove(call: str, key: str) -> None:
        if call == "get" and key == "s1/a":
            memory.objects.pop(key, None)

    memory.before = remove
    with suppress(WorkspaceConflict):
        here.attach(lambda _: None)
    persist(here)
    assert memory.objects["s1/a"]["Body"] == b"1"


def test_a_void_link_there_is_replaced_by_what_is_here_without_a_word(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "a", b"", Metadata={"mode": str(stat.S_IFLNK | 0o777)})  # type: ignore[arg-type]
    write(here, "a", "ours")
    here.attach(lambda _: None)
    persist(here)
    assert memory.objects["s1/a"]["Body"] == b"ours"


def test_a_void_link_there_that_was_replaced_is_met(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "a", b"", Metadata={"mode": str(stat.S_IFLNK | 0o777)})  # type: ignore[arg-type]
    here.attach(lambda _: None)
    write(here, "a", "ours")
    put(memory, "a", b"theirs")
    with pytest.raises(NotDurable, match="1 file changed both here and in"):
        persist(here)
    persist(here)
    assert memory.objects["s1/a"]["Body"] == b"ours"


def test_what_is_gone_since_it_was_listed_is_fetched_no_more(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "a", b"1")
    put(memory, "b", b"1")

    def remove(call: str, key: str) -> None:
        if call == "get" and key == "s1/a":
            memory.objects.pop("s1/a", None)

    memory.before = remove
    here.attach(lambda _: None)
    assert [path.name for path in here.path.iterdir()] == ["b"]


def test_what_changes_between_the_listing_and_the_fetch_is_looked_at_again(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "a", b"1")

    def change(call: str, key: str) -> None:
        if call == "get" and key == "s1/a":
            memory.before = lambda *_: None
            put(memory, "a", b"2")

    memory.before = change
    here.attach(lambda _: None)
    assert (here.path / "a").read_text() == "2"
    persist(here)
    assert memory.objects["s1/a"]["Body"] == b"2"
    assert (here.path / "a").read_text() == "2"
    asked(memory)
    here.attach(lambda _: None)
    assert asked(memory, "get") == [], "it is known now, with the time of the second one"


def test_a_change_there_while_it_is_sent_is_met(here: SyncWorkspace, memory: Memory) -> None:
    for name in ("edited", "new", "gone"):
        if name != "new":
            write(here, name, "first")
    persist(here)
    write(here, "edited", "ours")
    write(here, "new", "ours")
    (here.path / "gone").unlink()
    for name in ("edited", "new", "gone"):
        put(memory, name, b"theirs")
    with pytest.raises(NotDurable, match="2 files changed both here and in") as caught:
        persist(here)
    assert caught.value.reason == "conflict"
    assert (here.path / "gone").read_text() == "theirs", "what was changed there is not deleted from here"
    persist(here)
    assert memory.objects["s1/edited"]["Body"] == memory.objects["s1/new"]["Body"] == b"ours"


def test_a_store_that_says_changed_of_what_is_not_there_gets_it_all_the_same(
    here: SyncWorkspace, memory: Memory
) -> None:
    """SeaweedFS takes a folder that was here for an object."""
    refused = []

    def once(call: str, key: str) -> None:
        if call == "put" and key == "s1/a" and not refused:
            refused.append(key)
            raise refuse(412, "PreconditionFailed")

    write(here, "a", "1")
    memory.before = once
    persist(here)
    assert refused
    assert memory.objects["s1/a"]["Body"] == b"1"


def test_a_folder_that_is_there_already_is_no_conflict(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "d/", b"")
    (here.path / "d").mkdir()
    persist(here)
    assert keys(memory) == {"d/"}


def test_kinds_change_in_both_directions(here: SyncWorkspace, memory: Memory) -> None:
    write(here, "file", "1")
    (here.path / "folder").mkdir()
    persist(here)
    (here.path / "file").unlink()
    (here.path / "file").mkdir()
    (here.path / "folder").rmdir()
    write(here, "folder", "2")
    persist(here)
    assert keys(memory) == {"file/", "folder"}
    (here.path / "file").rmdir()
    (here.path / "file").symlink_to("folder")
    persist(here)
    assert keys(memory) == {"file", "folder"}
    assert memory.objects["s1/file"]["Body"] == b"folder"


def test_a_kind_that_changes_while_it_is_changed_there_is_a_conflict(here: SyncWorkspace, memory: Memory) -> None:
    write(here, "a", "1")
    persist(here)
    (here.path / "a").unlink()
    (here.path / "a").mkdir()
    put(memory, "a", b"theirs")
    with pytest.raises(NotDurable, match="1 file changed both here and in"):
        persist(here)
    persist(here)
    assert [memory.objects[f"s1/{key}"]["Body"] for key in keys(memory) if key.startswith("a.remote")] == [b"theirs"]


def test_what_was_renamed_is_at_no_moment_in_neither_place(here: SyncWorkspace, memory: Memory) -> None:
    write(here, "old", "1")
    write(here, "b/c", "1")
    persist(here)
    (here.path / "old").rename(here.path / "new")
    (here.path / "b/c").unlink()
    (here.path / "b").rmdir()
    write(here, "b", "1")
    asked(memory)
    persist(here)
    calls = asked(memory, "put", "delete")
    assert calls.index(("put", "new")) < calls.index(("delete", "old"))
    assert calls.index(("delete", "b/c")) < calls.index(("put", "b")), "what is in the way goes first"
    assert keys(memory) == {"new", "b"}


def test_what_is_written_while_it_is_sent_is_sent_the_next_time(here: SyncWorkspace, memory: Memory) -> None:
    write(here, "a", "first")
    look = here.scan()
    looks = iter([look])
    write(here, "a", "second")
    here.persist(lambda: next(looks, None) or here.scan(), ())
    assert memory.objects["s1/a"]["Body"] == b"second"
