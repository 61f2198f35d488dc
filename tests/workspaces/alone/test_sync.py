"""A directory and a bucket in memory, synchronised: the guarantees of a real store, one by one."""

from __future__ import annotations

import asyncio
import errno
import json
import re
import stat
from pathlib import Path

import pytest

from session_widgets.errors import NotDurable, WorkspaceConflict, WorkspaceError, WorkspaceTaken
from session_widgets.host.host_tree import HostTree
from session_widgets.workspaces.sync import SyncWorkspace
from tests.support.workspaces import attach, contents, persist, write
from tests.workspaces.memory import Memory, asked, keys, put, refuse, workspace
from tests.workspaces.of_sync import *  # noqa: F403
from tests.workspaces.of_sync_faults import *  # noqa: F403


def test_what_it_is_and_where(tmp_path: Path, memory: Memory) -> None:
    space = workspace(tmp_path, memory)
    assert (space.attachment, space.managed, space.mount_report, space.location) == ("sync", True, "", "s3://lab/s1")
    assert space.path == tmp_path / "workspaces" / "s1"
    assert space.attach(lambda _: None) is True, "the directory is new"
    assert space.attach(lambda _: None) is False
    for place in (space.path, tmp_path / "sync" / "s1"):
        assert place.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "sync" / "s1" / "known.json").is_file()
    space.unblock(1)
    write(space, "a", "1")
    persist(space)
    assert asyncio.run(space.files().stat("a")).size == 1


def test_uploads_that_were_killed_are_looked_for_once(here: SyncWorkspace, memory: Memory) -> None:
    assert ("uploads", "s1/") in memory.calls
    memory.calls.clear()
    here.attach(lambda _: None)
    assert ("uploads", "s1/") not in memory.calls


def test_keys_that_may_not_look_for_uploads_do_for_the_rest(tmp_path: Path, memory: Memory) -> None:
    def refuse_uploads(call: str, _: str) -> None:
        if call == "uploads":
            raise refuse(403, "AccessDenied")

    memory.before = refuse_uploads
    space = workspace(tmp_path, memory)
    space.attach(lambda _: None)
    persist(space)


def test_a_disk_that_is_full_is_named(here: SyncWorkspace, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, "a", b"x")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(HostTree, "write", full)
    with pytest.raises(WorkspaceError) as caught:
        here.attach(lambda _: None)
    assert str(caught.value) == f"{here.path} cannot be brought up to date: No space left on device."
    assert caught.value.reason == "disk"


def test_many_items_report_progress(here: SyncWorkspace, there: SyncWorkspace) -> None:
    for number in range(60):
        write(here, f"{number}")
    told: list[str] = []
    here.attach(told.append)
    persist(here)
    assert told[-1] == "Saving 60 of 60 files (s3://lab/s1)"
    here.detach()
    assert attach(there)[-1] == "Restoring 60 of 60 files (s3://lab/s1)"


def test_what_is_the_same_is_neither_sent_nor_fetched_nor_asked_about(here: SyncWorkspace, memory: Memory) -> None:
    write(here, "a", "1")
    (here.path / "empty").mkdir()
    (here.path / "link").symlink_to("a")
    persist(here)
    assert sorted(asked(memory, "put", "get", "head", "delete")) == [("put", "a"), ("put", "empty/"), ("put", "link")]
    persist(here)
    here.attach(lambda _: None)
    persist(here)
    again = workspace(here.objects.home, memory)
    again.attach(lambda _: None)
    persist(again)
    assert asked(memory, "put", "get", "head", "delete") == []


def test_the_record_knows_when_each_object_was_stored(here: SyncWorkspace, memory: Memory) -> None:
    write(here, "a", "1")
    persist(here)
    (row,) = json.loads((here.objects.home / "sync/s1/known.json").read_text())["known"]
    assert row[-1] == memory.objects["s1/a"]["LastModified"].timestamp()
    put(memory, "a", b"1", Metadata={"mode": str(0o100755)})  # type: ignore[arg-type]
    here.attach(lambda _: None)
    assert (here.path / "a").stat().st_mode & 0o777 == 0o755, "the same content with another mode"
    (row,) = json.loads((here.objects.home / "sync/s1/known.json").read_text())["known"]
    assert row[-1] == memory.objects["s1/a"]["LastModified"].timestamp()


def test_an_object_that_is_here_already_is_known_at_once(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "a", b"1")
    write(here, "a", "1")
    here.attach(lambda _: None)
    (row,) = json.loads((here.objects.home / "sync/s1/known.json").read_text())["known"]
    assert row[-1] == memory.objects["s1/a"]["LastModified"].timestamp()


def test_two_kernels_of_a_machine_know_what_the_other_saved(here: SyncWorkspace, memory: Memory) -> None:
    second = workspace(here.objects.home, memory)
    second.attach(lambda _: None)
    write(here, "a", "1")
    persist(here)
    asked(memory)
    persist(second)
    write(here, "a", "2")
    persist(second)
    persist(here)
    assert asked(memory, "put") == [("put", "a")]
    (here.path / "a").unlink()
    persist(second)
    write(here, "a", "3")
    persist(here)
    assert memory.objects["s1/a"]["Body"] == b"3"


def test_what_was_stored_in_parts_is_known_by_its_content(here: SyncWorkspace, memory: Memory) -> None:
    for name, mine in (("same", "1"), ("other", "2"), ("longer", "22")):
        put(memory, name, b"1")
        memory.objects[f"s1/{name}"]["ETag"] = f'"{name}-2"'
        write(here, name, mine)
    asked(memory)
    with pytest.raises(WorkspaceConflict, match="2 files changed both here and in s3://lab/s1: ") as caught:
        here.attach(lambda _: None)
    assert "'same'" not in str(caught.value)
    assert asked(memory, "get").count(("get", "longer")) == 1, "another size is another content"
    persist(here)
    assert memory.objects["s1/same"]["ETag"] == '"same-2"', "it is not sent again"
    assert {key: memory.objects[f"s1/{key}"]["Body"] for key in ("other", "longer")} == {
        "other": b"2",
        "longer": b"22",
    }


@pytest.mark.parametrize(("count", "more"), [(1, ""), (3, ""), (4, " and 1 more"), (5, " and 2 more")])
def test_a_conflict_names_three_files_and_counts_the_rest(
    here: SyncWorkspace, memory: Memory, count: int, more: str
) -> None:
    for number in range(count):
        put(memory, f"{number}", b"theirs")
        write(here, f"{number}", "ours")
    etag = memory.objects["s1/0"]["ETag"].strip('"')[:8]
    one = rf"'\d' \(the bucket's version is '\d\.remote-{etag}' now\)"
    some = ", ".join([one] * min(count, 3))
    files = "1 file" if count == 1 else f"{count} files"
    with pytest.raises(WorkspaceConflict) as caught:
        here.attach(lambda _: None)
    assert re.fullmatch(
        rf"{files} changed both here and in s3://lab/s1: {some}{more}\. Both versions are in the workspace now; look "
        r"at them, then send again\.",
        str(caught.value),
    )
    for number in range(count):
        assert (here.path / f"{number}").read_text() == "ours"
        assert (here.path / f"{number}.remote-{etag}").read_text() == "theirs"
    persist(here)
    assert all(memory.objects[f"s1/{number}"]["Body"] == b"ours" for number in range(count))
    assert all(memory.objects[f"s1/{number}.remote-{etag}"]["Body"] == b"theirs" for number in range(count))


def test_a_second_version_that_is_there_already_is_no_obstacle(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "a", b"theirs")
    write(here, "a", "ours")
    beside = write(here, f"a.remote-{memory.objects['s1/a']['ETag'][1:9]}", "theirs")
    with pytest.raises(WorkspaceConflict, match=f"the bucket's version is '{beside.name}' now"):
        here.attach(lambda _: None)
    assert sorted(path.read_text() for path in here.path.iterdir()) == ["ours", "theirs"]


def test_a_blocked_second_version_is_reported(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "a", b"theirs")
    write(here, "a", "ours")
    etag = memory.objects["s1/a"]["ETag"].strip('"')[:8]
    write(here, f"a.remote-{etag}/inside")
    with pytest.raises(WorkspaceError, match=f"'a.remote-{etag}' is in the way of the bucket's version") as caught:
        here.attach(lambda _: None)
    assert caught.value.reason == "conflict"


def test_a_lease_that_is_lost_stops_the_saving_before_anything_is_sent(
    here: SyncWorkspace, there: SyncWorkspace, memory: Memory
) -> None:
    write(here, "a", "1")
    persist(here)
    there.take_over()
    write(here, "a", "2")
    asked(memory)
    with pytest.raises(NotDurable) as caught:
        persist(here)
    assert caught.value.reason == "lease_held"
    assert asked(memory, "put", "delete") == []


def test_it_is_given_back_and_taken_over(here: SyncWorkspace, there: SyncWorkspace) -> None:
    there.take_over()
    with pytest.raises(WorkspaceTaken):
        here.attach(lambda _: None)
    there.detach()
    here.attach(lambda _: None)
    with pytest.raises(WorkspaceTaken):
        there.attach(lambda _: None)


def test_a_removed_session_leaves_nothing(here: SyncWorkspace, memory: Memory) -> None:
    write(here, "a/b", "1")
    persist(here)
    put(memory, "back\\slash", b"x")
    here.remove()
    assert memory.objects == {}
    assert not here.path.exists()
    assert not (here.objects.home / "sync" / "s1").exists()
    here.remove()
    assert memory.objects == {}
    here.attach(lambda _: None)
    persist(here)
    assert keys(memory) == set()


def test_a_session_of_another_holder_is_not_removed(here: SyncWorkspace, there: SyncWorkspace) -> None:
    write(here, "a", "1")
    persist(here)
    with pytest.raises(WorkspaceTaken):
        there.remove()
    assert contents(here) == {"a": b"1"}
    assert (here.path / "a").exists()


@pytest.mark.parametrize(("code", "status"), [("NoSuchBucket", 404), ("AccessDenied", 403)])
def test_of_a_bucket_that_is_no_more_only_the_directory_is_removed(
    here: SyncWorkspace, memory: Memory, code: str, status: int
) -> None:
    def fail(*_: str) -> None:
        raise refuse(status, code)

    memory.before = fail
    if code == "NoSuchBucket":
        here.remove()
    else:
        with pytest.raises(WorkspaceError):
            here.remove()
    assert here.path.exists() is (code != "NoSuchBucket")


def test_a_link_that_cannot_be_made_is_no_part_of_the_listing(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "link", b"a\0b", Metadata={"mode": str(stat.S_IFLNK | 0o777)})  # type: ignore[arg-type]
    here.attach(lambda _: None)
    asked(memory)
    here.attach(lambda _: None)
    persist(here)
    assert asked(memory, "get", "put") == [], "it is not tried again"
    put(memory, "link", b"target", Metadata={"mode": str(stat.S_IFLNK | 0o777)})  # type: ignore[arg-type]
    here.attach(lambda _: None)
    assert (here.path / "link").readlink() == Path("target"), "another object of that name is"


def test_what_was_fetched_is_neither_fetched_nor_sent_again(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "d/", b"")
    put(memory, "parts", b"x")
    memory.objects["s1/parts"]["ETag"] = '"parts-2"'
    here.attach(lambda _: None)
    assert (here.path / "d").is_dir()
    asked(memory)
    persist(here)
    again = workspace(here.objects.home, memory)
    again.attach(lambda _: None)
    persist(again)
    assert asked(memory, "put", "get", "delete") == []


def test_a_folder_that_is_removed_here_is_deleted_there_unless_it_changed(here: SyncWorkspace, memory: Memory) -> None:
    for name in ("gone", "changed"):
        put(memory, f"{name}/", b"")
    here.attach(lambda _: None)
    for name in ("gone", "changed"):
        (here.path / name).rmdir()
    put(memory, "changed/", b"x")
    persist(here)
    assert keys(memory) == {"changed/"}


def test_what_both_have_after_a_conflict_is_known_to_the_next_kernel(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "a", b"theirs")
    put(memory, "f/", b"")
    write(here, "a", "ours")
    write(here, "f", "a file")
    with pytest.raises(WorkspaceConflict, match="2 files"):
        here.attach(lambda _: None)
    again = workspace(here.objects.home, memory)
    again.attach(lambda _: None)
    persist(again)
    assert memory.objects["s1/a"]["Body"] == b"ours"
    assert memory.objects["s1/f"]["Body"] == b"a file"
    assert "f/" not in keys(memory)
    assert len(keys(memory)) == 4, "and theirs beside them"


def test_what_a_program_does_while_a_file_is_fetched_is_seen(here: SyncWorkspace, memory: Memory) -> None:
    write(here, "removed", "first")
    persist(here)
    put(memory, "removed", b"theirs")
    put(memory, "made", b"theirs")

    def work(call: str, key: str) -> None:
        if call == "get" and key == "s1/removed":
            (here.path / "removed").unlink(missing_ok=True)
        if call == "get" and key == "s1/made":
            write(here, "made", "ours")

    memory.before = work
    with pytest.raises(WorkspaceConflict, match="1 file changed both here and in s3://lab/s1: 'made'"):
        here.attach(lambda _: None)
    assert (here.path / "removed").read_text() == "theirs"
    assert (here.path / "made").read_text() == "ours"
