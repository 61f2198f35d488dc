"""Small objects through obstore, on a real store: the same keys, conditions and metadata as through boto3."""

from __future__ import annotations

import gzip
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from botocore.exceptions import SSLError

from session_widgets.errors import NotFound
from session_widgets.host.manifest import md5
from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.connect import Connection, connect
from session_widgets.workspaces.objects import Changed, Torn
from session_widgets.workspaces.small import GIVE_UP, LARGEST, ConditionFailed, SmallObjects
from tests.support.flaky_s3 import Fault, flaky, once
from tests.support.workspaces import attach, contents, persist, workspace, write

pytestmark = pytest.mark.needs("seaweedfs")


@pytest.fixture
def small(seaweed, lab):
    return SmallObjects(connect("lab", seaweed.home))


def read(seaweed, key: str) -> dict:
    """The object as boto3 reads it."""
    answer = seaweed.client().get_object(Bucket="lab", Key=key)
    return {**answer, "content": answer["Body"].read()}


@pytest.fixture
def no_boto3(monkeypatch):
    """Fail if boto3 reads or writes an object of the session itself."""

    def without(space):
        client = space.objects.prefix.client
        mine = space.objects.prefix.prefix

        def only_leases(name):
            call = getattr(client, name)

            def checked(**asked):
                assert not asked["Key"].startswith(mine), f"boto3 was asked for {name} of {asked['Key']}"
                return call(**asked)

            return checked

        for name in ("put_object", "get_object"):
            monkeypatch.setattr(client, name, only_leases(name))

    return without


def test_files_go_out_and_in_without_boto3(here, there, no_boto3):
    write(here, "a/b", "content").chmod(0o755)
    write(here, "empty", "")
    (here.path / "link").symlink_to("a/b")
    no_boto3(here)
    persist(here)
    write(here, "a/b", "changed")
    persist(here)
    here.detach()
    no_boto3(there)
    attach(there)
    assert (there.path / "link").read_text() == "changed"
    assert (there.path / "a/b").stat().st_mode & 0o777 == 0o755
    assert there.scan().entries.keys() == {"a/b", "empty", "link"}


@pytest.mark.parametrize(
    "name",
    ["a b", " a ", "a%20b", "100%", "a#b", "a?b", "a*b", "[a]", "a~b", "a+b", "a&b=c", "a'b", 'a"b', "<a>", "{a}",
     "a|b", "a^b", "a`b", ".a", "a.", "..a", "a:b@c;d,e!f$g(h)", "é", "e\u0301", "日本", "a\u0085b", "a\u2028b", "😀"],
)  # fmt: skip
def test_a_key_is_the_same_for_both(small, seaweed, name):
    key = f"odd/{name}/{name}"
    assert small.put(key, name.encode(), {}, None) is not None
    assert read(seaweed, key)["content"] == name.encode()
    assert small.get(key).body == name.encode()


@pytest.mark.parametrize(
    "key", ["a//b", "/a", "a/", "a/../b", "./a", "a/.", "..", "a\nb", "a\tb", "a\x01b", "a\x7fb", ""]
)
def test_a_key_that_obstore_refuses_or_rewrites_is_left_to_boto3(small, key):
    assert small.put(key, b"x", {}, None) is None
    assert small.get(key) is None


@pytest.mark.parametrize("name", ["tab\there", "line\nfeed", "del\x7f"])
def test_a_file_with_such_a_name_is_saved_all_the_same(here, name):
    write(here, name, "kept")
    persist(here)
    assert contents(here) == {name: b"kept"}


def test_conditions_hold(small):
    first = small.put("conditions", b"1", {}, "")
    with pytest.raises(ConditionFailed):
        small.put("conditions", b"2", {}, "")
    second = small.put("conditions", b"2", {}, first)
    with pytest.raises(ConditionFailed):
        small.put("conditions", b"3", {}, first)
    with pytest.raises(ConditionFailed):
        small.put("never", b"3", {}, first)
    assert small.get("conditions")[:2] == (b"2", second)
    assert small.put("conditions", b"4", {}, None) == small.get("conditions").etag == md5(b"4").hexdigest()


def test_metadata_etag_and_time_are_those_that_boto3_sees(small, seaweed):
    etag = small.put("with/metadata", b"x", {"mode": "33188", "mtime": "17"}, "")
    found, answer = read(seaweed, "with/metadata"), small.get("with/metadata")
    assert found["Metadata"] == {"mode": "33188", "mtime": "17"}
    assert {name: answer.metadata[name] for name in ("mode", "mtime")} == found["Metadata"]
    assert found["ETag"].strip('"') == etag == answer.etag
    assert found["LastModified"] == answer.modified


def test_content_that_says_it_is_compressed_comes_as_it_is(small, seaweed):
    body = gzip.compress(b"x" * 1000)
    seaweed.client().put_object(Bucket="lab", Key="packed", Body=body, ContentEncoding="gzip")
    assert small.get("packed").body == body


def test_what_is_large_is_left_to_boto3(small, seaweed):
    assert small.put("large", b"x" * (LARGEST + 1), {}, "") is None
    seaweed.client().put_object(Bucket="lab", Key="large", Body=b"x" * (LARGEST + 1))
    assert small.get("large") is None
    assert small.put("just", b"x" * LARGEST, {}, "") is not None
    assert len(small.get("just").body) == LARGEST


def test_content_that_changed_since_it_was_looked_at_is_not_sent(here):
    with pytest.raises(Torn):
        here.objects.prefix.put("a", b"now", 3, metadata={}, md5=md5(b"then").hexdigest(), if_match="")
    assert contents(here) == {}


def test_other_settings_of_the_environment_are_not_heeded(seaweed, lab, monkeypatch):
    """They name another store, or are settings of obstore alone."""
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_REGION": "eu-west-1",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_CONDITIONAL_PUT": "disabled",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_S3_EXPRESS": "true",
    }.items():
        monkeypatch.setenv(name, value)
    small = SmallObjects(connect("lab", seaweed.home))
    assert small.put("deaf", b"x", {}, "") is not None
    with pytest.raises(ConditionFailed):
        small.put("deaf", b"y", {}, "")


class Rotating:
    """A connection whose keys expire after `left`; `asked` counts how often they were read."""

    def __init__(self, connection: Connection, left: timedelta) -> None:
        self.bucket, self.endpoint, self.is_aws, self.region = "lab", connection.endpoint, False, connection.region
        self._keys = connection.credentials()
        self._left = left
        self.asked = 0

    def credentials(self):
        self.asked += 1
        return replace(self._keys, expires=datetime.now(UTC) + self._left, lifetime=self._left)


@pytest.mark.parametrize(("left", "asked"), [(timedelta(0), 3), (timedelta(hours=1), 1)])
def test_keys_that_end_are_looked_up_again(seaweed, lab, left, asked):
    connection = Rotating(connect("lab", seaweed.home), left)
    small = SmallObjects(connection)
    for number in range(3):
        assert small.put(f"rotating/{left}/{number}", b"x", {}, "") is not None
    assert connection.asked == asked


@pytest.mark.parametrize("named", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "nowhere"])
def test_a_store_behind_tls_is_trusted_as_by_boto3(seaweed, lab, monkeypatch, tmp_path, named):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(named, str(tmp_path / "ca.pem"))
    with flaky(seaweed.endpoint, context) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        connection = connect("lab", tmp_path)
        small = SmallObjects(connection)
        assert (small.put("secret", b"x", {}, None) is not None) == (named != "nowhere")
        if named == "nowhere":
            with pytest.raises(SSLError):
                connection.client.list_objects_v2(Bucket="lab")
        else:
            assert connection.client.get_object(Bucket="lab", Key="secret")["Body"].read() == b"x"


def test_no_connection_is_tried_over_and_over(seaweed, lab, monkeypatch):
    with flaky(seaweed.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        connection = connect("lab", seaweed.home / "elsewhere")
        small = SmallObjects(connection)
        way.rule = lambda _m, _p: Fault(status=301, code="PermanentRedirect")
        for _ in range(GIVE_UP + 5):
            assert small.put("moved", b"x", {}, "") is None
        assert len(way.seen) == GIVE_UP
        way.rule = lambda _m, _p: None
        assert small.get("moved") is None
        small.try_again()
        assert small.put("moved", b"x", {}, "") is not None


def test_boto3_carries_what_obstore_cannot(here, lab, monkeypatch, seaweed):
    """The store refuses the first request for each object, so boto3 sends a second one."""
    with flaky(seaweed.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        space = workspace(here.objects.home, lab)
        attach(space)
        asked = set()

        def refuse_first(method, path):
            if method not in {"PUT", "GET"} or not path.startswith("/lab/") or (method, path) in asked:
                return None
            asked.add((method, path))
            return Fault(status=400, code="AuthorizationHeaderMalformed") if "/s1/" in path else None

        way.rule = refuse_first
        for number in range(3):
            write(space, f"f{number}", str(number))
        persist(space)
        assert contents(here) == {f"f{number}": str(number).encode() for number in range(3)}


def test_content_that_was_garbled_on_its_way_is_refused_and_sent_again(here, lab, monkeypatch, seaweed):
    with flaky(seaweed.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        space = workspace(here.objects.home, lab)
        attach(space)
        write(space, "a", "content")
        way.rule = once(Fault(garbled=True), lambda method, path: method == "PUT" and path.endswith("/a"))
        persist(space)
        assert [status for method, path, status in way.answered if method == "PUT" and path.endswith("/a")] == [
            400,
            200,
        ]
        assert contents(here) == {"a": b"content"}


def test_an_object_that_was_deleted_meanwhile_is_missing_for_both(here):
    with pytest.raises(NotFound), here.objects.prefix.reading("gone", 3):
        pass


def test_a_foreign_object_is_a_change(here):
    prefix: Prefix = here.objects.prefix
    etag = prefix.put("a", b"1", 1, metadata={}, if_match="")
    prefix.client.put_object(Bucket=prefix.bucket, Key=f"{prefix.prefix}a", Body=b"foreign")
    with pytest.raises(Changed):
        prefix.put("a", b"2", 1, metadata={}, if_match=etag)
