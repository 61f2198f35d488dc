"""The attachment `direct`: a real runner and the bucket, between which this kernel carries no content."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets.errors import BadValue, NotDurable, WorkspaceConflict, WorkspaceError
from session_widgets.host.direct import Outcome
from session_widgets.model import Endpoint
from session_widgets.workspaces import barrier, direct
from session_widgets.workspaces.place import place
from session_widgets.workspaces.signing import Signer
from tests.support.flaky_s3 import Fault, flaky
from tests.support.relaying import files, put
from tests.support.runner import TOKEN, RunnerProcess
from tests.support.trees import Distant
from tests.support.workspaces import contents, workspace

NAMES = ("plain", "deep/er/ünï", "a b&+=?#%61~!'()*", "empty")


class Box:
    """A runner and a kernel's view of it; `carried` counts the contents that passed the kernel."""

    def __init__(self, home: Path, url: str, name: str) -> None:
        self.runner = RunnerProcess(home / name)
        self.root = self.runner.root
        self.carried: list[str] = []
        self.base = workspace(home / f"{name}-kernel", url, attachment="direct")
        self.another_kernel(home / f"{name}-kernel")

    def another_kernel(self, home: Path) -> None:
        endpoint = Endpoint(self.runner.url, {"authorization": f"Bearer {TOKEN}"})
        self.tree = Watched(endpoint, str(self.root), 1)
        self.tree.carried = self.carried
        self.space = self.base.relayed(self.tree, home / "relayed")

    def attach(self) -> None:
        self.space.attach(lambda _: None)

    def persist(self):
        return self.space.persist(self.space.scan, ())

    def close(self) -> None:
        self.tree.close()
        self.runner.stop()


class Watched(RunnerTree):
    """Counts what passes the kernel."""

    carried: list[str]
    before = staticmethod(lambda: None)

    def transfer(self, requests):
        self.before()
        return super().transfer(requests)

    def read(self, entry):
        self.carried.append(entry.path)
        return super().read(entry)

    def read_many(self, entries):
        self.carried += [entry.path for entry in entries]
        return super().read_many(entries)

    def write_many(self, items):
        for entry, body, seen in items:
            self.carried.append(entry.path)
            yield from super().write_many([(entry, body, seen)])


@pytest.fixture
def boxes(tmp_path, lab):
    made = []

    def box(name: str) -> Box:
        made.append(Box(tmp_path, lab, name))
        return made[-1]

    yield box
    for one in made:
        one.close()


@pytest.fixture
def box(boxes):
    box = boxes("one")
    box.attach()
    return box


def fill(root: Path) -> None:
    for name in NAMES:
        put(root, name, "" if name == "empty" else f"content of {name}")
    (root / "plain").chmod(0o755)
    (root / "link").symlink_to("deep/er/nowhere")
    (root / "folder/empty").mkdir(parents=True)
    (root / "large").write_bytes(os.urandom(5 << 20))
    os.utime(root / "deep/er/ünï", (1_700_000_000, 1_700_000_000))


def test_contents_go_by_themselves_both_ways_as_they_are(boxes):
    box, other = boxes("one"), boxes("two")
    box.attach()
    fill(box.root)
    manifest = box.persist()
    assert set(manifest.entries) == {*NAMES, "link", "large", "folder/empty"}
    assert contents(box.base)["large"] == (box.root / "large").read_bytes()
    put(box.root, "plain", "edited")
    (box.root / "empty").unlink()
    box.persist()
    box.space.detach()
    other.base.take_over()
    other.attach()
    assert files(other.root / "deep") == files(box.root / "deep")
    assert (other.root / "large").read_bytes() == (box.root / "large").read_bytes()
    assert (other.root / "plain").read_text() == "edited"
    assert (other.root / "plain").stat().st_mode & 0o777 == 0o755
    assert (other.root / "deep/er/ünï").stat().st_mtime == 1_700_000_000
    assert (other.root / "link").readlink() == Path("deep/er/nowhere")
    assert (other.root / "folder/empty").is_dir()
    assert not (other.root / "empty").exists()
    other.persist()
    assert box.carried == other.carried == []


def signed_an_hour_ago(monkeypatch, times: int) -> None:
    """The first signatures of a content are old."""
    put_now, left = Signer.put, [None] * times

    def put(self, entry, etag):
        if not left:
            return put_now(self, entry, etag)
        left.pop()
        with monkeypatch.context() as patch:
            patch.setattr("botocore.auth.get_current_datetime", lambda: datetime.now(UTC) - timedelta(hours=1))
            return put_now(self, entry, etag)

    monkeypatch.setattr(direct, "STREAMS", 1)
    monkeypatch.setattr(Signer, "put", put)


def test_signatures_that_expire_in_the_middle_are_made_again(box, monkeypatch):
    monkeypatch.setattr(direct, "BATCH", 2)
    for number in range(8):
        put(box.root, f"f{number}", str(number))
    signed_an_hour_ago(monkeypatch, 3)
    box.persist()
    assert {name: body.decode() for name, body in contents(box.base).items()} == files(box.root)
    assert box.carried == []


def test_signatures_that_are_always_refused_name_the_relay(box, monkeypatch):
    put(box.root, "f", "1")
    signed_an_hour_ago(monkeypatch, direct.ATTEMPTS)
    with pytest.raises(
        NotDurable, match=r"refused the sandbox.*: AccessDenied: Request has expired. .*attachment='sync'"
    ) as caught:
        box.persist()
    assert caught.value.reason == "refused"


def test_a_bucket_out_of_reach_is_an_error_before_any_work(boxes, monkeypatch):
    box = boxes("one")
    monkeypatch.setattr(Signer, "_bucket", lambda _: "http://127.0.0.1:9/lab")
    with pytest.raises(WorkspaceError, match=r"cannot reach the bucket .*refused.* attachment='sync'") as caught:
        box.attach()
    assert caught.value.reason == "unreachable"
    monkeypatch.setattr(Signer, "_bucket", lambda _: f"{box.runner.url}/lab")
    with pytest.raises(WorkspaceError, match="answered with status 401, not by this store"):
        box.attach()


def test_a_sandbox_without_a_runner_of_ours_is_an_error(box, tmp_path):
    space = box.base.relayed(Distant(box.root), tmp_path / "distant")
    with pytest.raises(WorkspaceError, match=r"makes no requests to an object store.*attachment='sync'") as caught:
        space.attach(lambda _: None)
    assert caught.value.reason == "tool"


def test_a_bucket_that_goes_out_of_reach_later_leaves_the_files(box, monkeypatch):
    put(box.root, "f", "1")
    with monkeypatch.context() as patch:
        patch.setattr(Signer, "_bucket", lambda _: "http://127.0.0.1:9/lab")
        with pytest.raises(NotDurable, match="can no longer reach the bucket") as caught:
            box.persist()
    assert caught.value.reason == "unreachable"
    box.persist()
    assert contents(box.base) == {"f": b"1"}


@pytest.mark.parametrize("change", ["another content", "shorter", "", None])
def test_a_file_that_changes_while_it_is_sent_is_sent_as_it_is_then(box, change):
    put(box.root, "stays", "1")
    file = put(box.root, "f", "the first content")

    def meanwhile() -> None:
        box.tree.before = lambda: None
        file.unlink() if change is None else file.write_text(change)

    box.tree.before = meanwhile
    box.persist()
    expected = {"stays": b"1"} if change is None else {"stays": b"1", "f": change.encode()}
    assert contents(box.base) == expected


def test_what_the_store_received_otherwise_is_sent_again(box, monkeypatch):
    """A wrong hash: a byte changes on the way. The store refuses it."""
    put(box.root, "f", "content")
    with flaky(box.base.objects.connection.endpoint) as way:
        garbled = []
        way.rule = lambda method, _: Fault(garbled=True) if method == "PUT" and not garbled.append(1) else None
        monkeypatch.setattr(Signer, "_bucket", lambda _: f"{way.endpoint}/{box.base.objects.bucket}")
        box.persist()
        assert [status for method, _, status in way.answered if method == "PUT"] == [400]
    assert contents(box.base) == {"f": b"content"}
    assert box.carried == ["f"], "the relay sent it"


def test_an_object_that_arrives_otherwise_is_not_put_in_place(boxes, box, monkeypatch):
    put(box.root, "f", "content")
    box.persist()
    box.space.detach()
    other = boxes("two")
    put(other.root, "g", "mine")
    other.base.take_over()
    seen = []
    with flaky(box.base.objects.connection.endpoint) as way:
        monkeypatch.setattr(Signer, "_bucket", lambda _: f"{way.endpoint}/{box.base.objects.bucket}")

        def fetched(self, requests):
            for number, outcome in RunnerTree.transfer(self, requests):
                seen.append((requests[number].method, outcome.failed, (other.root / "f").exists()))
                yield number, outcome

        monkeypatch.setattr(Watched, "transfer", fetched)
        monkeypatch.setattr(Signer, "get", lambda self, info: other_version(self, info))
        other.attach()
    assert ("GET", "changed", False) in seen
    assert (other.root / "f").read_text() == "content"
    assert other.carried == ["f"], "the relay brought it"


def other_version(signer: Signer, info):
    """A request without the condition, for another object of the same size: what a store that is broken would send."""
    objects = signer._objects
    objects.prefix.put("twin", b"tnetnoc", 7, metadata={}, if_match=None)
    return signer._sign("GET", objects.prefix, "twin", {})


def test_both_sides_changed_a_file_and_both_versions_stay(boxes, box):
    put(box.root, "f", "first")
    box.persist()
    box.base.objects.prefix.put("f", b"theirs", 6, metadata={}, if_match=None)
    put(box.root, "f", "ours")
    with pytest.raises((NotDurable, WorkspaceConflict), match="changed both here and in"):
        box.persist()
    assert sorted(path.read_text() for path in box.root.glob("f*")) == ["ours", "theirs"]
    box.persist()


def test_a_sandbox_that_claims_to_have_sent_a_file_is_not_believed(box, monkeypatch):
    put(box.root, "f", "never sent")

    def claimed(self, requests):
        for number, request in enumerate(requests):
            yield number, Outcome(status=200, etag=request.md5)

    monkeypatch.setattr(Watched, "transfer", claimed)
    monkeypatch.setattr(barrier.verify, "__defaults__", (0.2, "the bucket"))
    with pytest.raises(NotDurable, match=r"still differ: 'f' \(not in the bucket\)"):
        box.persist()


@contextmanager
def cut_after(endpoint: str, size: int, then: Callable[[], object]) -> Iterator[str]:
    """A way to the store that ends after so many bytes of the first connection."""
    host, port = endpoint.removeprefix("http://").split(":")

    def carry() -> None:
        inner, _ = server.accept()
        with inner, socket.create_connection((host, int(port))) as store:
            left = size
            while left > 0 and (piece := inner.recv(min(left, 1 << 16))):
                store.sendall(piece)
                left -= len(piece)
            then()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=carry, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(30)


def test_a_runner_killed_in_the_middle_of_a_file_leaves_no_object(boxes, box, monkeypatch):
    large = box.root / "large"
    large.write_bytes(os.urandom(4 << 20))
    store = box.base.objects.connection.endpoint
    with cut_after(store, 1 << 20, box.runner.process.kill) as way, monkeypatch.context() as patch:
        patch.setattr(Signer, "_bucket", lambda _: f"{way}/{box.base.objects.bucket}")
        with pytest.raises(NotDurable, match="cannot be reached"):
            box.persist()
    assert contents(box.base) == {}
    again = boxes("two")
    shutil.copy(large, again.root)
    again.base.take_over()
    again.attach()
    again.persist()
    assert contents(again.base) == {"large": large.read_bytes()}
    assert again.carried == []


def test_a_signed_request_is_good_for_nothing_else(box):
    """It stores the content that is stored anyway, until it expires."""
    put(box.root, "f", "content")
    (entry,) = box.space.scan().entries.values()
    signed = Signer(box.base.objects).put(entry, "")
    headers = dict(signed.headers)
    assert httpx.put(signed.url, content=b"CONTENT", headers=headers).status_code == 400
    assert httpx.put(signed.url.replace("/f?", "/g?"), content=b"content", headers=headers).status_code == 403
    assert httpx.put(signed.url, content=b"x", headers={**headers, "content-md5": "x"}).status_code == 403
    assert httpx.get(signed.url, headers=headers).status_code == 403
    assert httpx.delete(signed.url, headers=headers).status_code == 403
    assert httpx.put(signed.url, content=b"content", headers=headers).status_code == 200
    assert httpx.put(signed.url, content=b"content", headers=headers).status_code == 412, "it must not exist"


def test_a_directory_has_no_direct_way(tmp_path):
    with pytest.raises(BadValue, match="attachment of a directory must be one of 'directory'; got 'direct'"):
        place(tmp_path, "s1", tmp_path, "direct")
