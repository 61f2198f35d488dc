"""`/v1/tree`: entries go in and out as archives; none leaves the workspace, and none is written by half."""

from __future__ import annotations

import gzip
import io
import os
import signal
import socket
import tarfile
from contextlib import suppress

import pytest

from tests.runner.problems import code
from tests.support.runner import TOKEN, names_in
from tests.support.waiting import until

FILE, LINK, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE
MTIME, SEEN = "SESSION_WIDGETS.mtime_ns", "SESSION_WIDGETS.seen"
NS = 1_700_000_000_123_456_789


def packed(*members, **pax) -> bytes:
    """A tar of (name, content or link target, type)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.pax_headers = kind, {MTIME: str(NS)} | pax
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                member.linkname, content = content, b""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write(runner, body, **options):
    return runner.http.put("/v1/tree", content=body, **options)


def read(runner, *paths) -> dict[str, object]:
    """Content of each file, or target of each link, and the time in its header."""
    answer = runner.http.post("/v1/tree/read", json={"paths": list(paths)})
    assert answer.status_code == 200, answer.text
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:") as tar:
        return {
            m.name: (m.linkname if m.issym() else tar.extractfile(m).read(), int(m.pax_headers[MTIME])) for m in tar
        }


def test_files_and_links_go_in_and_out_as_they_are(runner, folder):
    names = [f"{folder}/{name}" for name in ("a", "d/ünï \n", "l", "x" * 120)]
    target = "../" * 40 + "nowhere"
    body = packed((names[0], b"a", FILE), (names[1], b"", FILE), (names[2], target, LINK), (names[3], b"long", FILE))
    results = write(runner, body).json()["results"]
    assert [row[0] for row in results] == [1, 0, len(target), 4]
    here = runner.root / folder
    assert (here / "a").stat().st_mtime_ns == NS == results[0][2]
    assert str((here / "l").readlink()) == target
    found = read(runner, *names, f"{folder}/missing", f"{folder}/d")
    assert {name: content for name, (content, _) in found.items()} == dict(
        zip(names, (b"a", b"", target, b"long"), strict=True)
    )
    assert found[names[0]][1] == NS
    assert found[names[2]][1] == (here / "l").lstat().st_mtime_ns


def test_an_archive_may_be_compressed_in_both_directions(runner, folder):
    plain = {"headers": {"accept-encoding": "identity"}}
    body = packed(*((f"{folder}/{n}", b"x" * n, FILE) for n in range(300)))
    zipped = {"content-encoding": "gzip", **plain["headers"]}
    assert len(write(runner, gzip.compress(body), headers=zipped).json()["results"]) == 300
    asked = {"paths": [f"{folder}/{n}" for n in range(300)]}
    whole = runner.http.post("/v1/tree/read", json=asked, **plain)
    small = runner.http.post("/v1/tree/read", json={**asked, "gzip": True}, **plain)
    assert (whole.headers.get("content-encoding"), small.headers["content-encoding"]) == (None, "gzip")
    assert small.content == whole.content, "as any client of HTTP decodes it"
    assert code(write(runner, b"no gzip", headers=zipped)) == (400, "invalid_request")
    assert code(write(runner, body, headers={"content-encoding": "br"})) == (415, "unsupported_media_type")


def test_a_link_with_a_target_that_is_no_text_comes_out_as_it_is(runner, folder):
    (runner.root / folder / "l").symlink_to(os.fsdecode(b"\xff\xfe"))
    assert os.fsencode(read(runner, f"{folder}/l")[f"{folder}/l"][0]) == b"\xff\xfe"


@pytest.mark.parametrize(
    "member",
    [
        ("../escape", b"x", FILE),
        ("/tmp/escape", b"x", FILE),
        ("{}/../../escape", b"x", FILE),
        ("{}/./a", b"x", FILE),
        ("{}//a", b"x", FILE),
        ("{}", b"", FOLDER),
        ("{}/" + "x/" * 2100 + "x", b"x", FILE),
        ("{}/hard", "/etc/passwd", tarfile.LNKTYPE),
        ("{}/device", b"", tarfile.CHRTYPE),
        ("{}/pipe", b"", tarfile.FIFOTYPE),
        ("{}/empty", "", LINK),
        ("{}/long", "x" * 5000, LINK),
    ],
    ids=["above", "absolute", "above by a folder", "dot", "empty", "folder", "long", "hard", "device", "pipe",
         "no target", "long target"],
)  # fmt: skip
def test_a_bad_member_is_refused(runner, folder, member):
    name, content, kind = member
    assert code(write(runner, packed((name.format(folder), content, kind)))) == (400, "invalid_request")
    assert names_in(runner.root / folder) == []
    assert not (runner.root.parent / "escape").exists()


@pytest.mark.parametrize("path", ["../state/ready.json", "/etc/passwd", "a/../b", "", ".", "a//b", "a\0b", "x" * 5000])
def test_a_bad_path_is_refused(runner, path):
    assert code(runner.http.post("/v1/tree/read", json={"paths": [path]})) == (400, "invalid_request")
    asked = {"path": path, "seen": "nothing"}
    assert code(runner.http.delete("/v1/tree", params=asked)) == (400, "invalid_request")
    assert code(runner.http.post("/v1/tree/mkdir", params=asked)) == (400, "invalid_request")


def test_a_link_in_the_way_is_not_followed(runner, folder, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (runner.root / folder / "out").symlink_to(tmp_path)
    (runner.root / folder / "in").symlink_to(".")
    for name in ("out", "in"):
        assert write(runner, packed((f"{folder}/{name}/new", b"x", FILE))).json() == {"results": [None]}
        assert read(runner, f"{folder}/{name}/secret") == {}
        asked = {"path": f"{folder}/{name}/secret", "seen": "6.0"}
        assert code(runner.http.delete("/v1/tree", params=asked)) == (409, "occupied")
        assert code(runner.http.post("/v1/tree/mkdir", params=asked)) == (409, "occupied")
    assert names_in(tmp_path) == ["secret"]
    assert names_in(runner.root / folder) == ["in", "out"]


def test_only_what_was_seen_is_replaced(runner, folder):
    name = f"{folder}/a"
    body = lambda seen: packed((name, b"new", FILE), **{SEEN: seen})  # noqa: E731
    (runner.root / name).write_text("theirs")
    mtime = (runner.root / name).stat().st_mtime_ns
    for wrong in ("nothing", f"7.{mtime}", f"6.{mtime + 1}"):
        assert write(runner, body(wrong)).json() == {"results": [None]}
        assert code(runner.http.delete("/v1/tree", params={"path": name, "seen": wrong})) == (409, "occupied")
    assert (runner.root / name).read_text() == "theirs"
    assert write(runner, body(f"6.{mtime}")).json()["results"][0][0] == 3
    for bad in ("", "x", "1", "1.x", "1" * 30 + ".1"):
        assert code(write(runner, body(bad))) == (400, "invalid_request")
    assert runner.http.delete("/v1/tree", params={"path": name, "seen": f"3.{NS}"}).status_code == 204
    assert runner.http.delete("/v1/tree", params={"path": name, "seen": f"3.{NS}"}).status_code == 204
    assert not (runner.root / folder).exists(), "a folder that became empty went with it"


def test_a_pipe_or_a_folder_is_not_read(runner, folder):
    os.mkfifo(runner.root / folder / "pipe")
    (runner.root / folder / "dir").mkdir()
    assert read(runner, f"{folder}/pipe", f"{folder}/dir") == {}


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", ""), ("DELETE", "?path=a&seen=0.0"), ("POST", "/read"), ("POST", "/mkdir?path=a")]
)
def test_every_route_needs_the_token(runner, method, path):
    answer = runner.http.request(method, f"/v1/tree{path}", headers={"authorization": "Bearer wrong"})
    assert code(answer) == (401, "token_invalid")


def test_bounds(start):
    box = start("small", limits={"maxFileBytes": 4096, "maxEntries": 2})
    assert code(write(box, packed(("a", bytes(10_000), FILE)))) == (413, "limit_exceeded")
    assert code(
        write(
            box,
            packed(
                *((name, b"", FILE) for name in "abc"),
            ),
        )
    ) == (413, "limit_exceeded")
    assert code(box.http.post("/v1/tree/read", json={"paths": ["a", "b", "c"]})) == (413, "limit_exceeded")


def begin(runner, body: bytes, length: int) -> socket.socket:
    """Send the beginning of an upload."""
    client = socket.create_connection(("127.0.0.1", runner.port))
    head = f"PUT /v1/tree HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {length}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def test_half_an_upload_leaves_whole_files(runner, folder):
    """A client that goes away: the members before are there, the one that it was at is not."""
    body = packed((f"{folder}/a", b"whole", FILE), (f"{folder}/b", bytes(3 << 20), FILE))
    with begin(runner, body[: 2 << 20], len(body)):
        until(lambda: len(names_in(runner.root / folder)) == 2, what="both")
    until(lambda: names_in(runner.root / folder) == ["a"], what="the end of the second")
    assert (runner.root / folder / "a").read_bytes() == b"whole"


def test_a_kill_in_the_middle_leaves_whole_files(start):
    box = start("killed")
    (box.root / "b").write_bytes(b"before")
    seen = {SEEN: f"6.{(box.root / 'b').stat().st_mtime_ns}"}
    body = packed(("a", b"whole", FILE), ("b", bytes(3 << 20), FILE), **seen)
    with begin(box, body[: 2 << 20], len(body)):
        until(lambda: any(name.startswith(".session-widgets") for name in names_in(box.root)), what="the second")
        box.stop(signal.SIGKILL)
    assert (box.root / "b").read_bytes() == b"before"
    again = start("killed")
    listed = again.http.post("/v1/fs/manifest").json()["entries"]
    assert [row[0] for row in listed] == ["b", "a"], "what is left of it is no entry"


def test_an_upload_ends_with_its_session(start):
    """Parking does not wait for a client that sends nothing more, and no late byte lands in what comes next."""
    box = start("box", claims=True, agents={})
    claim = {"id": "c1", "session": "one", "owner": "me", "new": True}
    assert box.http.put("/v1/session", json=claim).status_code == 200
    body = packed(("a", bytes(3 << 20), FILE))
    with begin(box, body[: 2 << 20], len(body)) as client:
        until(lambda: names_in(box.root), what="the upload")
        assert box.http.delete("/v1/session", params={"id": "c1"}).status_code == 204
        with suppress(OSError):
            client.sendall(body[2 << 20 :])
            assert b"200" not in client.recv(100)
    assert names_in(box.root) == []


def test_a_file_that_shrinks_on_its_way_out_is_not_taken_for_whole(runner, folder, tmp_path):
    """The archive stays one; the zeros at its end have another MD5 than the file that was listed."""
    path = runner.root / folder / "big"
    path.write_bytes(b"x" * (64 << 20))
    with runner.http.stream("POST", "/v1/tree/read", json={"paths": [f"{folder}/big"]}) as answer:
        pieces = answer.iter_raw()
        with (tmp_path / "got").open("wb") as got:
            got.write(next(pieces))
            os.truncate(path, 10)
            got.writelines(pieces)
    with tarfile.open(tmp_path / "got", mode="r:") as tar:
        (member,) = tar
        content = tar.extractfile(member)
        assert content.seek(-1, os.SEEK_END) == (64 << 20) - 1
        assert content.read() == b"\0"
