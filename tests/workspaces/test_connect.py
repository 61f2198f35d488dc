"""The store of a bucket, and the names of its refusals, from a real store where possible."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError, UnauthorizedSSOTokenError

from session_widgets.errors import WorkspaceError
from session_widgets.workspaces.clients import client_of
from session_widgets.workspaces.connect import connect, explain
from session_widgets.workspaces.credentials import Credentials

pytestmark = [pytest.mark.needs("seaweedfs"), pytest.mark.timeout(120)]

SECRET = "a secret that nobody may see"


def refusal(client, bucket: str = "lab", body: bytes = b"x") -> WorkspaceError:
    with pytest.raises((ClientError, BotoCoreError)) as caught:
        client.put_object(Bucket=bucket, Key="a", Body=body)
    return explain(caught.value, bucket)


@pytest.fixture
def no_settings(monkeypatch, tmp_path):
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_PROFILE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def test_a_bucket_of_the_embedded_store_is_found_there_whatever_the_settings_say(seaweed, lab, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    connection = connect("lab", seaweed.home)
    assert (connection.endpoint, connection.embedded.place) == (seaweed.endpoint, seaweed.place)
    assert connection.credentials() == seaweed.credentials
    assert connection.client.head_bucket(Bucket="lab")


def test_another_bucket_is_found_by_the_settings_of_the_environment(seaweed, lab, home):
    connection = connect("lab", home)
    assert (connection.endpoint, connection.embedded, connection.is_aws) == (seaweed.endpoint, None, False)
    assert connection.credentials_source == "AWS settings (env)"
    assert connection.client.head_bucket(Bucket="lab")
    assert connection.credentials() == seaweed.credentials


def test_or_by_a_profile(seaweed, no_settings, home, monkeypatch):
    keys = seaweed.credentials
    (no_settings / "config").write_text(f"[profile mine]\nendpoint_url = {seaweed.endpoint}\nregion = eu-west-1\n")
    (no_settings / "credentials").write_text(
        f"[mine]\naws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "mine")
    connection = connect("lab", home)
    assert (connection.endpoint, connection.region) == (seaweed.endpoint, "eu-west-1")
    assert connection.client.head_bucket(Bucket="lab")
    monkeypatch.setenv("AWS_PROFILE", "unknown")
    with pytest.raises(WorkspaceError, match="unknown") as caught:
        connect("lab", home)
    assert caught.value.reason == "refused"


def test_amazon_is_known_by_its_name(no_settings, home, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    connection = connect("lab", home)
    assert connection.is_aws
    assert connection.endpoint.endswith(".amazonaws.com")


def test_no_keys_at_all_is_said_before_anything_is_sent(no_settings, home):
    with pytest.raises(WorkspaceError, match=r"AWS_ACCESS_KEY_ID.*local_s3\('lab'\)") as caught:
        connect("lab", home)
    assert caught.value.reason == "refused"


def test_wrong_keys_are_refused_and_never_shown(seaweed):
    unknown = client_of(seaweed.endpoint, Credentials("NOBODY", SECRET))
    wrong = client_of(seaweed.endpoint, Credentials(seaweed.credentials.access_key, SECRET))
    for error in (refusal(unknown), refusal(wrong)):
        assert error.reason == "refused"
        assert "AWS_ACCESS_KEY_ID" in str(error)
        assert SECRET not in str(error)


def test_a_bucket_that_is_not_there_is_missing(seaweed):
    with pytest.raises(ClientError) as caught:
        seaweed.client().list_objects_v2(Bucket="nowhere")
    error = explain(caught.value, "nowhere")
    assert (error.reason, "local_s3('nowhere')" in str(error)) == ("missing", True)


def test_a_closed_endpoint_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = refusal(client_of(f"http://127.0.0.1:{port}", Credentials("a", SECRET), attempts=1))
    assert (error.reason, f":{port}" in str(error), "AWS_ENDPOINT_URL_S3" in str(error)) == ("unreachable", True, True)


def test_the_error_names_the_difference_of_the_clocks(seaweed, monkeypatch):
    import botocore.auth

    off = datetime.now(UTC) - timedelta(minutes=20)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: off.replace(tzinfo=None))
    error = refusal(seaweed.client())
    assert error.reason == "clock"
    assert "timedatectl" in str(error)


@pytest.fixture
def answering():
    """Makes a client of a store that gives one answer to everything."""
    servers = []

    def answering(status: str, code: str, *headers: str, words: str = ""):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{words}</Message></Error>"
        head = [
            f"HTTP/1.1 {status}",
            "Content-Type: application/xml",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        answer = "\r\n".join([*head, *headers, "", body]).encode()

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    seen = b""
                    while b"\r\n\r\nx" not in seen and (piece := connection.recv(65536)):
                        seen += piece
                        if b"expect: 100-continue" in seen.lower():
                            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return client_of(f"http://127.0.0.1:{server.getsockname()[1]}", Credentials("a", SECRET), attempts=1)

    yield answering
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.parametrize(
    ("status", "code", "words", "reason"),
    [
        ("503 Service Unavailable", "SlowDown", "", "unreachable"),
        ("500 Internal Server Error", "InternalError", "", "unreachable"),
        ("500 Internal Server Error", "InternalError", "write: No space left on device", "disk"),
        ("507 Insufficient Storage", "XMinioStorageFull", "", "disk"),
        ("400 Bad Request", "ExpiredToken", "", "expired"),
        ("403 Forbidden", "RequestTimeTooSkewed", "", "clock"),
        ("403 Forbidden", "SignatureDoesNotMatch", "", "refused"),
        ("412 Precondition Failed", "PreconditionFailed", "", "conflict"),
        ("400 Bad Request", "KeyTooLongError", "", "name"),
    ],
)
def test_answers_have_a_reason(answering, status, code, words, reason):
    error = refusal(answering(status, code, words=words))
    assert (error.reason, code in str(error)) == (reason, True)
    assert SECRET not in str(error)


def test_a_refusal_by_a_store_in_another_time_is_the_clocks_fault(answering):
    then = datetime.now(UTC) + timedelta(minutes=20)
    error = refusal(answering("403 Forbidden", "SignatureDoesNotMatch", f"Date: {then:%a, %d %b %Y %H:%M:%S} GMT"))
    assert error.reason == "clock"
    assert "by 20 minutes, behind" in str(error)


def test_what_was_never_sent_has_a_reason_too():
    assert explain(UnauthorizedSSOTokenError(), "lab").reason == "expired"
    assert explain(ParamValidationError(report="Invalid length for parameter Key"), "lab").reason == "name"


def test_an_upload_that_failed_is_explained_by_its_cause(seaweed, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    client = client_of(seaweed.endpoint, Credentials("NOBODY", SECRET))
    with pytest.raises(S3UploadFailedError) as caught:
        client.upload_file(str(tmp_path / "a"), "lab", "a")
    assert explain(caught.value, "lab").reason == "refused"
