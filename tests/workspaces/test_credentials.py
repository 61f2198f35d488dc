"""Keys that reach one session alone: identities of the embedded store, and a role of a store with STS; both real."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from session_widgets.errors import WorkspaceError
from session_widgets.workspaces.clients import client_of
from session_widgets.workspaces.connect import connect
from session_widgets.workspaces.credentials import Credentials
from session_widgets.workspaces.mounts import DRIVERS, Mount
from session_widgets.workspaces.mounts.drivers import Target
from tests.support.token_service import ROLE, StoreWithRoles
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("seaweedfs"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def with_roles(tmp_path_factory):
    store = StoreWithRoles(tmp_path_factory.mktemp("roles"), "lab")
    store.start()
    yield store
    store.stop()


@pytest.fixture
def configured(with_roles, home, monkeypatch):
    """A connection to it by way of the AWS settings."""
    keys = with_roles.credentials
    for name, value in {
        "AWS_ENDPOINT_URL": with_roles.endpoint,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "SESSION_WIDGETS_S3_ROLE": ROLE,
    }.items():
        monkeypatch.setenv(name, value)
    return connect("lab", home)


def check_confined(admin, mine):
    """`mine` does everything below one/, and nothing elsewhere."""
    for key in ("two/kept", "onemore/kept"):
        admin.put_object(Bucket="lab", Key=key, Body=b"kept")
    mine.put_object(Bucket="lab", Key="one/a", Body=b"mine")
    assert mine.get_object(Bucket="lab", Key="one/a")["Body"].read() == b"mine"
    assert [row["Key"] for row in mine.list_objects_v2(Bucket="lab", Prefix="one/")["Contents"]] == ["one/a"]
    for prefix in ("two/", "onemore/", "on", ""):
        with pytest.raises(ClientError, match="AccessDenied"):
            mine.list_objects_v2(Bucket="lab", Prefix=prefix)
    for call, more in (
        (mine.get_object, {}),
        (mine.put_object, {"Body": b"changed"}),
        (mine.delete_object, {}),
    ):
        for key in ("two/kept", "onemore/kept"):
            with pytest.raises(ClientError, match="AccessDenied"):
                call(Bucket="lab", Key=key, **more)
    with pytest.raises(ClientError, match="AccessDenied"):
        mine.copy_object(Bucket="lab", Key="one/stolen", CopySource={"Bucket": "lab", "Key": "two/kept"})
    assert admin.get_object(Bucket="lab", Key="two/kept")["Body"].read() == b"kept"
    mine.delete_object(Bucket="lab", Key="one/a")


def works(client) -> bool:
    try:
        return bool(client.list_objects_v2(Bucket="lab", Prefix="one/"))
    except ClientError:
        return False


def test_the_embedded_store_gives_keys_for_one_prefix(seaweed):
    connection = connect("lab", seaweed.home)
    keys = connection.scoped("one")
    assert keys != seaweed.credentials
    mine = client_of(seaweed.endpoint, keys)
    until(lambda: works(mine))
    check_confined(seaweed.client(), mine)
    connection.retire("one")
    until(lambda: not works(mine))


def test_a_role_gives_keys_for_one_prefix_that_end(configured, with_roles):
    keys = configured.scoped("one")
    assert keys.session_token
    left = keys.expires - datetime.now(UTC)
    assert timedelta(hours=11.9) < left <= timedelta(hours=12)
    assert timedelta(hours=10.9) < keys.renew_at - datetime.now(UTC) <= timedelta(hours=11)
    check_confined(with_roles.client(), client_of(configured.endpoint, keys))
    assert keys.secret_key not in repr(keys)
    assert keys.session_token not in repr(keys)


def test_a_role_that_is_refused_is_an_error(configured, monkeypatch):
    monkeypatch.setenv("SESSION_WIDGETS_S3_ROLE", f"{ROLE}-unknown")
    with pytest.raises(WorkspaceError, match="AssumeRole") as caught:
        configured.scoped("one")
    assert caught.value.reason == "refused"


def test_without_a_role_there_are_none(configured, monkeypatch):
    monkeypatch.delenv("SESSION_WIDGETS_S3_ROLE")
    assert configured.scoped("one") is None


@pytest.mark.parametrize("prefix", ["a*/one", "a?/one", "", "${aws:username}"])
def test_a_prefix_that_a_policy_would_read_as_more_gets_none(configured, seaweed, prefix):
    assert configured.scoped(prefix) is None
    assert connect("lab", seaweed.home).scoped(prefix) is None


def test_short_lived_keys_are_renewed_at_half_of_their_time():
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert Credentials("a", "b", "c", now + hour, hour).renew_at == now + hour / 2
    assert Credentials("a", "b").renew_at is None


@pytest.mark.needs("s3fs", "fuse")
def test_s3fs_mounts_with_keys_that_have_a_token(configured, with_roles, home):
    keys = with_roles.assume_role()
    with_roles.client().put_object(Bucket="lab", Key="mounted/", Body=b"")
    owner = (os.getuid(), os.getgid())
    target = Target(configured.endpoint, "us-east-1", "lab", "mounted", keys, None, owner)
    mount = Mount(home, "token", DRIVERS["s3fs"])
    try:
        mount.mount(target)
        (mount.point / "a").write_text("x")
        assert with_roles.client().get_object(Bucket="lab", Key="mounted/a")["Body"].read() == b"x"
        assert not [arg for arg in mount._daemon.process().cmdline() if keys.secret_key in arg]
        with pytest.raises(WorkspaceError, match="Its log ends"):
            mount.mount(replace(target, keys=replace(keys, session_token="wrong")))
    finally:
        mount.remove()
