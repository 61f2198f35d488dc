"""Archives that a runner unpacks, whole or not at all."""

from __future__ import annotations

import io
import tarfile

import pytest

from tests.runner.problems import code
from tests.support.runner import names_in


def archive(members: dict[str, bytes | None], mode: str = "w", **changes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = len(content or b"")
            member.mode = 0o755
            for key, value in changes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content or b""))
    return buffer.getvalue()


def upload(runner, path, body, content_type="application/x-tar"):
    headers = {"content-type": content_type}
    return runner.http.post("/v1/fs/upload-batch", params={"path": path}, content=body, headers=headers)


def test_an_archive_is_unpacked(runner, folder):
    answer = upload(runner, f"{folder}/up", archive({"a.txt": b"a", "d/b.txt": b"bb" * 2_000_000, "e": None}))
    here = runner.root / folder / "up"
    assert answer.json() == {
        "paths": [str(here / "a.txt"), str(here / "d" / "b.txt"), str(here / "e")],
        "truncated": False,
    }
    assert (here / "d" / "b.txt").stat().st_size == 4_000_000
    assert (here / "a.txt").stat().st_mode & 0o777 == 0o755
    assert (here / "e").is_dir()


@pytest.mark.parametrize(
    "body",
    [
        archive({"good": b"x", "../escape.txt": b"x"}),
        archive({"good": b"x", "/etc/escape": b"x"}),
        archive({"good": b"x", "a/../../b": b"x"}),
        archive({"link": b""}, type=tarfile.SYMTYPE, linkname="/etc"),
        archive({"hard": b""}, type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        archive({"device": b""}, type=tarfile.CHRTYPE),
        archive({"a.txt": b"a"}, mode="w:gz"),
        b"no archive at all",
    ],
    ids=["above", "absolute", "above by a folder", "symlink", "hard link", "device", "packed", "none"],
)
def test_a_bad_archive_leaves_nothing(runner, folder, body):
    assert code(upload(runner, f"{folder}/up", body)) == (400, "invalid_request")
    assert names_in(runner.root / folder) == []


def test_a_small_archive_does_not_hold_a_huge_file(runner, folder):
    """A sparse file of 3 GiB: its map says that one byte lies at the end of a hole."""
    huge = 3 << 30
    content = f"1\n{huge - 1}\n1\n".encode().ljust(512, b"\0") + b"x"
    about = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "huge"}
    body = archive({"huge": content}, pax_headers=about | {"GNU.sparse.realsize": str(huge)})
    answer = upload(runner, f"{folder}/up", body)
    assert code(answer) == (400, "invalid_request")
    assert "sparse" in answer.json()["detail"]
    assert names_in(runner.root / folder) == []


def test_an_archive_needs_its_type(runner, folder):
    assert code(upload(runner, folder, archive({"a": b""}), "application/octet-stream")) == (400, "invalid_request")


def test_an_archive_does_not_write_through_links_that_lead_outside(runner, folder, tmp_path):
    (runner.root / folder / "out").symlink_to(tmp_path)
    assert code(upload(runner, folder, archive({"out/f": b"x"}))) == (403, "permission_denied")
    assert not (tmp_path / "f").exists()
