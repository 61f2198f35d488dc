"""Failures of a directory and a bucket: an uncertain file never counts as deleted, and is named."""

from __future__ import annotations

import itertools
import threading

import pytest

from session_widgets.errors import NotDurable, WorkspaceError, WorkspaceTaken
from session_widgets.host.daemon import locked
from session_widgets.workspaces import clients
from session_widgets.workspaces.bucket import Prefix
from tests.support.flaky_s3 import Fault, flaky, once
from tests.support.waiting import until
from tests.support.workspaces import attach, contents, persist, workspace, write
from tests.workspaces.of_sync_faults import *  # noqa: F403 - the tests that a store in memory passes, too

pytestmark = pytest.mark.needs("seaweedfs")


def answers_to(way, method, end):
    return [status for asked, path, status in way.answered if asked == method and path.endswith(end)]


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


def test_an_answer_that_comes_too_late_is_asked_for_again(here, lab, monkeypatch, seaweed):
    """The store takes the first PUT when the second is long there: it must not bring back what it held."""
    monkeypatch.setattr(clients, "READ_SECONDS", 1)
    with flaky(seaweed.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        space = workspace(here.objects.home, lab)
        attach(space)
        write(space, "a", "first")
        way.rule = once(Fault(delay=3), lambda method, path: method == "PUT" and path.endswith("/a"))
        persist(space)
        assert contents(here) == {"a": b"first"}
        write(space, "a", "second")
        persist(space)
        until(lambda: len(answers_to(way, "PUT", "/a")) == 3, what="the store's answer to the late one")
        assert answers_to(way, "PUT", "/a") == [200, 200, 412]
        assert contents(here) == {"a": b"second"}


def test_a_store_that_is_down_is_named_and_the_next_try_saves(faulty, here):
    space, way = faulty
    write(space, "a", "kept")
    way.rule = lambda _m, _p: Fault(cut=True)
    with pytest.raises(NotDurable, match="Check that the object store runs") as caught:
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


def test_refused_deletions_are_reported_and_the_prefix_is_not_empty(faulty, here, monkeypatch):
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


def test_a_deletion_beside_a_writer_is_not_done(faulty, here, seaweed):
    space, way = faulty
    write(space, "a")
    persist(space)
    prefix, names = here.objects.prefix, itertools.count()

    def write_there(method, _path):
        if method == "POST":
            seaweed.client().put_object(Bucket=prefix.bucket, Key=f"{prefix.prefix}new-{next(names)}", Body=b"x")

    way.rule = write_there
    with pytest.raises(WorkspaceError, match="another client writes there"):
        space.objects.wipe()
    way.rule = lambda _m, _p: None
    space.objects.wipe()
    assert contents(here) == {}


def test_a_missing_bucket_and_wrong_keys_are_two_errors(tmp_path, lab, monkeypatch):
    with pytest.raises(WorkspaceError) as caught:
        attach(workspace(tmp_path / "m", "s3://no-such-bucket/x"))
    assert caught.value.reason == "missing"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(WorkspaceError) as caught:
        attach(workspace(tmp_path / "k", lab))
    assert caught.value.reason == "refused"
    assert "wrong" not in str(caught.value)


def test_a_store_that_cannot_keep_two_writers_apart_is_refused(tmp_path, lab):
    space = workspace(tmp_path, lab)
    hooks = space.objects.connection.client.meta.events

    def unheard(request, **_):
        del request.headers["If-None-Match"]

    hooks.register("before-sign.s3.PutObject", unheard)
    with pytest.raises(WorkspaceError, match="ignores the condition If-None-Match"):
        attach(space)
    assert space.objects.lease.read() is None
    hooks.unregister("before-sign.s3.PutObject", unheard)
    attach(space)
    assert space.objects.lease.read().token == 1


def test_a_lease_lost_in_between_is_noticed(here, there):
    there.take_over()
    there.detach()
    again = workspace(here.objects.home, f"s3://{here.objects.bucket}/{here.objects.folder}")
    again.attach(lambda _: None)
    write(here, "late", "x")
    with pytest.raises(NotDurable) as caught:
        persist(here)
    assert caught.value.reason == "lease_held"
    assert contents(there) == {}


def test_a_bucket_that_was_emptied_is_filled_again_and_takes_nothing_from_here(here, lab):
    write(here, "a", "kept")
    persist(here)
    bucket, _, folder = lab.removeprefix("s3://").partition("/")
    Prefix(here.objects.prefix.client, bucket, f"{folder}/").delete_folder("")
    attach(here)
    persist(here)
    assert contents(here) == {"a": b"kept"}


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
