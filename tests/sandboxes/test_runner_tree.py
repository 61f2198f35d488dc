"""The workspace behind a runner as a tree."""

from __future__ import annotations

import io
import os
import shutil
import tracemalloc
from dataclasses import replace

import pytest

from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets.errors import TransportError
from session_widgets.host.manifest import Entry, Occupied, md5
from session_widgets.model import Endpoint
from session_widgets.workspaces.file_tree import BulkTree
from tests.support.runner import TOKEN, RunnerProcess
from tests.support.waiting import until
from tests.workspaces.of_file_tree import *  # noqa: F403

NS = 1_700_000_000_123_456_789


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    started = RunnerProcess(tmp_path_factory.mktemp("runner"))
    yield started
    started.stop()
    assert "Traceback" not in started.log.read_text()


@pytest.fixture
def root(runner):
    for path in runner.root.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return runner.root


@pytest.fixture
def tree(runner, root):
    tree = RunnerTree(Endpoint(runner.url, {"authorization": f"Bearer {TOKEN}"}), str(root), 7)
    yield tree
    tree.close()


def test_it_is_at_a_distance(tree):
    assert isinstance(tree, BulkTree)


del test_an_unchanged_file_is_not_hashed_again  # noqa: F821 - a runner remembers its own hashes


def items(count):
    for number in range(count):
        kind = "link" if number % 10 == 9 else "file"
        entry = Entry(f"d{number % 7}/f\N{SNOWMAN}{number}", kind, 0, 0o600 + number % 2 * 0o100, NS + number, "")
        yield entry, io.BytesIO(b"content %d" % number), None


def test_many_go_in_and_come_out_with_everything_that_they_have(tree, root):
    count = 2_345  # more than one request
    results = list(tree.write_many(items(count)))
    assert all(isinstance(result, Entry) for result in results)
    manifest = tree.manifest({})
    assert len(manifest.entries) == count
    for number, (entry, body, _) in enumerate(items(count)):
        found = manifest.entries[entry.path]
        assert (found.kind, found.size, found.md5) == (entry.kind, len(body.read()), results[number].md5)
        if entry.kind == "file":
            assert (found.mode, found.mtime_ns) == (entry.mode, entry.mtime_ns)
            assert replace(found, stamp="") == replace(results[number], stamp="")
    out = {entry.path: body.read(100) for entry, body in tree.read_many(list(manifest.entries.values()))}
    assert out == {entry.path: body.read() for entry, body, _ in items(count)}


def test_one_that_is_in_the_way_stops_no_other(tree, root):
    (root / "d1").write_text("a file where a folder is needed")
    results = list(tree.write_many(items(20)))
    assert [number for number, result in enumerate(results) if isinstance(result, Occupied)] == [1, 8, 15]
    assert len(tree.manifest({}).entries) == 18


def test_entries_that_changed_since_they_were_listed_are_left_out(tree, root):
    for name in ("same", "longer", "gone", "link"):
        (root / name).write_text("12345")
    entries = list(tree.manifest({}).entries.values())
    (root / "longer").write_text("123456")
    (root / "gone").unlink()
    (root / "link").unlink()
    (root / "link").symlink_to("12345")
    assert [entry.path for entry, _ in tree.read_many(entries)] == ["same"]


@pytest.mark.parametrize("announced", [0, 5 << 20])
def test_a_large_content_needs_no_size_and_little_memory(tree, root, announced):
    data = os.urandom(5 << 20)
    entry = Entry("big", "file", announced, 0o644, NS, "")
    tracemalloc.start()
    try:
        written = tree.write(entry, io.BytesIO(data), None)
        with tree.read(written) as body:
            digest = md5()
            while piece := body.read(1 << 16):
                digest.update(piece)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert (root / "big").read_bytes() == data
    assert digest.hexdigest() == written.md5


def test_a_content_without_its_announced_size_is_not_written(tree, root):
    for announced in (3 << 20, 1 << 30):
        with pytest.raises(OSError, match="announced"):
            tree.write(Entry("big", "file", announced, 0o644, NS, ""), io.BytesIO(bytes(4 << 20)), None)
    until(lambda: list(root.iterdir()) == [], what="the end of both")


async def test_a_transfer_that_breaks_goes_on_where_it_was(start_again):
    """The runner is killed in the middle: what arrived is listed by the next one, and only the rest is sent."""
    tree, kill = start_again()

    def breaking():
        for number, item in enumerate(items(1_500)):
            if number == 1_200:
                kill()
            yield item

    arrived = []
    with pytest.raises(TransportError):
        arrived += tree.write_many(breaking())
    tree, _ = start_again()
    there = tree.manifest({}).entries
    assert 1_000 <= len(there) < 1_500
    rest = [item for item in items(1_500) if item[0].path not in there]
    assert not any(isinstance(result, Occupied) for result in tree.write_many(rest))
    assert len(tree.manifest({}).entries) == 1_500


@pytest.fixture
def start_again(tmp_path):
    started = []

    def start():
        runner = RunnerProcess(tmp_path / "again")
        tree = RunnerTree(Endpoint(runner.url, {"authorization": f"Bearer {TOKEN}"}), str(runner.root), 7)
        started.append((runner, tree))
        return tree, runner.process.kill

    yield start
    for runner, tree in started:
        tree.close()
        runner.stop()
