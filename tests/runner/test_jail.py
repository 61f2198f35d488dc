"""Nothing outside the workspace is read, written or told."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from session_widgets.runner.jail import Jail
from session_widgets.runner.problems import Problem
from tests.support.descriptors import opened_below
from tests.support.runner import RunnerProcess, names_in

SECRET = "the secret"


@pytest.fixture(scope="module")
def walls(runner: RunnerProcess) -> Path:
    """A workspace full of ways out, and the secret outside that none of them may reach."""
    outside = runner.directory / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    root = runner.root
    (root / "in").mkdir()
    (root / "in" / "file").write_text("inside")
    links = {
        "absolute-file": outside / "secret",
        "absolute-dir": outside,
        "relative-dir": "../outside",
        "deep": "in/../../outside",
        "sly": f"{root}/../outside",
        "chain": "absolute-dir",
        "root": "/",
        "proc": "/proc/self/root",
        "loop": "loop",
        "sibling": f"{root}-2",
        "good-file": "in/file",
        "good-absolute": root / "in",
        "good-up": "in/../in",
        "good-dangling": "in/new",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    Path(f"{root}-2").mkdir()
    (Path(f"{root}-2") / "secret").write_text(SECRET)
    return outside


ESCAPES = [
    "../outside/secret",
    "in/../../outside/secret",
    "..",
    "/etc/passwd",
    "/",
    "//etc/passwd",
    "OUTSIDE/secret",
    "ROOT/../outside/secret",
    "ROOT-2/secret",
    "absolute-file",
    "absolute-dir/secret",
    "relative-dir/secret",
    "deep/secret",
    "sly/secret",
    "chain/secret",
    "root/etc/passwd",
    "proc/etc/passwd",
    "sibling/secret",
    "loop",
    "loop/x",
    "a\0b",
    "x" * 5000,
    "y" * 300,
]


@pytest.mark.parametrize("path", ESCAPES)
def test_no_way_out(runner, walls, path):
    path = path.replace("OUTSIDE", str(walls)).replace("ROOT", str(runner.root))
    http = runner.http
    before = names_in(walls)
    query = {"path": path}
    answers = [
        http.get("/v1/fs/file", params=query),
        http.get("/v1/fs/stat", params=query),
        http.get("/v1/fs/entries", params=query),
        http.put("/v1/fs/file", params=query, content=b"overwritten"),
        http.post("/v1/fs/mkdir", params={"path": f"{path}/made"}),
        http.post("/v1/fs/move", json={"from": f"{path}/x", "to": "stolen"}),
        http.post("/v1/fs/move", json={"from": "in/file", "to": f"{path}/x"}),
        http.delete("/v1/fs/entry", params={"path": f"{path}/x"}),
        http.get("/v1/fs/watch", params=query),
    ]
    for answer in answers:
        assert answer.status_code in (400, 403), (answer.request.url, answer.text)
        assert SECRET not in answer.text
        assert answer.json()["type"].split(":")[-1] in ("invalid_request", "permission_denied")
    assert names_in(walls) == before
    assert (walls / "secret").read_text() == SECRET
    assert (runner.root / "in" / "file").read_text() == "inside"


def test_the_link_itself_can_be_deleted_and_moved(runner, walls):
    (runner.root / "doomed").symlink_to(walls)
    assert runner.http.post("/v1/fs/move", json={"from": "doomed", "to": "moved"}).status_code == 200
    assert runner.http.delete("/v1/fs/entry", params={"path": "moved", "recursive": "true"}).status_code == 200
    assert (walls / "secret").read_text() == SECRET
    assert not (runner.root / "moved").is_symlink()


def test_a_recursive_delete_stops_at_links(runner, walls):
    (runner.root / "tree").mkdir()
    (runner.root / "tree" / "out").symlink_to(walls)
    assert runner.http.delete("/v1/fs/entry", params={"path": "tree", "recursive": "true"}).status_code == 200
    assert (walls / "secret").read_text() == SECRET


@pytest.mark.parametrize("path", ["good-file", "good-absolute/file", "good-up/file"])
def test_links_that_stay_inside_are_followed(runner, walls, path):
    assert runner.http.get("/v1/fs/file", params={"path": path}).text == "inside"


def test_writing_through_a_link_keeps_the_link(runner, walls):
    for name in ("good-file", "good-dangling"):
        assert runner.http.put("/v1/fs/file", params={"path": name}, content=b"inside").status_code == 200
        assert (runner.root / name).is_symlink()
    assert (runner.root / "in" / "new").read_text() == "inside"


def test_a_root_that_is_a_link_itself(start, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    runner = start(root=str(tmp_path / "link"))
    for path in ("f", str(tmp_path / "link" / "f"), str(tmp_path / "real" / "f")):
        answer = runner.http.get("/v1/fs/stat", params={"path": path})
        assert answer.json()["path"] == str(tmp_path / "link" / "f")


def test_a_directory_that_becomes_a_link_meanwhile(tmp_path):
    """A thousand looks while the way is swapped back and forth: the secret never comes out."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for directory in (root / "real", outside):
        directory.mkdir(parents=True)
    (root / "real" / "f").write_text("inside")
    (outside / "f").write_text(SECRET)
    (root / "real").rename(root / "way")
    (root / "link").symlink_to(outside)
    swapping = threading.Event()

    def swap() -> None:
        while not swapping.is_set():
            (root / "way").rename(root / "aside")
            (root / "link").rename(root / "way")
            (root / "way").rename(root / "link")
            (root / "aside").rename(root / "way")

    thread = threading.Thread(target=swap)
    thread.start()
    jail = Jail(root)
    seen: set[str] = set()
    try:
        for _ in range(3000):
            try:
                with jail.locate("way/f") as place:
                    fd, _ = place.open_file()
                    seen.add(os.read(fd, 100).decode())
                    os.close(fd)
            except Problem as problem:
                seen.add(problem.code)
    finally:
        swapping.set()
        thread.join()
    assert SECRET not in seen
    assert "inside" in seen
    assert "permission_denied" in seen


def test_no_descriptor_is_left_open(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "out").symlink_to("/")
    jail = Jail(tmp_path)
    before = opened_below(tmp_path)
    for path in ("a/b/c", "a/none/c", "out/etc", "a/b", ""):
        for _ in range(50):
            try:
                with jail.locate(path):
                    pass
            except Problem:
                continue
    assert opened_below(tmp_path) == before
