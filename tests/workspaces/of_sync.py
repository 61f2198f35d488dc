"""Guarantees of a synchronised directory and bucket, on a real store and in memory."""

from __future__ import annotations

import os
import stat
import time

import pytest

from session_widgets.errors import NotDurable, WorkspaceConflict
from tests.support.workspaces import attach, contents, move, persist, write

NAMES = [
    "sp ace",
    "q'uo\"te",
    "new\nline",
    "emoji😀",
    "ünï",
    "pct%41",
    "plus+",
    "-dash",
    "a/b/c/deep",
    "tab\t",
    "semi;$x`y`",
]


def test_names_modes_links_and_empty_folders_arrive_on_another_machine(here, there):
    for name in NAMES:
        write(here, name, f"content of {name}")
    write(here, "run.sh").chmod(0o755)
    write(here, "secret").chmod(0o600)
    (here.path / "empty/inner").mkdir(parents=True)
    (here.path / "link").symlink_to("sp ace")
    (here.path / "dangling").symlink_to("/nowhere/at all")
    persist(here)
    move(here, there)
    for name in NAMES:
        assert (there.path / name).read_text() == f"content of {name}"
    assert stat.S_IMODE((there.path / "run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((there.path / "secret").stat().st_mode) == 0o600
    assert (there.path / "empty/inner").is_dir()
    assert (there.path / "link").readlink().name == "sp ace"
    assert str((there.path / "dangling").readlink()) == "/nowhere/at all"
    assert there.scan().entries.keys() == here.scan().entries.keys()


def test_the_bucket_holds_plain_files(here):
    write(here, "src/a.py", "print()")
    persist(here)
    assert contents(here) == {"src/a.py": b"print()"}


def test_edits_renames_and_deletions_are_carried_over(here, there):
    for name in ("keep", "edit", "rename", "delete", "folder/x"):
        write(here, name, name)
    persist(here)
    move(here, there)
    write(there, "edit", "edited")
    (there.path / "rename").rename(there.path / "renamed")
    (there.path / "delete").unlink()
    (there.path / "folder/x").unlink()
    (there.path / "folder").rmdir()
    persist(there)
    assert contents(there) == {"keep": b"keep", "edit": b"edited", "renamed": b"rename"}
    move(there, here)
    assert {path.name for path in here.path.iterdir()} == {"keep", "edit", "renamed"}
    assert (here.path / "edit").read_text() == "edited"


def test_a_file_becomes_a_folder_and_back(here, there):
    write(here, "thing", "file")
    persist(here)
    (here.path / "thing").unlink()
    write(here, "thing/inside")
    persist(here)
    assert contents(here) == {"thing/inside": b"x"}
    move(here, there)
    assert (there.path / "thing/inside").read_text() == "x"
    (there.path / "thing/inside").unlink()
    (there.path / "thing").rmdir()
    write(there, "thing", "file again")
    persist(there)
    move(there, here)
    assert (here.path / "thing").read_text() == "file again"


def test_a_folder_whose_last_file_goes_is_kept_as_an_empty_one(here, there):
    write(here, "folder/inner/file")
    persist(here)
    (here.path / "folder/inner/file").unlink()
    persist(here)
    move(here, there)
    assert (there.path / "folder/inner").is_dir()


def test_a_change_on_both_sides_keeps_both_and_says_so(here, there):
    write(here, "a.txt", "first")
    persist(here)
    move(here, there)
    write(there, "a.txt", "theirs")
    persist(there)
    there.detach()
    write(here, "a.txt", "ours")
    with pytest.raises(WorkspaceConflict, match=r"'a\.txt' \(the bucket's version is 'a\.txt\.remote-"):
        attach(here)
    attach(here)
    persist(here)
    found = contents(here)
    assert found.pop("a.txt") == b"ours"
    ((name, theirs),) = found.items()
    assert name.startswith("a.txt.remote-")
    assert theirs == b"theirs"


def test_a_foreign_edit_during_the_turn_is_a_conflict_not_an_overwrite(here):
    write(here, "a.txt", "first")
    persist(here)
    write(here, "a.txt", "ours")
    here.objects.prefix.put("a.txt", b"foreign", 7, metadata={}, if_match=None)
    with pytest.raises(NotDurable, match="changed both here and in") as caught:
        persist(here)
    assert caught.value.reason == "conflict"
    persist(here)
    assert sorted(contents(here).values()) == [b"foreign", b"ours"]


def test_the_same_edit_on_both_sides_is_no_conflict(here):
    write(here, "a.txt", "same")
    here.objects.prefix.put("a.txt", b"same", 4, metadata={}, if_match=None)
    persist(here)
    attach(here)
    assert contents(here) == {"a.txt": b"same"}


def test_deleted_there_and_edited_here_survives_and_the_other_way_round(here, there):
    write(here, "a", "1")
    write(here, "b", "1")
    persist(here)
    move(here, there)
    (there.path / "a").unlink()
    write(there, "b", "2")
    persist(there)
    there.detach()
    write(here, "a", "edited")
    (here.path / "b").unlink()
    attach(here)
    persist(here)
    assert contents(here) == {"a": b"edited", "b": b"2"}


def test_caches_stay_here(here):
    write(here, "node_modules/x/index.js")
    write(here, "src/__pycache__/a.pyc")
    write(here, ".venv/bin/python")
    write(here, "src/a.py")
    persist(here)
    assert contents(here) == {"src/a.py": b"x"}


def test_names_that_cannot_be_keys_are_reported_and_the_rest_is_saved(here):
    write(here, "back\\slash")
    write(here, "good")
    (here.path / os.fsdecode(b"not\xffutf8")).write_text("x")
    os.mkfifo(here.path / "pipe")
    with pytest.raises(NotDurable, match="3 entries that cannot be saved to the ") as caught:
        persist(here)
    assert caught.value.reason == "name"
    assert contents(here) == {"good": b"x"}


def test_a_file_beyond_the_limit_is_named_at_once_and_the_rest_is_safe(here, there):
    """`truncate -s 300G` takes no disk; hashing it takes ten minutes."""
    write(here, "grows", "small")
    write(here, "good")
    persist(here)
    os.truncate(here.path / "grows", 300 << 30)
    os.truncate(write(here, "new"), 300 << 30)
    write(here, "better")
    started = time.monotonic()
    with pytest.raises(NotDurable, match=r"all files are saved except 2 files larger than 32 GiB.*MAX_FILE_BYTES"):
        persist(here)
    assert time.monotonic() - started < 30
    assert contents(here) == {"grows": b"small", "good": b"x", "better": b"x"}
    attach(here)
    assert (here.path / "grows").stat().st_size == 300 << 30
    (here.path / "new").unlink()
    (here.path / "grows").write_text("small again")
    persist(here)
    move(here, there)
    assert (there.path / "grows").read_text() == "small again"


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 4096, b"x" * 100_000], ids=["empty", "NUL", "long", "longer"])
def test_a_link_that_cannot_be_made_is_left_alone(here, there, target):
    write(here, "good")
    persist(here)
    prefix = here.objects.prefix
    mode = {"mode": str(stat.S_IFLNK | 0o777)}
    for key in ("link", "good"):
        prefix.client.put_object(Bucket=prefix.bucket, Key=prefix.prefix + key, Body=target, Metadata=mode)
    attach(here)
    assert not (here.path / "link").is_symlink()
    assert (here.path / "good").read_text() == "x"
    persist(here)
    assert contents(here) == {"good": b"x", "link": target}
    move(here, there)
    write(there, "link", "a file of that name")
    persist(there)
    assert contents(there) == {"good": b"x", "link": b"a file of that name"}


def test_hostile_keys_never_leave_the_directory(here, tmp_path):
    prefix = here.objects.prefix
    for key in ("x//y", "a/b", "good"):
        prefix.client.put_object(Bucket=prefix.bucket, Key=prefix.prefix + key, Body=b"1")
    outside = tmp_path / "outside"
    outside.mkdir()
    (here.path / "a").symlink_to(outside)
    with pytest.raises(WorkspaceConflict):
        attach(here)
    assert list(outside.iterdir()) == []
    (beside,) = here.path.glob("a.remote-*/b")
    assert beside.read_text() == "1"
    assert (here.path / "good").read_text() == "1"


def test_a_link_in_the_directory_is_never_followed(here, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private/key").write_text("secret of the host")
    (here.path / "folder").symlink_to(tmp_path / "private")
    (here.path / "file").symlink_to(tmp_path / "private/key")
    persist(here)
    assert b"secret of the host" not in contents(here).values()
    assert set(contents(here)) == {"folder", "file"}


def test_without_a_record_equal_entries_are_equal_empty_directories_too(here):
    """As after a sandbox was started again from its snapshot: it is another tree with the same content."""
    write(here, "a")
    (here.path / "link").symlink_to("a")
    (here.path / "empty").mkdir()
    persist(here)
    before = contents(here)
    here._engine.forget()
    attach(here)
    assert sorted(path.name for path in here.path.iterdir()) == ["a", "empty", "link"]
    persist(here)
    assert contents(here) == before


__all__ = [name for name in globals() if name.startswith("test_")]
