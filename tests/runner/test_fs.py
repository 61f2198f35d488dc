"""Files over HTTP."""

from __future__ import annotations

import itertools
import os
import threading
import time

import pytest

from tests.runner.problems import code
from tests.support.runner import names_in
from tests.support.waiting import until

GIB = 1 << 30


def put(runner, path, content, **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return runner.http.put("/v1/fs/file", params={"path": path}, content=content, headers=sent)


def get(runner, path, **headers):
    return runner.http.get("/v1/fs/file", params={"path": path}, headers=headers)


def entries(runner, path, **query):
    return runner.http.get("/v1/fs/entries", params={"path": path, **query})


def test_written_and_read_back(runner, folder):
    content = bytes(range(256)) * 5
    answer = put(runner, f"{folder}/new/dir/a.bin", content)
    path = runner.root / folder / "new" / "dir" / "a.bin"
    assert answer.status_code == 200
    assert answer.json() == {"path": str(path), "bytesWritten": len(content), "etag": answer.headers["etag"]}
    assert path.read_bytes() == content
    for name in (f"{folder}/new/dir/a.bin", str(path), f"./{folder}//new/./dir/a.bin"):
        back = get(runner, name)
        assert (back.content, back.headers["content-type"]) == (content, "application/octet-stream")
        assert back.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("content", [b"", "Grüße".encode("latin-1"), b"\0" * 10])
def test_any_bytes(runner, folder, content):
    assert put(runner, f"{folder}/f", content).json()["bytesWritten"] == len(content)
    assert get(runner, f"{folder}/f").content == content


@pytest.mark.parametrize("name", ["ä ö.txt", "<b>&amp;.html", "new\nline", "%2e%2e", "~", "...", "\u202eexe.txt"])
def test_any_name(runner, folder, name):
    assert put(runner, f"{folder}/{name}", b"x").status_code == 200
    assert (runner.root / folder / name).read_bytes() == b"x"
    assert [entry["name"] for entry in entries(runner, folder).json()] == [name]
    assert get(runner, f"{folder}/{name}").content == b"x"


@pytest.mark.parametrize(
    ("wanted", "status", "content", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=5-4", 200, b"0123456789", None),
    ],
)
def test_ranges(runner, folder, wanted, status, content, told):
    put(runner, f"{folder}/f", b"0123456789")
    answer = get(runner, f"{folder}/f", range=wanted)
    assert (answer.status_code, answer.content, answer.headers.get("content-range")) == (status, content, told)


def test_a_range_behind_the_end(runner, folder):
    put(runner, f"{folder}/f", b"0123456789")
    assert code(get(runner, f"{folder}/f", range="bytes=10-")) == (416, "range_not_satisfiable")


def test_a_sparse_gibibyte(runner, folder):
    path = runner.root / folder / "big"
    with path.open("wb") as file:
        file.truncate(GIB)
        file.seek(GIB - 4)
        file.write(b"tail")
    started = time.monotonic()
    assert get(runner, f"{folder}/big", range="bytes=-4").content == b"tail"
    assert get(runner, f"{folder}/big", range=f"bytes={GIB // 2}-{GIB // 2 + 9}").content == bytes(10)
    head = runner.http.head("/v1/fs/file", params={"path": f"{folder}/big"})
    assert (head.headers["content-length"], head.content) == (str(GIB), b"")
    assert time.monotonic() - started < 1
    with runner.http.stream("GET", "/v1/fs/file", params={"path": f"{folder}/big"}) as answer:
        assert int(answer.headers["content-length"]) == GIB
        assert len(next(answer.iter_raw())) > 0
    assert _rss(runner) < 70e6


def _rss(runner) -> int:
    import psutil

    return psutil.Process(runner.process.pid).memory_info().rss


def test_a_large_body_is_streamed_and_appears_at_its_end(runner, folder):
    halfway, go_on = threading.Event(), threading.Event()

    def body():
        yield b"a" * (4 << 20)
        halfway.set()
        go_on.wait(10)
        yield from itertools.repeat(b"b" * (1 << 20), 28)

    put(runner, f"{folder}/f", b"old")
    sending = threading.Thread(target=lambda: put(runner, f"{folder}/f", body()))
    sending.start()
    assert halfway.wait(10)
    assert get(runner, f"{folder}/f").content == b"old"
    assert [entry["name"] for entry in entries(runner, folder).json()] == ["f"]
    go_on.set()
    sending.join(30)
    assert (runner.root / folder / "f").stat().st_size == 32 << 20
    assert names_in(runner.root / folder) == ["f"]
    assert _rss(runner) < 70e6


def test_a_writer_that_leaves_changes_nothing(runner, folder):
    put(runner, f"{folder}/f", b"old")

    def body():
        yield b"x" * (1 << 20)
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError):
        put(runner, f"{folder}/f", body())
    until(lambda: names_in(runner.root / folder) == ["f"])
    assert get(runner, f"{folder}/f").content == b"old"


def test_the_body_limit_is_named(start):
    runner = start(limits={"maxFileBytes": 1000})
    for content in (b"x" * 1001, iter([b"x" * 600, b"x" * 600])):
        answer = put(runner, "f", content)
        assert code(answer) == (413, "limit_exceeded")
        assert "maxFileBytes" in answer.json()["detail"]
    assert names_in(runner.root) == []
    assert put(runner, "f", b"x" * 1000).status_code == 200


def test_conditions(runner, folder):
    path = f"{folder}/f"
    assert code(put(runner, path, b"a", if_match="*")) == (412, "precondition_failed")
    first = put(runner, path, b"a", if_none_match="*").headers["etag"]
    assert code(put(runner, path, b"b", if_none_match="*")) == (412, "precondition_failed")
    second = put(runner, path, b"b", if_match=first).headers["etag"]
    assert second != first
    assert code(put(runner, path, b"c", if_match=first)) == (412, "precondition_failed")
    assert put(runner, path, b"c", if_match=f'"x", {second}').status_code == 200
    now = get(runner, path)
    assert now.content == b"c"
    assert get(runner, path, **{"if-none-match": now.headers["etag"]}).status_code == 304


def test_one_of_many_creators_wins(runner, folder):
    answers = []

    def create(number: int) -> None:
        answers.append(put(runner, f"{folder}/f", str(number).encode(), if_none_match="*").status_code)

    threads = [threading.Thread(target=create, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(answers) == [200] + [412] * 7


def test_a_rewritten_script_stays_executable(runner, folder):
    path = runner.root / folder / "run.sh"
    path.write_text("old")
    path.chmod(0o750)
    put(runner, f"{folder}/run.sh", b"new")
    assert path.stat().st_mode & 0o777 == 0o750


def test_stat(runner, folder):
    put(runner, f"{folder}/f", b"abc")
    os.utime(runner.root / folder / "f", ns=(0, 1_700_000_000_123_456_789))
    assert runner.http.get("/v1/fs/stat", params={"path": f"{folder}/f"}).json() == {
        "path": str(runner.root / folder / "f"),
        "entryType": "file",
        "size": 3,
        "modified": "2023-11-14T22:13:20.123456789+00:00",
        "symlink": False,
        "special": False,
    }
    assert runner.http.get("/v1/fs/stat", params={"path": folder}).json()["entryType"] == "directory"
    assert runner.http.get("/v1/fs/stat", params={"path": ""}).json()["path"] == str(runner.root)


def test_entries_tell_kinds_apart(runner, folder):
    here = runner.root / folder
    (here / "sub").mkdir()
    (here / "file").write_text("abc")
    (here / "to-file").symlink_to("file")
    (here / "to-dir").symlink_to("sub")
    (here / "dangling").symlink_to("nowhere")
    (here / "outside").symlink_to("/etc")
    os.mkfifo(here / "fifo")
    listed = {entry["name"]: entry for entry in entries(runner, folder).json()}
    kinds = {name: (one["entryType"], one["symlink"], one["special"]) for name, one in listed.items()}
    assert kinds == {
        "sub": ("directory", False, False),
        "file": ("file", False, False),
        "to-file": ("file", True, False),
        "to-dir": ("directory", True, False),
        "dangling": ("file", True, False),
        "outside": ("file", True, False),
        "fifo": ("file", False, True),
    }
    assert listed["to-file"]["size"] == 3
    assert listed["file"]["path"] == str(here / "file")
    assert set(listed["file"]) >= {"name", "path", "entryType", "size", "modified"}


def test_entries_are_sorted_and_paged(runner, folder):
    here = runner.root / folder
    for name, size in [("b", 3), ("a", 1), ("c", 2)]:
        (here / name).write_bytes(b"x" * size)
    for name in ("z", "y"):
        (here / name).mkdir()

    def names(**query) -> list[str]:
        return [entry["name"] for entry in entries(runner, folder, **query).json()]

    assert names() == ["y", "z", "a", "b", "c"]
    assert names(sort="-name") == ["z", "y", "c", "b", "a"]
    assert names(sort="size")[2:] == ["a", "c", "b"]
    assert names(offset=1, limit=2) == ["z", "a"]
    assert entries(runner, folder, limit=1).headers["x-total-count"] == "5"
    assert code(entries(runner, folder, sort="color")) == (400, "invalid_request")
    assert code(entries(runner, folder, limit="-1")) == (400, "invalid_request")


def test_recursive_entries_do_not_follow_links_and_are_bounded(start):
    runner = start(limits={"maxEntries": 10})
    (runner.root / "a" / "b").mkdir(parents=True)
    (runner.root / "a" / "b" / "f").write_text("")
    (runner.root / "a" / "loop").symlink_to(runner.root)
    answer = entries(runner, "", recursive="true")
    assert [entry["path"].removeprefix(f"{runner.root}/") for entry in answer.json()] == ["a", "a/b", "a/b/f", "a/loop"]
    assert "x-truncated" not in answer.headers
    for number in range(20):
        (runner.root / f"f{number}").write_text("")
    for recursive in ("true", "false"):
        answer = entries(runner, "", recursive=recursive)
        assert (len(answer.json()), answer.headers["x-truncated"]) == (10, "true")


def test_thousands_of_entries(runner, folder):
    for number in range(3000):
        (runner.root / folder / f"{number}").touch()
    started = time.monotonic()
    assert len(entries(runner, folder).json()) == 3000
    assert time.monotonic() - started < 2


def test_mkdir_move_delete(runner, folder):
    def mkdir(path):
        return runner.http.post("/v1/fs/mkdir", params={"path": path})

    def move(**body):
        return runner.http.post(
            "/v1/fs/move", json={key.rstrip("_"): f"{folder}/{value}" for key, value in body.items()}
        )

    def delete(path, **query):
        return runner.http.delete("/v1/fs/entry", params={"path": f"{folder}/{path}", **query})

    here = runner.root / folder
    assert mkdir(f"{folder}/sub/deep").json() == {"path": str(here / "sub" / "deep")}
    assert mkdir(f"{folder}/sub/deep").status_code == 200
    put(runner, f"{folder}/a", b"a")
    put(runner, f"{folder}/b", b"b")
    assert code(mkdir(f"{folder}/a")) == (409, "conflict")
    assert move(from_="a", to="sub/moved").json() == {"from": str(here / "a"), "to": str(here / "sub" / "moved")}
    assert code(move(from_="b", to="sub/moved")) == (400, "invalid_request")
    answer = runner.http.post(
        "/v1/fs/move", json={"from": f"{folder}/b", "to": f"{folder}/sub/moved", "overwrite": True}
    )
    assert answer.status_code == 200
    assert (here / "sub" / "moved").read_bytes() == b"b"
    assert code(move(from_="gone", to="x")) == (404, "not_found")
    assert code(runner.http.post("/v1/fs/move", json={"from": 1})) == (400, "invalid_request")
    assert code(move(from_="sub", to="sub/deep/inside")) == (400, "invalid_request")
    assert code(delete("sub")) == (409, "conflict")
    assert (here / "sub").exists()
    assert delete("sub", recursive="true").json() == {"path": str(here / "sub")}
    assert code(delete("sub")) == (404, "not_found")
    assert names_in(here) == []
    assert mkdir(f"{folder}/empty").status_code == delete("empty").status_code == 200


def test_the_wrong_kind(runner, folder):
    put(runner, f"{folder}/f", b"x")
    os.mkfifo(runner.root / folder / "fifo")
    for answer in (
        get(runner, folder),
        get(runner, f"{folder}/fifo"),
        put(runner, folder, b"x"),
        put(runner, f"{folder}/f/", b"x"),
        put(runner, f"{folder}/f/below", b"x"),
        put(runner, "", b"x"),
        entries(runner, f"{folder}/f"),
        runner.http.get("/v1/fs/file"),
        runner.http.delete("/v1/fs/entry", params={"path": ""}),
        runner.http.delete("/v1/fs/entry", params={"path": folder, "recursive": "perhaps"}),
    ):
        assert code(answer) == (400, "invalid_request")
    for answer in (get(runner, f"{folder}/none"), entries(runner, f"{folder}/none")):
        assert code(answer) == (404, "not_found")
