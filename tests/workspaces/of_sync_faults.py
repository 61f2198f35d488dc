"""Failures between a directory and its bucket, on a real store and in memory."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager

import pytest

from session_widgets.errors import NotDurable, WorkspaceConflict, WorkspaceTaken
from session_widgets.host.manifest import scan
from tests.support.workspaces import attach, contents, move, persist, write


def test_one_installation_writes(here, there):
    with pytest.raises(WorkspaceTaken, match="take_over"):
        attach(there)
    there.take_over()
    attach(there)
    write(here, "late", "x")
    with pytest.raises(NotDurable) as caught:
        persist(here)
    assert caught.value.reason == "lease_held"
    assert contents(there) == {}
    with pytest.raises(WorkspaceTaken):
        attach(here)
    write(there, "a", "kept")
    persist(there)
    assert contents(there)["a"] == b"kept"


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
    with pytest.raises(NotDurable, match=r"that keep changing: 'server\.log'") as caught:
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


__all__ = [name for name in globals() if name.startswith("test_")]
