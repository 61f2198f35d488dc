"""Keys of the object store that end in mid-turn. They are real: the store itself takes them no longer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import session_widgets as sw
from session_widgets.errors import NotDurable
from session_widgets.host.daemon import Daemon
from session_widgets.workspaces.clients import client_of
from tests.support.evidence import in_bucket
from tests.support.mid_turn import WRITE, Hold, untouched
from tests.support.token_service import StoreWithRoles
from tests.support.waiting import until

pytestmark = [
    pytest.mark.needs("seaweedfs"),
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("nothing_is_left"),
]

URL = "s3://lab/sessions"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store whose keys end soon; long after whatever has to be done with them, and a test waits for it."""
    store = StoreWithRoles(tmp_path_factory.mktemp("roles"), "lab")
    store.lifetime = "10s"
    store.start()
    yield store
    store.stop()


@pytest.fixture(autouse=True)
def nothing_else_is_touched(store):
    with untouched(store.client(), URL):
        yield


@pytest.fixture
def bucket(store):
    return in_bucket(URL, "s1", store.client())


@pytest.fixture
def configure(open_session, store, tmp_path, monkeypatch):
    """Put keys where people have them: in the environment. Good ones are there when the session is deleted."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    def put(keys):
        named = {"ACCESS_KEY_ID": keys.access_key, "SECRET_ACCESS_KEY": keys.secret_key}
        for name, value in {**named, "SESSION_TOKEN": keys.session_token or ""}.items():
            monkeypatch.setenv(f"AWS_{name}", value)

    yield put
    put(store.credentials)


def soon():
    return datetime.now(UTC) + timedelta(minutes=2)  # botocore asks again at each request in the last 10 minutes


class KeyProcess:
    """A `credential_process` of the AWS settings; it counts how often it was asked."""

    def __init__(self, folder):
        self.answer, self.asked = folder / "keys.json", folder / "asked"
        self.program = folder / "keys.sh"
        self.program.write_text(f"#!/bin/sh\necho >> '{self.asked}'\ncat '{self.answer}'\n")
        self.program.chmod(0o700)

    def give(self, keys, expires):
        """Answer with these keys from now on."""
        answer = {"Version": 1, "AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key}
        answer |= {"SessionToken": keys.session_token, "Expiration": expires.isoformat()}
        partial = self.answer.with_suffix(".partial")
        partial.write_text(json.dumps(answer))
        partial.rename(self.answer)

    def times(self):
        return len(self.asked.read_text())


@pytest.fixture
def key_process(open_session, store, configure, tmp_path, monkeypatch):
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    process, config = KeyProcess(tmp_path), tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {process.program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    yield process
    process.give(store.credentials, soon())


def wait_for_their_end(store, keys):
    client = client_of(store.endpoint, keys, attempts=1)

    def refused():
        try:
            client.list_objects_v2(Bucket="lab")
        except ClientError:
            return True
        return False

    until(refused, seconds=30, what="the end of the keys")


def test_work_is_kept_when_keys_end_and_new_ones_save_it(open_session, store, configure, bucket, tmp_path):
    """They stand in the environment, where nothing renews them but their owner."""
    configure(store.credentials)
    before = open_session(workspace=URL)
    before.send("say warm")
    before.detach()
    sw.store().close()
    brief, hold = store.assume_role(), Hold(tmp_path)
    configure(brief)
    session = open_session()
    turn = session.start(f"{WRITE.format('a')}\n{hold.line}\n{WRITE.format('b')}")
    hold.reached(turn)
    wait_for_their_end(store, brief)
    hold.let_go()
    turn.wait(60)
    assert turn.status == "completed"
    assert turn.durable_at is None
    assert turn.durability_error.startswith("expired: ")
    assert "Get new ones (log in again, or renew the session token), and send the prompt" in turn.durability_error
    assert {"a", "b"}.isdisjoint(bucket())
    assert {path.name for path in session.workspace.glob("?")} == {"a", "b"}
    with pytest.raises(NotDurable, match="parking was not done"):
        session.park()
    configure(store.assume_role())
    again = session.send("remember")
    assert again.durable_at is not None, again.error or again.durability_error
    assert "2 earlier turns" in again.text
    assert {name: bucket()[name] for name in "ab"} == {"a": b"content of a\n", "b": b"content of b\n"}


def test_keys_that_are_renewed_in_mid_turn_are_used(open_session, store, key_process, bucket, tmp_path):
    first = store.issue("first", ["Read:lab", "Write:lab", "List:lab", "Tagging:lab"])
    key_process.give(first, soon())
    session, hold = open_session(workspace=URL), Hold(tmp_path)
    turn = session.start(f"{hold.line}\n{WRITE.format('a')}")
    hold.reached(turn)
    store.withdraw("first")
    wait_for_their_end(store, first)
    key_process.give(store.credentials, soon())
    asked = key_process.times()
    hold.let_go()
    turn.wait(60)
    assert (turn.status, turn.durability_error) == ("completed", None), turn.error
    assert turn.durable_at is not None
    assert key_process.times() > asked
    assert bucket()["a"] == b"content of a\n"


def test_keys_that_had_ended_when_they_were_renewed_are_named(open_session, store, key_process, bucket, tmp_path):
    key_process.give(store.credentials, soon())
    session, hold = open_session(workspace=URL), Hold(tmp_path)
    turn = session.start(f"{hold.line}\n{WRITE.format('a')}")
    hold.reached(turn)
    key_process.give(store.credentials, datetime.now(UTC) - timedelta(seconds=1))
    hold.let_go()
    turn.wait(60)
    assert (turn.status, turn.durable_at) == ("completed", None)
    assert turn.durability_error.startswith("expired: ")
    assert "a" not in bucket()
    key_process.give(store.credentials, soon())
    assert session.send("say again").durable_at is not None
    assert bucket()["a"] == b"content of a\n"


@pytest.mark.needs("fuse", "s3fs")
def test_a_mount_with_expired_keys_is_named_and_mounted_again(open_session, store, key_process, bucket, tmp_path):
    """A mounter keeps the keys that it was started with, whatever is renewed meanwhile."""
    brief, hold = store.assume_role(), Hold(tmp_path)
    key_process.give(brief, brief.expires)
    session = open_session(workspace=URL, attachment="fuse:s3fs")
    turn = session.start(f"{WRITE.format('early')}\n{hold.line}\n{WRITE.format('late')}\nrun echo x > later")
    hold.reached(turn)
    wait_for_their_end(store, brief)
    key_process.give(store.credentials, soon())
    hold.let_go()
    turn.wait(60)
    assert turn.durable_at is None
    assert turn.durability_error.startswith("expired: ")
    assert "Its keys ended" in turn.durability_error
    assert "later writes are lost" in turn.durability_error
    found = bucket()
    assert found["early"] == b"content of early\n"
    assert {"late", "later"}.isdisjoint(found)
    mounter = Daemon(Path(session.store.home) / "mounts" / "s1")
    old = mounter.process()
    again = session.send("run cat early && ls && echo b > b")
    assert again.durable_at is not None, again.error or again.durability_error
    assert "content of early" in str(again.steps)
    assert "late" not in str(again.steps)
    assert bucket()["b"] == b"b\n"
    assert mounter.process() != old


@pytest.mark.needs("fuse", "s3fs")
def test_a_mount_is_kept_as_long_as_its_keys_last(open_session, store, key_process):
    key_process.give(store.credentials, datetime.now(UTC) + timedelta(minutes=50))
    session = open_session(workspace=URL, attachment="fuse:s3fs")
    assert session.send("say first").durable_at is not None
    assert session.send("say second").tier == "warm", "it was mounted again"
