"""A synchronised directory and bucket: nothing lost, nothing silent, no other objects changed."""

from __future__ import annotations

import pytest

from tests.support.flaky_s3 import flaky
from tests.support.workspaces import attach, contents, keys, persist, workspace, write
from tests.workspaces.of_sync import *  # noqa: F403 - the tests that a store in memory passes, too

pytestmark = pytest.mark.needs("seaweedfs")


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
    assert len(keys(here)) == 1_105
    here.detach()
    told = attach(there)
    assert len(list((there.path / "many").iterdir())) == 1_105
    assert any("of 1,105 files" in text for text in told)
    there.remove()
    assert contents(there) == {}
