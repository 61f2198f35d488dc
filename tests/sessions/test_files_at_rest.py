"""The files of a session in a plain directory: no sandbox is started to read or to change them."""

import os
import stat

import pytest

from session_widgets.errors import BadPath, LimitExceeded, NotFound
from session_widgets.workspaces import directory_files


def never_started(session):
    return session._controller.state.record.sandbox_ref is None and session._controller.sandboxes.sandbox is None


def test_files_are_written_and_read_before_any_sandbox(open_session, tmp_path):
    session = open_session(permissions="allow_all")
    files = session.files
    assert files.list() == []
    assert files.stat("").type == "directory"
    with pytest.raises(NotFound, match=r"no such file or directory: a\.txt"):
        files.read_bytes("a.txt")
    files.write("src/a.txt", "hello")
    assert files.read_text("src/a.txt") == "hello"
    assert [info.path for info in files.list(recursive=True)] == ["src", "src/a.txt"]
    (tmp_path / "local").write_text("up")
    files.upload(tmp_path / "local", "up.txt")
    assert files.download("up.txt", tmp_path / "down").read_text() == "up"
    assert files.zip(tmp_path / "all.zip").stat().st_size > 0
    files.mkdir("a/b")
    files.move("up.txt", "a/b/up.txt")
    files.delete("a", recursive=True)
    assert session.status == "new"
    assert never_started(session)
    assert stat.S_IMODE(session.workspace.stat().st_mode) == 0o700
    session.send("run cat src/a.txt > seen")
    assert files.read_text("seen") == "hello"
    assert [info.path for info in files.list() if info.path != ".harness"] == ["src", "seen"]


@pytest.fixture
def session(open_session):
    session = open_session()
    session.files.write("src/a.txt", "hello\n")
    session.files.write("z.txt", "z\n")
    yield session
    assert never_started(session)


def test_entries_are_described(session):
    files = session.files
    assert [(info.path, info.type, info.size) for info in files.list("src")] == [("src/a.txt", "file", 6)]
    assert [info.path for info in files.list()] == ["src", "z.txt"]
    assert files.stat("src").type == "directory"
    assert files.read_bytes("src/a.txt", 1, 3) == b"ell"


def test_links_are_followed_inside_and_never_out(session, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("hidden")
    place, files = session.workspace, session.files
    (place / "out").symlink_to(secret)
    (place / "key").symlink_to(secret / "key")
    (place / "inside").symlink_to("src/a.txt")
    os.mkfifo(place / "pipe")
    assert {info.path: info.type for info in files.list() if info.path not in {"src", "z.txt"}} == {
        "out": "symlink",
        "key": "symlink",
        "inside": "symlink",
        "pipe": "other",
    }
    assert files.read_text("inside") == "hello\n"
    assert files.stat("inside").size == 6
    files.write("inside", "changed")
    assert (files.read_text("src/a.txt"), (place / "inside").is_symlink()) == ("changed", True)
    for path in ("out", "z.txt"):
        with pytest.raises(BadPath):
            files.list(path)
    for path in ("key", "out/key", "src", "pipe"):
        with pytest.raises(BadPath):
            files.read_bytes(path)
        with pytest.raises(BadPath):
            files.write(path, "taken over")
        with pytest.raises(BadPath):
            files.download(path, tmp_path / "down")
    for path in ("key", "out/key", "out"):
        with pytest.raises(BadPath):
            files.stat(path)
    for attempt in (
        lambda: files.mkdir("out/new"),
        lambda: files.move("z.txt", "out/z.txt"),
        lambda: files.delete("out/key"),
    ):
        with pytest.raises(BadPath):
            attempt()
    files.delete("out")
    files.delete("key")
    assert [(path.name, path.read_text()) for path in secret.iterdir()] == [("key", "hidden")]


def test_a_link_that_is_swapped_in_while_a_file_is_written_leads_nowhere(session, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    mode_of = directory_files._mode

    def swap(place):
        mode = mode_of(place)
        (session.workspace / "src").rename(session.workspace / "old")
        (session.workspace / "src").symlink_to(outside)
        return mode

    monkeypatch.setattr(directory_files, "_mode", swap)
    with pytest.raises(BadPath, match="another program"):
        session.files.write("src/a.txt", "x")
    assert list(outside.iterdir()) == []


def test_names_that_are_no_text_are_shown(session):
    (session.workspace / os.fsdecode(b"not\xffutf8")).write_text("x")
    assert "not\ufffdutf8" in [info.path for info in session.files.list()]


def test_a_written_file_keeps_its_mode_and_gets_the_owner_of_the_directory(session):
    script = session.workspace / "z.txt"
    script.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(session.workspace, 1000, 1000)
    session.files.write("z.txt", "new")
    session.files.write("new/folder/file", "new")
    session.files.mkdir("another/one")
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    owner = session.workspace.stat()
    for path in ("z.txt", "new", "new/folder", "new/folder/file", "another", "another/one"):
        info = (session.workspace / path).stat()
        assert (info.st_uid, info.st_gid) == (owner.st_uid, owner.st_gid), path


def test_bounds_are_named(session, monkeypatch):
    os.truncate(session.workspace / "z.txt", 4 << 30)
    with pytest.raises(LimitExceeded, match="length="):
        session.files.read_bytes("z.txt")
    assert session.files.read_bytes("z.txt", (4 << 30) - 2, 10) == b"\0\0"
    monkeypatch.setattr(directory_files, "MAX_ENTRIES", 1)
    with pytest.raises(LimitExceeded, match="one by one"):
        session.files.list()


def test_a_parked_session_stays_parked(open_session):
    session = open_session()
    session.send("write src/a.txt <<EOT\nhello\nEOT")
    session.park()
    assert session.files.read_text("src/a.txt") == "hello\n"
    session.files.write("src/b.txt", "b")
    assert session.status == "parked"
