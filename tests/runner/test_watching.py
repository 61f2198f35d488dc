"""Snapshots and watches of a runner: what changed in a directory."""

from __future__ import annotations

import json
import os

from tests.runner.problems import code
from tests.support.waiting import until


def test_snapshots_tell_what_changed(runner, folder):
    here = runner.root / folder
    for name in ("same", "edited", "touched", "deleted"):
        (here / name).write_text("1")
    for skipped in (".git", "node_modules", "__pycache__", ".venv", ".harness"):
        (here / skipped).mkdir()
    url = f"/v1/fs/snapshots/{folder}"
    assert runner.http.get(f"{url}/changes").status_code == 404
    assert runner.http.put(url).json()["truncated"] is False
    assert runner.http.get(f"{url}/changes").json() == {"changes": [], "truncated": False}
    (here / "edited").write_text("22")
    os.utime(here / "touched", ns=(1, 1))
    (here / "deleted").unlink()
    (here / "sub").mkdir()
    (here / "sub" / "new").write_text("333")
    (here / ".git" / "index").write_text("x")
    expected = [
        {"path": str(here / "deleted"), "change": "deleted", "size": None},
        {"path": str(here / "edited"), "change": "modified", "size": 2},
        {"path": str(here / "sub" / "new"), "change": "created", "size": 3},
        {"path": str(here / "touched"), "change": "modified", "size": 1},
    ]
    assert runner.http.get(f"{url}/changes").json() == {"changes": expected, "truncated": False}
    assert runner.http.delete(url).status_code == runner.http.delete(url).status_code == 204
    assert runner.http.get(f"{url}/changes").status_code == 404
    assert code(runner.http.put("/v1/fs/snapshots/%2e%2e")) == (400, "invalid_request")


def test_a_replaced_file_of_the_same_size_and_time_is_a_change(runner, folder):
    path = runner.root / folder / "f"
    path.write_text("1")
    info = path.stat()
    runner.http.put(f"/v1/fs/snapshots/{folder}")
    other = path.with_name("other")
    other.write_text("2")
    os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
    other.rename(path)
    (change,) = runner.http.get(f"/v1/fs/snapshots/{folder}/changes").json()["changes"]
    assert change == {"path": str(path), "change": "modified", "size": 1}


def test_snapshots_are_bounded_and_few(start):
    runner = start(limits={"maxSnapshotFiles": 10, "maxSnapshots": 2})
    for number in range(9):
        (runner.root / f"{number}").touch()
    for number in range(20):
        assert runner.http.put(f"/v1/fs/snapshots/s{number}").json() == {"files": 9, "truncated": False}
    assert len(list((runner.state / "snapshots").iterdir())) == 2
    for number in range(9, 20):
        (runner.root / f"{number}").touch()
    assert runner.http.get("/v1/fs/snapshots/s19/changes").json()["truncated"] is True


def test_watch(runner, folder):
    here = runner.root / folder
    (here / "old").write_text("1")
    with runner.stream(f"/v1/fs/watch?path={folder}") as stream:
        event, _, data = next(stream)
        assert (event, json.loads(data)["path"]) == ("ready", str(here))
        (here / "sub").mkdir()
        (here / "sub" / "new").write_text("22")
        (here / "old").unlink()
        (here / ".git").mkdir()
        (here / ".git" / "index").write_text("1")
        changes: dict[str, str] = {}
        while len(changes) < 2:
            event, _, data = next(stream)
            assert event == "changes"
            changes |= {one["path"]: one["change"] for one in json.loads(data)["changes"]}
    assert changes == {str(here / "sub" / "new"): "created", str(here / "old"): "deleted"}
    assert runner.http.get("/v1/fs/watch?path=none").status_code == 404


def test_watches_are_bounded_and_given_back(start):
    runner = start(limits={"maxWatches": 1})
    with runner.stream("/v1/fs/watch") as stream:
        next(stream)
        assert code(runner.http.get("/v1/fs/watch")) == (409, "limit_exceeded")

    def again() -> bool:
        with runner.http.stream("GET", "/v1/fs/watch") as answer:
            return answer.status_code == 200

    until(again)
