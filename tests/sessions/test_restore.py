"""Files are put back as they were, and that can be undone."""

from __future__ import annotations

import os
import signal

import pytest

import session_widgets as sw
from session_widgets.errors import BadPath, BadValue, NotFound, SessionBusy
from tests.support.forked import Forked

WRITE = "write {0} <<EOT\n{1}\nEOT"


def tree(session):
    """Every entry of the workspace but the agent's memory: kind, mode and content."""
    found = {}
    for path in sorted(session.workspace.rglob("*")):
        name = str(path.relative_to(session.workspace))
        if name.startswith(".harness"):
            continue
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            found[name] = "directory"
        else:
            found[name] = (path.stat().st_mode & 0o777, path.read_bytes())
    return found


@pytest.fixture
def changed(open_session):
    """A session whose second turn changed every kind of entry in every way."""
    session = open_session()
    root = session.workspace
    session.send("say begun")
    (root / "kept").write_text("kept")
    (root / "edited").write_text("before")
    (root / "removed").write_bytes(b"\xff\0")
    (root / "program").write_text("#!/bin/sh")
    (root / "program").chmod(0o755)
    (root / "folder/deep").mkdir(parents=True)
    (root / "folder/deep/file").write_text("deep")
    (root / "becomes a folder").write_text("file")
    (root / "empty").mkdir()
    (root / "link").symlink_to("/etc/passwd")
    first = session.send("say one"), tree(session)
    second = session.send(
        "run echo after > edited; rm removed; chmod 600 program; rm -r folder; echo f > folder; rm 'becomes a folder';"
        " mkdir -p 'becomes a folder/below'; echo b > 'becomes a folder/below/file'; rmdir empty; echo e > empty;"
        " ln -sfn /etc/shadow link; mkdir -p new/er; echo n > new/er/file; mkdir node_modules; echo c > node_modules/c"
    )
    return session, first, (second, tree(session))


def test_everything_is_as_it_was_and_again_as_before(changed):
    session, (first, before), (_, after) = changed
    memory = sorted(path.read_bytes() for path in (session.workspace / ".harness").rglob("*") if path.is_file())
    done = session.restore(first)
    cache = {"node_modules": "directory", "node_modules/c": after["node_modules/c"]}
    assert tree(session) == before | cache
    assert set(done.created) == {"removed", "folder/deep/file", "becomes a folder"}
    assert {"edited", "program", "link", "empty"} <= set(done.modified)
    assert {"folder", "new/er/file", "becomes a folder/below/file"} <= set(done.deleted)
    assert done.failed == ()
    assert "undo it with session.restore(restored.previous)" in repr(done)
    undone = session.restore(done.previous)
    assert tree(session) == after
    assert len(undone) == len(done)
    assert sorted(p.read_bytes() for p in (session.workspace / ".harness").rglob("*") if p.is_file()) == memory
    assert session.send("remember").text.startswith("3 earlier turns")
    assert [files.when for files in session.snapshots] == [
        *(f"the end of turn {n}" for n in (1, 2, 3)),
        *["the time before a restore"] * 2,
        "the end of turn 4",
    ]


def test_one_file_or_folder(changed):
    session, (first, before), (_, after) = changed
    done = session.restore(first, "edited")
    assert (done.created, done.modified, done.deleted) == ((), ("edited",), ())
    assert tree(session) == after | {"edited": before["edited"]}
    assert session.restore(first, "new").deleted == ("new/er/file",)
    assert not (session.workspace / "new").exists()
    done = session.restore(first, "folder/deep")
    assert done.failed == ("folder/deep/file",), "a file is in the way"
    with pytest.raises(NotFound):
        session.restore(first, "never")
    with pytest.raises(BadPath):
        session.restore(first, "../x")
    with pytest.raises(BadValue):
        session.restore(1)


def test_a_file_that_cannot_be_kept_is_not_lost(open_session):
    session = open_session()
    first = session.send(WRITE.format("big", "small"))
    session.send("run head -c 70000000 /dev/zero > big; head -c 70000000 /dev/zero > other")
    done = session.restore(first)
    assert done.failed == ("big", "other")
    assert {(session.workspace / name).stat().st_size for name in ("big", "other")} == {70_000_000}


def test_a_file_that_was_not_kept_before_stays(open_session, monkeypatch):
    session = open_session()
    first = session.send(f"{WRITE.format('a', 'one')}\n{WRITE.format('b', 'one')}")
    assert len(first.files_at_end) == 2
    for name in ("a", "b", "c"):
        (session.workspace / name).write_text("two")
    (session.workspace / "a").write_text("changes all the time")
    contents = session._controller.snapshots.contents
    keep = contents.keep

    def partly(entries, is_late):
        return keep([one for one in entries if one.path != "a"], is_late) | {"a": "changed"}

    monkeypatch.setattr(contents, "keep", partly)
    done = session.restore(first)
    assert (done.modified, done.deleted, done.failed) == (("b",), ("c",), ("a",))
    assert (session.workspace / "a").read_text() == "changes all the time"


def test_no_link_is_followed(open_session, tmp_path):
    session = open_session()
    outside = tmp_path / "outside"
    outside.mkdir()
    first = session.send("run mkdir a; echo x > a/b")
    session.send(f"run rm -r a; ln -s '{outside}' a")
    done = session.restore(first)
    assert done.failed == ()
    assert list(outside.iterdir()) == []
    assert (session.workspace / "a/b").read_text() == "x\n"


def test_not_while_a_turn_runs_and_without_waking_a_parked_session(open_session):
    session = open_session()
    first = session.send(WRITE.format("a", "a"))
    running = session.start("run sleep 30")
    with pytest.raises(SessionBusy):
        session.restore(first)
    session.cancel()
    assert running.wait(10).status == "cancelled"
    session.park()
    (session.workspace / "a").unlink()
    assert session.restore(first).created == ("a",)
    assert session.status == "parked"


LIFE = """
import os
import session_widgets as sw
from session_widgets.host.host_tree import HostTree

def dying(write):
    def work(tree, entry, *args):
        if entry.path == "b":
            os.kill(os.getpid(), 9)
        return write(tree, entry, *args)
    return work

HostTree.write = dying(HostTree.write)
session = sw.open_session("s1", permissions="allow_all")
session.restore(session.turns[0])
"""


def test_a_kernel_killed_in_the_middle_loses_nothing(open_session, home, forked: Forked):
    session = open_session()
    session.send("run echo 1 > a; echo 1 > b; echo 1 > c")
    session.send("run echo 2 > a; echo 2 > b; rm c; echo 2 > d")
    after = tree(session)
    session.detach()
    done = forked.python(LIFE, env=os.environ | {"SESSION_WIDGETS_HOME": str(home)})
    assert done.returncode == -signal.SIGKILL, done.stderr
    session = sw.open_session("s1")
    session.attach()
    assert tree(session) != after
    session.restore(session.snapshots[-1])
    assert tree(session) == after
