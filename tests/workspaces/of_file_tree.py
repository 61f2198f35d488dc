"""What every `FileTree` does. The fixtures: `tree`, empty, and `root`, its directory as this process sees it."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from io import BytesIO

import pytest

from session_widgets.host.manifest import Entry, Occupied, md5
from tests.support.waiting import until

NS = 1_700_000_000_123_456_789


def file(path, *, mode=0o644, mtime_ns=NS, kind="file"):
    return Entry(path, kind, 0, mode, mtime_ns, "")


def put(tree, path, data=b"data", seen=None, **more):
    return tree.write(file(path, **more), BytesIO(data), seen)


def content(tree, entry):
    with tree.read(entry) as body:
        return b"".join(iter(lambda: body.read(1000), b""))


def test_a_written_file_is_in_the_manifest_with_content_mode_and_time(tree):
    entry = put(tree, "a/ünï \n/run.sh", b"echo", mode=0o755)
    assert (entry.size, entry.mode, entry.mtime_ns, entry.md5) == (4, 0o755, NS, md5(b"echo").hexdigest())
    (found,) = tree.manifest({}).entries.values()
    assert (found.path, found.kind, found.size, found.mode, found.mtime_ns, found.md5) == (
        "a/ünï \n/run.sh",
        "file",
        4,
        0o755,
        NS,
        entry.md5,
    )
    assert content(tree, found) == b"echo"


def test_a_link_keeps_its_target_as_written_and_is_never_followed(tree, root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    entry = put(tree, "folder", os.fsencode(outside), kind="link")
    assert (entry.kind, entry.md5) == ("link", md5(os.fsencode(outside)).hexdigest())
    assert content(tree, tree.manifest({}).entries["folder"]) == os.fsencode(outside)
    with pytest.raises(Occupied):
        put(tree, "folder/new")
    with pytest.raises((Occupied, OSError)):
        content(tree, file("folder/secret"))
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_empty_directories_are_entries_and_can_become_files(tree):
    tree.mkdir("a/b")
    tree.mkdir("a/b")
    assert [(e.path, e.kind) for e in tree.manifest({}).entries.values()] == [("a/b", "directory")]
    put(tree, "a/b", b"file", seen=Entry("a/b", "directory", 0, 0o755, 0, ""))
    assert tree.manifest({}).entries["a/b"].kind == "file"
    with pytest.raises(Occupied):
        tree.mkdir("a/b/c")


def test_only_what_was_seen_is_replaced_or_deleted(tree):
    first = put(tree, "a", b"1")
    with pytest.raises(Occupied):
        put(tree, "a", b"2")  # nothing was seen
    second = put(tree, "a", b"22", seen=first, mtime_ns=NS + 1)
    with pytest.raises(Occupied):
        put(tree, "a", b"3", seen=first)
    with pytest.raises(Occupied):
        tree.delete("a", first)
    with pytest.raises(Occupied):
        tree.delete("a", None)
    assert content(tree, second) == b"22"
    tree.delete("a", second)
    tree.delete("a", second)  # nothing is there
    assert tree.manifest({}).entries == {}
    assert put(tree, "a", b"3", seen=second).size == 1


def test_a_deletion_takes_the_folders_that_become_empty_and_no_other(tree):
    one = put(tree, "a/b/c/one")
    put(tree, "a/two")
    with pytest.raises(Occupied):
        tree.delete("a", Entry("a", "directory", 0, 0o755, 0, ""))
    tree.delete("a/b/c/one", one)
    assert set(tree.manifest({}).entries) == {"a/two"}


def test_a_body_that_breaks_leaves_nothing(tree, root):
    class Breaks:
        def __init__(self):
            self.pieces = [b"half"]

        def read(self, size, /):
            if not self.pieces:
                raise OSError("gone")
            return self.pieces.pop()

    with pytest.raises(OSError, match="gone"):
        tree.write(file("a"), Breaks(), None)
    assert tree.manifest({}).entries == {}
    assert [path for path in root.iterdir() if path.is_file()] == []


def test_an_unchanged_file_is_not_hashed_again(tree):
    put(tree, "a", b"same")
    found = until(lambda: (e := tree.manifest({}).entries["a"]).stamp and e, what="a file that has settled")
    known = {"a": replace(found, md5="0" * 32)}
    assert tree.manifest(known).entries["a"].md5 == "0" * 32
    tree.write(file("a", mtime_ns=NS + 1), BytesIO(b"new!"), found)
    assert tree.manifest(known).entries["a"].md5 == md5(b"new!").hexdigest()


def test_what_is_gone_cannot_be_read(tree):
    with pytest.raises((OSError, Occupied)):
        content(tree, file("missing"))


def test_modes_have_no_bits_of_another_user(tree, root):
    put(tree, "a", mode=0o4755)
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o755


__all__ = [name for name in globals() if name.startswith("test_")]
