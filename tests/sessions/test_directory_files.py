"""A parked session's directory: its entries, through no link, and without starting a sandbox."""

import os

import pytest

from session_widgets.errors import BadPath, NotFound


@pytest.fixture
def parked(open_session):
    session = open_session()
    session.send("write src/a.txt <<EOT\nhello\nEOT\nwrite z.txt <<EOT\nz\nEOT")
    session.park()
    return session


def test_files_are_seen_and_the_session_stays_parked(parked):
    files = parked.control.files
    assert [info.path for info in files.list() if info.path != ".harness"] == ["src", "z.txt"]
    assert [(info.path, info.name, info.type, info.size) for info in files.list("src")] == [
        ("src/a.txt", "a.txt", "file", 6)
    ]
    assert files.stat("src/a.txt").size == 6
    assert files.stat("src").type == "directory"
    assert files.read_bytes("src/a.txt", 1, 3) == b"ell"
    assert parked.status == "parked"


def test_no_link_leads_out(parked, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("hidden")
    place, files = parked.workspace, parked.control.files
    (place / "out").symlink_to(secret)
    (place / "key").symlink_to(secret / "key")
    os.mkfifo(place / "pipe")
    assert {info.path: info.type for info in files.list() if info.path in {"out", "key", "pipe"}} == {
        "out": "symlink",
        "key": "symlink",
        "pipe": "other",
    }
    for path in ("out", "z.txt"):
        with pytest.raises(BadPath):
            files.list(path)
    for path in ("key", "out/key", "src", "pipe"):
        with pytest.raises(BadPath):
            files.read_bytes(path)
    with pytest.raises(BadPath):
        files.stat("out/key")
    with pytest.raises(BadPath):
        files.read_bytes("../secret/key")
    for look in (files.list, files.stat, files.read_bytes):
        with pytest.raises(NotFound):
            look("none")
