"""A directory and a bucket, kept in step: nothing lost, nothing silent, nobody else's objects touched."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from contextlib import contextmanager

import pytest

from flaky_s3 import Fault, flaky, once
from session_widgets.daemon import locked
from session_widgets.errors import NotDurable, WorkspaceConflict, WorkspaceError, WorkspaceTaken
from session_widgets.manifest import scan
from session_widgets.workspaces import bucket as bucket_module
from workspaces.making import attach, contents, persist, workspace

pytestmark = pytest.mark.needs("seaweedfs")

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


@pytest.fixture
def here(tmp_path, lab):
    space = workspace(tmp_path / "here", lab)
    attach(space)
    return space


@pytest.fixture
def there(tmp_path, lab):
    """The same session on another machine."""
    return workspace(tmp_path / "there", lab)


def write(space, path, text="x"):
    file = space.path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def move(space, other):
    """Give the session from one machine to another."""
    space.detach()
    attach(other)


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


def test_only_what_changed_is_sent(here, lab, monkeypatch, seaweed):
    for number in range(20):
        write(here, f"{number}")
    persist(here)
    write(here, "7", "new")
    with flaky(seaweed.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        again = workspace(here.objects.home, lab)
        attach(again)
        persist(again)
    assert [path.rpartition("/")[2] for method, path in way.seen if method == "PUT"] == ["7"]
    assert contents(here)["7"] == b"new"


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


def test_a_push_that_was_cut_off_goes_on_without_a_conflict(here, lab):
    """What arrived before the kernel was killed is recognised by its content."""
    write(here, "a", "1")
    persist(here)
    write(here, "a", "2")
    write(here, "b", "2")
    here.objects.prefix.put("a", b"2", 1, metadata={}, if_match=None)  # stored, and the kernel died before noting it
    again = workspace(here.objects.home, lab)
    attach(again)
    persist(again)
    assert contents(again) == {"a": b"2", "b": b"2"}


def test_caches_stay_here(here):
    write(here, "node_modules/x/index.js")
    write(here, "src/__pycache__/a.pyc")
    write(here, ".venv/bin/python")
    write(here, "src/a.py")
    persist(here)
    assert contents(here) == {"src/a.py": b"x"}


def test_names_that_no_key_can_carry_are_told_and_the_rest_is_safe(here):
    write(here, "back\\slash")
    write(here, "good")
    (here.path / os.fsdecode(b"not\xffutf8")).write_text("x")
    os.mkfifo(here.path / "pipe")
    with pytest.raises(NotDurable, match="3 entries that no bucket can keep") as caught:
        persist(here)
    assert caught.value.reason == "name"
    assert contents(here) == {"good": b"x"}


def test_hostile_keys_never_leave_the_directory(here, tmp_path):
    prefix = here.objects.prefix
    for key in ("x//y", "a/b", "good"):
        prefix.client.put_object(Bucket=prefix.bucket, Key=prefix.prefix + key, Body=b"1")
    outside = tmp_path / "outside"
    outside.mkdir()
    (here.path / "a").symlink_to(outside)
    with pytest.raises(WorkspaceError):
        attach(here)
    assert list(outside.iterdir()) == []
    (here.path / "a").unlink()
    attach(here)
    assert (here.path / "a/b").read_text() == "1"


def test_a_link_in_the_directory_is_never_followed(here, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private/key").write_text("secret of the host")
    (here.path / "folder").symlink_to(tmp_path / "private")
    (here.path / "file").symlink_to(tmp_path / "private/key")
    persist(here)
    assert b"secret of the host" not in contents(here).values()
    assert set(contents(here)) == {"folder", "file"}


def test_other_sessions_are_not_touched(here, tmp_path, lab):
    neighbours = [workspace(tmp_path / "n", lab, name) for name in ("s", "s1x", "s10", "S1")]
    for space in neighbours:
        attach(space)
        write(space, "mine", space.objects.session_id)
        persist(space)
    write(here, "a")
    persist(here)
    here.remove()
    assert contents(here) == {}
    assert not here.path.exists()
    for space in neighbours:
        assert contents(space) == {"mine": space.objects.session_id.encode()}


def test_many_keys_are_all_listed_restored_and_removed(here, there):
    for number in range(1_105):
        write(here, f"many/{number:04}", str(number))
    persist(here)
    assert len(contents(here)) == 1_105
    here.detach()
    told = attach(there)
    assert len(list((there.path / "many").iterdir())) == 1_105
    assert any("of 1,105 files" in text for text in told)
    there.remove()
    assert contents(there) == {}


@pytest.fixture
def faulty(here, lab, monkeypatch, seaweed):
    """The session of `here` by another kernel, whose way to the store can be made to go wrong."""
    with flaky(seaweed.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        space = workspace(here.objects.home, lab)
        attach(space)
        yield space, way


def test_a_passing_503_is_borne(faulty, here):
    space, way = faulty
    write(space, "a", "kept")
    way.rule = once(Fault(status=503, code="SlowDown"), lambda m, _: m == "PUT")
    persist(space)
    assert contents(here) == {"a": b"kept"}


def test_a_store_that_is_down_is_named_and_the_next_try_saves(faulty, here):
    space, way = faulty
    write(space, "a", "kept")
    way.rule = lambda _m, _p: Fault(cut=True)
    with pytest.raises(NotDurable, match="Is the object store running") as caught:
        persist(space)
    assert caught.value.reason == "unreachable"
    assert contents(here) == {}
    way.rule = lambda _m, _p: None
    persist(space)
    assert contents(here) == {"a": b"kept"}


def test_one_refused_key_does_not_keep_the_others(faulty, here):
    space, way = faulty
    for name in ("a", "refused", "z"):
        write(space, name, name)
    way.rule = lambda m, p: Fault(status=403, code="AccessDenied") if m == "PUT" and p.endswith("refused") else None
    with pytest.raises(NotDurable) as caught:
        persist(space)
    assert caught.value.reason == "refused"
    assert contents(here) == {"a": b"a", "z": b"z"}
    way.rule = lambda _m, _p: None
    persist(space)
    assert len(contents(here)) == 3


def test_an_answer_that_is_lost_is_not_taken_for_a_foreign_edit(faulty, here, seaweed):
    """The object is stored, the answer never arrives: the repeated PUT meets its own object."""
    space, way = faulty
    write(space, "a", "kept")
    real = here.objects.prefix

    def stored_but_unanswered(method, path):
        if method == "PUT" and path.endswith("/a"):
            way.rule = lambda _m, _p: None
            real.put("a", b"kept", 4, metadata={}, if_match=None)
            return Fault(cut=True)
        return None

    way.rule = stored_but_unanswered
    try:
        persist(space)
    except NotDurable as error:
        assert error.reason == "conflict", "nothing else may come of it"  # noqa: PT017
        pytest.fail("its own object was taken for somebody else's")
    assert contents(here) == {"a": b"kept"}


def test_a_store_that_answers_404_to_a_condition_says_that_the_object_is_gone(faulty, here):
    """Amazon's does; SeaweedFS answers 412."""
    space, way = faulty
    write(space, "a", "first")
    persist(space)
    here.objects.prefix.delete("a")
    write(space, "a", "second")

    def gone_at_first(method, path):
        if method == "PUT" and path.endswith("/a"):
            way.rule = lambda _m, _p: None
            return Fault(status=404, code="NoSuchKey")
        return None

    way.rule = gone_at_first
    persist(space)
    assert contents(here) == {"a": b"second"}
    assert [method for method, path in way.seen if path.endswith("/a")].count("PUT") == 3


def test_credentials_that_expire_are_named(faulty):
    space, way = faulty
    write(space, "a")
    way.rule = lambda _m, _p: Fault(status=400, code="ExpiredToken")
    with pytest.raises(NotDurable) as caught:
        persist(space)
    assert caught.value.reason == "expired"


def test_refused_deletions_are_told_and_nothing_is_called_empty(faulty, here, monkeypatch):
    space, _ = faulty
    write(space, "a")
    persist(space)
    prefix = space.objects.prefix
    denied = {"Errors": [{"Key": "a", "Code": "AccessDenied", "Message": "no"}]}
    monkeypatch.setattr(prefix.client, "delete_objects", lambda **_: denied)
    with pytest.raises(WorkspaceError, match="refused to delete 1 of 1 objects"):
        space.remove()
    assert contents(here) == {"a": b"x"}
    assert (space.path / "a").exists()


def test_a_missing_bucket_and_wrong_keys_are_two_errors(tmp_path, lab, monkeypatch):
    with pytest.raises(WorkspaceError) as caught:
        attach(workspace(tmp_path / "m", "s3://no-such-bucket/x"))
    assert caught.value.reason == "missing"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(WorkspaceError) as caught:
        attach(workspace(tmp_path / "k", lab))
    assert caught.value.reason == "refused"
    assert "wrong" not in str(caught.value)


def test_one_installation_writes(here, there):
    with pytest.raises(WorkspaceTaken, match="take_over"):
        attach(there)
    there.take_over()
    attach(there)
    write(here, "late", "x")
    with pytest.raises(NotDurable) as caught:
        persist(here)
    assert caught.value.reason == "taken"
    assert contents(there) == {}
    with pytest.raises(WorkspaceTaken):
        attach(here)
    write(there, "a", "kept")
    persist(there)
    assert contents(there)["a"] == b"kept"


def test_whoever_lost_the_lease_in_between_notices(here, there):
    there.take_over()
    there.detach()
    again = workspace(here.objects.home, f"s3://{here.objects.bucket}/{here.objects.folder}")
    again.attach(lambda _: None)
    write(here, "late", "x")
    with pytest.raises(NotDurable) as caught:
        persist(here)
    assert caught.value.reason == "taken"
    assert contents(there) == {}


def test_a_directory_that_was_removed_is_fetched_again_not_taken_for_deleted(here):
    write(here, "a", "kept")
    persist(here)
    shutil.rmtree(here.path)
    assert here.attach(lambda _: None) is True
    persist(here)
    assert (here.path / "a").read_text() == "kept"
    assert contents(here) == {"a": b"kept"}


def test_a_look_at_another_directory_proves_nothing_and_deletes_nothing(here, tmp_path):
    """A sandbox that still stands in a directory that was replaced sees no file any more."""
    write(here, "a", "kept")
    persist(here)
    (tmp_path / "other").mkdir()
    with pytest.raises(NotDurable, match="another directory") as caught:
        here.persist(lambda: scan(tmp_path / "other"), ())
    assert caught.value.reason == "mount"
    assert contents(here) == {"a": b"kept"}


@contextmanager
def as_somebody():
    """Root may read everything: be nobody special for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(1000)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_cannot_be_looked_into_is_not_taken_for_an_empty_one(here):
    write(here, "closed/a", "kept")
    persist(here)
    for one in (here.path, here.path / "closed"):
        if os.geteuid() == 0:
            os.chown(one, 1000, 1000)
    handle = os.open(here.path, os.O_RDONLY)
    (here.path / "closed").chmod(0)

    def look():
        with as_somebody():
            return scan(handle)

    try:
        with pytest.raises(NotDurable, match="'closed'") as caught:
            here.persist(look, ())
    finally:
        (here.path / "closed").chmod(0o700)
        os.close(handle)
    assert caught.value.reason == "disk"
    assert contents(here) == {"closed/a": b"kept"}


def test_a_bucket_that_was_emptied_is_filled_again_and_takes_nothing_from_here(here):
    write(here, "a", "kept")
    persist(here)
    client, bucket = here.objects.prefix.client, here.objects.bucket
    for row in client.list_objects_v2(Bucket=bucket)["Contents"]:
        client.delete_object(Bucket=bucket, Key=row["Key"])
    attach(here)
    persist(here)
    assert contents(here) == {"a": b"kept"}


def test_a_folder_removed_there_stays_here_if_it_holds_caches(here):
    write(here, "app/node_modules/x.js")
    persist(here)
    assert contents(here) == {"app/": b""}
    here.objects.prefix.delete_folder("app")
    attach(here)
    persist(here)
    assert (here.path / "app/node_modules/x.js").exists()
    assert contents(here) == {"app/": b""}


@pytest.mark.parametrize(
    "metadata", [{"mode": "1e400", "mtime": "nan"}, {"mode": "-1", "mtime": "-inf"}, {"mode": "x"}]
)
def test_metadata_that_make_no_sense_are_left_out(here, metadata):
    here.objects.prefix.put("a", b"x", 1, metadata=metadata, if_match="")
    attach(here)
    assert (here.path / "a").read_text() == "x"


def test_what_a_killed_write_has_left_in_the_bucket_is_not_seen(here):
    here.objects.prefix.put(".session-widgets-upload-1/half", b"x", 1, metadata={}, if_match="")
    attach(here)
    persist(here)
    assert list(here.path.iterdir()) == []


def test_a_file_that_goes_up_in_parts_is_compared_too(here, there, monkeypatch):
    monkeypatch.setattr(bucket_module, "SINGLE_PUT", 6 << 20)
    monkeypatch.setattr(bucket_module, "PART", 5 << 20)
    write(here, "large", "a" * (11 << 20))
    persist(here)
    move(here, there)
    assert (there.path / "large").read_text() == "a" * (11 << 20)
    write(there, "large", "b" * (11 << 20))
    persist(there)
    there.detach()
    attach(here)
    assert (here.path / "large").read_text() == "b" * (11 << 20)
    here.objects.prefix.put("large", b"foreign", 7, metadata={}, if_match=None)
    write(here, "large", "c" * (11 << 20))
    with pytest.raises(NotDurable) as caught:
        persist(here)
    assert caught.value.reason == "conflict"
    assert b"foreign" in contents(here).values()


def test_a_large_file_that_changes_while_it_is_sent_replaces_nothing(here, monkeypatch):
    monkeypatch.setattr(bucket_module, "SINGLE_PUT", 6 << 20)
    monkeypatch.setattr(bucket_module, "PART", 5 << 20)
    prefix = here.objects.prefix
    before = prefix.put("large", b"before", 6, metadata={}, if_match="")
    file = write(here, "large", "a" * (11 << 20))
    with file.open("rb") as body, pytest.raises(bucket_module.Torn):
        prefix.put("large", body, 11 << 20, metadata={}, md5="0" * 32, if_match=before)
    assert contents(here) == {"large": b"before"}
    assert not prefix.client.list_multipart_uploads(Bucket=here.objects.bucket).get("Uploads")


def test_kernels_that_end_the_same_turn_save_one_after_the_other(here, lab):
    second = workspace(here.objects.home, lab)
    attach(second)
    write(here, "a", "x")
    done = threading.Event()
    saving = threading.Thread(target=lambda: (persist(second), done.set()))
    with locked(here.objects.home / "sync" / "s1"):
        saving.start()
        assert not done.wait(0.5)
        assert contents(here) == {}
    saving.join()
    persist(here)
    assert contents(here) == {"a": b"x"}


def test_a_session_within_another_one_is_refused_from_both_sides(tmp_path, lab, here):
    write(here, "a")
    persist(here)
    inside = workspace(tmp_path / "inside", f"{lab}/s1", "s2")
    with pytest.raises(WorkspaceTaken, match="another prefix"):
        attach(inside)
    attach(workspace(tmp_path / "deep", f"{lab}/folder/sessions", "s3"))
    with pytest.raises(WorkspaceTaken, match="another prefix"):
        attach(workspace(tmp_path / "around", f"{lab}/folder", "sessions"))
    attach(here)
    persist(here)
    assert contents(here) == {"a": b"x"}


def test_a_file_that_is_written_all_the_time_is_named_soon_and_the_rest_is_safe(here):
    write(here, "a", "kept")
    write(here, "server.log", "")
    lines = iter(range(10_000))

    def look():
        found = here.scan()
        with (here.path / "server.log").open("a") as log:
            log.write(f"line {next(lines)}\n")
        return found

    began = time.monotonic()
    with pytest.raises(NotDurable, match=r"written all the time: 'server\.log'") as caught:
        here.persist(look, ())
    assert caught.value.reason == "changing"
    assert time.monotonic() - began < 30
    assert contents(here)["a"] == b"kept"


def test_a_file_here_and_a_folder_there_keep_both(here, there):
    write(here, "a", "1")
    persist(here)
    move(here, there)
    (there.path / "a").unlink()
    write(there, "a/b", "theirs")
    persist(there)
    there.detach()
    write(here, "a", "ours")
    with pytest.raises(WorkspaceConflict):
        attach(here)
    attach(here)
    persist(here)
    assert sorted(contents(here).values()) == [b"ours", b"theirs"]
