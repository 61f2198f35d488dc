"""Harnesses that are uploaded to a runner: complete or absent, readable, and never outside of their folder."""

from __future__ import annotations

import io
import socket
import stat
import tarfile

import pytest

from tests.runner.problems import code
from tests.support.runner import TOKEN, names_in
from tests.support.waiting import until


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """A runner that takes harnesses."""
    from tests.support.runner import RunnerProcess

    started = RunnerProcess(tmp_path_factory.mktemp("box"), claims=True, agents={})
    yield started
    started.stop()
    assert "Traceback" not in started.log.read_text()


def packed(*members, **changes) -> bytes:
    """A tar of (name, content or link target, type)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o755
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                member.linkname, content = content, b""
            member.size = len(content)
            for key, value in changes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


FILE, LINK, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE
GOOD = packed(
    ("node_modules", b"", FOLDER),
    ("node_modules/pi/index.js", b"code", FILE),
    ("node_modules/.bin/pi", "../pi/index.js", LINK),
)


def folder(box):
    return box.directory / "harnesses"


def test_a_harness_is_there_for_agents_to_read(box):
    assert code(box.http.get("/v1/harnesses/pi-1-aa")) == (404, "not_found")
    put = box.http.put("/v1/harnesses/pi-1-aa", content=GOOD)
    assert put.json() == {"path": str(folder(box) / "pi-1-aa")} == box.http.get("/v1/harnesses/pi-1-aa").json()
    modules = folder(box) / "pi-1-aa" / "node_modules"
    assert (modules / ".bin" / "pi").read_bytes() == b"code"
    assert stat.S_IMODE((modules / "pi" / "index.js").stat().st_mode) == 0o555
    assert stat.S_IMODE((folder(box) / "pi-1-aa").stat().st_mode) == 0o755
    again = box.http.put("/v1/harnesses/pi-1-aa", content=packed(("other", b"x", FILE)))
    assert again.status_code == 200
    assert names_in(folder(box) / "pi-1-aa") == ["node_modules"], "one name is one content"


@pytest.mark.parametrize(
    "body",
    [
        packed(("good", b"x", FILE), ("../escape", b"x", FILE)),
        packed(("good", b"x", FILE), ("/tmp/escape", b"x", FILE)),
        packed(("a", "..", LINK), ("b", b"x", FILE)),
        packed(("a", "/etc", LINK)),
        packed(("a/b", "../../x", LINK)),
        packed(("a/up", "..", LINK), ("l", "a/up/../x", LINK), ("l/file", b"x", FILE)),
        packed(("a", "b", LINK), ("a/file", b"x", FILE)),
        packed(("a", "b", LINK), ("a", b"x", FILE)),
        packed(("hard", "/etc/passwd", tarfile.LNKTYPE)),
        packed(("device", b"", tarfile.CHRTYPE)),
        packed(("pipe", b"", tarfile.FIFOTYPE)),
        b"no archive at all" * 1000,
        GOOD[:600],
    ],
    ids=[
        "above", "absolute", "a link up", "an absolute link", "a link above", "a chain of links", "below a link",
        "over a link", "hard link", "device", "pipe", "none", "cut",
    ],
)  # fmt: skip
def test_a_bad_archive_leaves_nothing(box, body):
    before = names_in(folder(box)) if folder(box).exists() else []
    assert box.http.put("/v1/harnesses/bad", content=body).status_code in {400, 409}
    assert code(box.http.get("/v1/harnesses/bad")) == (404, "not_found")
    assert names_in(folder(box)) == before
    assert not (box.directory / "escape").exists()


@pytest.mark.parametrize("name", ["..", ".partial-x", "a%2Fb", "a" * 200, "%00"])
def test_a_name_is_a_name(box, name):
    assert box.http.put(f"/v1/harnesses/{name}", content=GOOD).status_code in {400, 404, 405, 410}
    assert not any(path.name in {"..", "b", "node_modules"} for path in box.directory.iterdir())


def test_half_an_upload_leaves_nothing(box):
    """A client that goes away in the middle, at the border of a member and within one."""
    for cut in (1536, 1600):
        with socket.create_connection(("127.0.0.1", box.port)) as client:
            head = f"PUT /v1/harnesses/half HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
            client.sendall(f"{head}content-length: {len(GOOD)}\r\n\r\n".encode() + GOOD[:cut])
            until(lambda: any(name.startswith(".partial-") for name in names_in(folder(box))), what="the upload")
        until(lambda: not any(name.startswith(".partial-") for name in names_in(folder(box))), what="its end")
        assert code(box.http.get("/v1/harnesses/half")) == (404, "not_found")
    assert box.http.put("/v1/harnesses/half", content=GOOD).status_code == 200


def test_a_killed_upload_is_removed_by_the_next_runner(start):
    box = start("killed", claims=True, agents={})
    with socket.create_connection(("127.0.0.1", box.port)) as client:
        head = f"PUT /v1/harnesses/half HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
        client.sendall(f"{head}content-length: {len(GOOD)}\r\n\r\n".encode() + GOOD[:1600])
        until(lambda: folder(box).exists() and names_in(folder(box)), what="the upload")
        box.stop(9)
    again = start("killed", claims=True, agents={})
    assert names_in(folder(again)) == []


def test_a_header_that_claims_gigabytes_is_not_read(box):
    huge = tarfile.TarInfo("x")
    huge.type, huge.size = tarfile.XHDTYPE, 3 << 30
    body = huge.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 20)
    assert code(box.http.put("/v1/harnesses/bad", content=body)) == (400, "invalid_request")


def test_more_than_the_limit_is_refused(start):
    box = start("small", claims=True, agents={}, limits={"maxFileBytes": 1024})
    assert code(box.http.put("/v1/harnesses/big", content=GOOD)) == (413, "limit_exceeded")
    assert code(box.http.get("/v1/harnesses/big")) == (404, "not_found")
