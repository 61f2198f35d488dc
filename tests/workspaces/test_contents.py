"""Contents of a directory: exact, kept once, through no link."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from session_widgets.errors import FilesNotKept, WorkspaceError
from session_widgets.host.manifest import Entry, scan
from session_widgets.workspaces.contents import keep_snapshot
from session_widgets.workspaces.directory_contents import DirectoryContents
from session_widgets.workspaces.snapshot import KeptEntry, Snapshot, name_of


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def contents(tmp_path: Path, source: Path) -> DirectoryContents:
    return DirectoryContents(tmp_path / "contents" / "s", source)


def never() -> bool:
    return False


def entry(source: Path, path: str) -> Entry:
    return scan(source).entries[path]


def held(contents: DirectoryContents) -> list[str]:
    return sorted(path.name for path in contents.place.iterdir() if path.name != "lock")


def test_a_file_that_was_replaced_since_it_was_listed_is_left_out(source, contents, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    names = ("edited", "lengthened", "linked", "piped", "gone", "folder", "kept", "sub/below")
    for name in names:
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("secre")
    listed = [replace(entry(source, name), size=5) for name in names]
    (source / "edited").write_text("SECRE")
    (source / "lengthened").write_text("secret")
    for name in ("linked", "piped", "gone", "folder"):
        (source / name).unlink()
    (source / "linked").symlink_to(secret)
    os.mkfifo(source / "piped")
    (source / "folder").mkdir()
    (source / "sub/below").unlink()
    (source / "sub").rmdir()
    (source / "sub").symlink_to(tmp_path)
    (tmp_path / "below").write_text("secre")
    failed = contents.keep(listed, never)
    assert failed == dict.fromkeys(set(names) - {"kept"}, "changed")
    assert held(contents) == [name_of(b"secre")]


def test_links_are_kept_as_links(source, contents):
    (source / "link").symlink_to("/etc/passwd")
    name, snapshot = keep_snapshot(contents, scan(source), never)
    assert snapshot.entries["link"].kind == "link"
    assert contents.read(snapshot.entries["link"].name) == b"/etc/passwd"
    (source / "link").unlink()
    (source / "link").symlink_to("/etc/shadow")
    assert contents.keep([Entry("link", "link", 11, 0o777, 0, "0" * 32)], never) == {"link": "changed"}
    assert Snapshot.decode(contents.read(name)) == snapshot


def test_equal_contents_are_kept_once_and_an_unchanged_tree_writes_nothing(source, contents, monkeypatch):
    for name in ("a", "b"):
        (source / name).write_text("same")
    first, _ = keep_snapshot(contents, scan(source), never)
    assert len(held(contents)) == 2
    monkeypatch.setattr(DirectoryContents, "_write", None)
    assert keep_snapshot(contents, scan(source), never)[0] == first


def test_late_files_are_left_out_and_kept_the_next_time(source, contents):
    for name in ("a", "b", "c"):
        (source / name).write_text(name)
    asked = iter([False, True, True])
    _, snapshot = keep_snapshot(contents, scan(source), lambda: next(asked))
    assert (len(snapshot.entries), list(snapshot.left_out.values())) == (1, ["late", "late"])
    assert len(keep_snapshot(contents, scan(source), never)[1].entries) == 3


def test_processes_see_each_others_changes(source, contents):
    other = DirectoryContents(contents.place, source)
    name = contents.put(b"data")
    assert name in other.names()
    other.delete([name])
    assert name not in contents.names()
    assert contents.put(b"data") == name
    assert other.read(name) == b"data"


def test_what_a_killed_process_has_left_is_removed_and_never_read(source, contents):
    contents.put(b"data")
    (contents.place / "0123.partial").write_bytes(b"da")
    cut = contents.place / name_of(b"complete")
    cut.write_bytes(b"comp")
    again = DirectoryContents(contents.place, source)
    assert list(again.names()) == [name_of(b"data")]
    again.put(b"complete")
    assert held(again) == sorted([name_of(b"data"), name_of(b"complete")])


def test_names_of_a_damaged_list_lead_nowhere(contents, tmp_path):
    contents.put(b"data")
    (tmp_path / "outside").write_bytes(b"x")
    for name in ("../../outside", "lock", "", f"{'0' * 32}-1/../lock"):
        with pytest.raises(FilesNotKept):
            contents.read(name)


@pytest.mark.parametrize("code", [0, errno.EXDEV, errno.EMLINK])
def test_contents_of_another_session(source, contents, tmp_path, monkeypatch, code):
    name = contents.put(b"data")
    other = DirectoryContents(tmp_path / "contents" / "t", source)

    def refuse(*_: object) -> None:
        raise OSError(code, "no")

    if code:
        monkeypatch.setattr(os, "link", refuse)
    other.link(contents, [name, name_of(b"missing")])
    assert held(other) == [name]
    contents.remove()
    assert other.read(name) == b"data"
    assert held(other) == [name]


def test_a_full_disk_is_named(source, contents, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (source / "a").write_text("a")
    monkeypatch.setattr(DirectoryContents, "_write", full)
    with pytest.raises(WorkspaceError, match="No space left") as raised:
        keep_snapshot(contents, scan(source), never)
    assert raised.value.reason == "disk"


def test_a_snapshot_is_read_as_it_was_written():
    entries = {path: KeptEntry(path, "file", 1, 0o644, "0" * 32) for path in ("a", "new\nline", "\u202e", "ü", "a/b c")}
    snapshot = Snapshot(entries | {"d": KeptEntry("d", "directory", 0, 0o755, "")}, {"x": "large", "\ufffd": "name"})
    assert Snapshot.decode(snapshot.encode()) == snapshot
    assert snapshot.encode() == Snapshot(dict(reversed(snapshot.entries.items())), snapshot.left_out).encode()
    assert list(snapshot.names) == ["0" * 32 + "-1"] * 5
