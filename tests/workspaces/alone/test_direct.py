"""The attachment `direct` between a tree and a bucket in memory: what goes by itself, and what is left to the relay."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from botocore.exceptions import ClientError

from session_widgets.errors import NotDurable, WorkspaceConflict
from session_widgets.host.direct import Outcome, Request
from session_widgets.host.manifest import Entry, Occupied, Readable
from session_widgets.host.object_metadata import entry_of
from session_widgets.runner.tree_paths import seen_of
from session_widgets.workspaces import direct
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.sync import SyncWorkspace
from tests.support.trees import Distant
from tests.support.workspaces import persist, write
from tests.workspaces.memory import BUCKET, Memory, keys, put, workspace

META = "x-amz-meta-"


class Near(Distant):
    """A tree that makes the signed requests itself, to a bucket in memory."""

    def __init__(self, path: Path, memory: Memory) -> None:
        super().__init__(path)
        self.memory = memory
        self.made: list[tuple[str, str]] = []
        self.relayed: list[str] = []

    def read_many(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Readable]]:
        self.relayed += [entry.path for entry in entries]
        return super().read_many(entries)

    def write_many(self, items: Iterable[tuple[Entry, Readable, Entry | None]]) -> Iterator[Entry | Occupied]:
        for item in items:
            self.relayed.append(item[0].path)
            yield from super().write_many([item])

    def transfer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        for number, request in enumerate(requests):
            self.made.append((request.method, request.path))
            try:
                yield number, self._do(request, unquote(urlsplit(request.url).path.removeprefix(f"/{BUCKET}/")))
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                yield number, Outcome("refused", status)
            except Occupied:
                yield number, Outcome("occupied")
            except OSError:
                yield number, Outcome("changed")

    def _do(self, request: Request, key: str) -> Outcome:
        place, headers = {"Bucket": BUCKET, "Key": key}, request.headers
        if request.method == "HEAD":
            return Outcome(status=200, etag=self.memory.head_object(**place)["ETag"].strip('"'))
        if request.method == "GET":
            found = self.memory.get_object(**place)
            if found["ETag"] != headers["if-match"]:
                return Outcome("refused", 412)
            entry = entry_of(request.path, found["Size"], found["LastModified"].timestamp(), found["Metadata"])
            return Outcome(status=200, entry=self.write(entry, found["Body"], seen_of(request.seen)))
        with self.read(Entry(request.path, "file", request.size, 0, 0, request.md5)) as body:
            content = BytesIO(body.read(request.size))
        conditions = {
            "IfMatch": headers.get("if-match", "").strip('"'),
            "IfNoneMatch": headers.get("if-none-match", ""),
        }
        stored = self.memory.put_object(
            **place,
            Body=content,
            Metadata={name.removeprefix(META): value for name, value in headers.items() if name.startswith(META)},
            ContentMD5=headers["content-md5"],
            **conditions,
        )
        return Outcome(status=200, etag=stored["ETag"].strip('"'))


@pytest.fixture
def tree(tmp_path: Path, memory: Memory) -> Near:
    path = tmp_path / "here" / "workspaces" / "s1"
    path.mkdir(parents=True)
    return Near(path, memory)


@pytest.fixture
def here(tmp_path: Path, memory: Memory, tree: Near) -> Workspace:
    objects = workspace(tmp_path / "here", memory).objects
    secret = SimpleNamespace(access_key="a", secret_key="b", session_token=None)
    vars(objects.connection).update(
        endpoint="http://memory", region="r", bucket=BUCKET, is_aws=False, credentials=lambda: secret
    )
    space = SyncWorkspace(objects, direct=True).relayed(tree, tmp_path / "here" / "sync")
    space.attach(lambda _: None)
    return space


def made(tree: Near) -> tuple[list[tuple[str, str]], list[str]]:
    """The requests of the tree, and what was relayed, since the last time."""
    found = sorted(tree.made), sorted(tree.relayed)
    tree.made.clear()
    tree.relayed.clear()
    return found


def test_contents_go_by_themselves_and_are_known_then(
    here: Workspace, tree: Near, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "LARGEST", 5)
    assert made(tree) == ([("HEAD", "")], [])
    write(here, "mine", "1")
    write(here, "large", "123456")
    persist(here)
    assert made(tree) == ([("PUT", "mine")], ["large"])
    write(here, "mine", "2")
    persist(here)
    assert made(tree) == ([("PUT", "mine")], [])
    put(memory, "theirs", b"3")
    put(memory, "larger", b"123456")
    here.attach(lambda _: None)
    assert made(tree) == ([("GET", "theirs")], ["larger"])
    assert (here.path / "theirs").read_text() == "3"
    write(here, "theirs", "4")
    persist(here)
    assert made(tree) == ([("PUT", "theirs")], [])
    assert {key: found["Body"] for key, found in memory.objects.items() if key.startswith("s1/")} == {
        "s1/mine": b"2",
        "s1/large": b"123456",
        "s1/theirs": b"4",
        "s1/larger": b"123456",
    }
    here.attach(lambda _: None)
    persist(here)
    assert made(tree) == ([], [])


def test_what_is_not_replaced_by_one_request_is_relayed(here: Workspace, tree: Near, memory: Memory) -> None:
    (here.path / "folder").mkdir()
    put(memory, "link", b"", Metadata={"mode": str(stat.S_IFLNK | 0o777)})  # type: ignore[arg-type]
    here.attach(lambda _: None)
    persist(here)
    made(tree)
    (here.path / "folder").rmdir()
    write(here, "folder", "1")
    write(here, "link", "2")
    persist(here)
    assert made(tree) == ([("PUT", "link")], ["folder"]), "a link that cannot be made is replaced as it was"
    assert keys(memory) == {"folder", "link"}
    assert memory.objects["s1/link"]["Body"] == b"2"


def test_both_versions_are_kept_if_something_is_in_the_way(here: Workspace, tree: Near, memory: Memory) -> None:
    put(memory, "a", b"theirs")
    put(memory, "b", b"theirs")
    put(memory, "gone", b"theirs")

    def work(call: str, key: str) -> None:
        if call == "get" and key == "s1/a":
            memory.before = lambda *_: None
            write(here, "a", "ours")
            memory.objects.pop("s1/gone", None)

    memory.before = work
    with pytest.raises(WorkspaceConflict, match="1 file changed both here and in s3://lab/s1: 'a'"):
        here.attach(lambda _: None)
    assert (here.path / "a").read_text() == "ours"
    assert (here.path / "b").read_text() == "theirs"
    assert [path.read_text() for path in here.path.glob("a.remote-*")] == ["theirs"]


def test_a_change_there_while_it_is_sent_is_met(here: Workspace, tree: Near, memory: Memory) -> None:
    write(here, "a", "first")
    persist(here)
    write(here, "a", "ours")
    put(memory, "a", b"theirs")
    with pytest.raises(NotDurable, match="1 file changed both here and in") as caught:
        persist(here)
    assert caught.value.reason == "conflict"
    persist(here)
    assert memory.objects["s1/a"]["Body"] == b"ours"
