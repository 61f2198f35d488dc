"""Archives between a kernel and a runner, without either: what is written is a tar, what is read is bounded."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from session_widgets.host import tar_stream
from session_widgets.host.tar_stream import END, MTIME, SEEN, BadTar, Pieces, compressed, decompressed, header, padding

HEADERS = {MTIME: "1700000000123456789", SEEN: "nothing"}
NAMES = ["a", "d/" * 30 + "e", "x" * 100, "x" * 101, "ünï", "a b\n", "\udcff"]


def archive(*files: tuple[str, bytes]) -> bytes:
    members = [
        header(name, mode=0o751, size=len(data), headers=HEADERS) + data + padding(len(data)) for name, data in files
    ]
    return b"".join(members) + END


def read(data: bytes) -> list[tuple[str, bytes, int, dict[str, str]]]:
    found = tar_stream.members(io.BytesIO(data))
    return [(one.name, content.read(1 << 20), one.mode, dict(one.headers)) for one, content in found]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_written_as_other_programs_read_it_and_read_as_they_write_it(name):
    ours = archive((name, b"content"))
    with tarfile.open(fileobj=io.BytesIO(ours), mode="r:") as tar:
        (member,) = tar
        assert (member.name, member.mode, member.size, member.isreg()) == (name, 0o751, 7, True)
        assert HEADERS.items() <= member.pax_headers.items()
        assert tar.extractfile(member).read() == b"content"
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.pax_headers = 7, 0o751, HEADERS
        tar.addfile(member, io.BytesIO(b"content"))
    for data in (ours, made.getvalue()):
        ((found, content, mode, headers),) = read(data)
        assert (found, content, mode) == (name, b"content", 0o751)
        assert HEADERS.items() <= headers.items()


def test_a_length_that_gets_another_digit_counts_it():
    for size in range(80, 105):
        line = tar_stream._record("k", "v" * size)
        assert int(line.split()[0]) == len(line)


@pytest.mark.parametrize("at", [0, 100, 124, 148, 156, 257])
def test_a_block_with_a_wrong_byte_is_refused(at):
    data = bytearray(header("a", mode=0o644, size=0) + END)
    data[at] ^= 1
    with pytest.raises(BadTar):
        read(bytes(data))


def test_pieces_are_read_in_any_portions():
    whole = bytes(range(256)) * 4
    for cut in (1, 7, 512, 5000):
        pieces = [whole[start : start + cut] for start in range(0, len(whole), cut)]
        file = Pieces(pieces)
        assert b"".join(iter(lambda: file.read(100), b"")) == whole  # noqa: B023
        assert Pieces(pieces).read(10_000) == whole
    assert Pieces([]).read(5) == b""
    assert Pieces([b"ab"]).read(0) == b""


def test_a_compressed_archive_is_bounded_and_whole():
    data = archive(*((f"d/{n}", b"x" * n) for n in range(2_000)))
    packed = b"".join(compressed([data[:100], data[100:]]))
    assert len(packed) * 5 < len(data)
    assert gzip.decompress(packed) == data
    pieces = [packed[start : start + 1_000] for start in range(0, len(packed), 1_000)]
    assert b"".join(decompressed(pieces, len(data))) == data
    with pytest.raises(BadTar, match="more than was announced"):
        b"".join(decompressed(pieces, len(data) - 1))
    with pytest.raises(BadTar, match="not compressed"):
        b"".join(decompressed([data], len(data)))
    with pytest.raises(BadTar, match="no end"):
        list(tar_stream.members(Pieces(decompressed(pieces[:-2], len(data)))))
    bomb = b"".join(compressed(bytes(1 << 20) for _ in range(64)))
    assert max(map(len, decompressed([bomb], 1 << 30))) <= tar_stream.CHUNK
