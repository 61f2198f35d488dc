"""A runner that was taken over by its agent sends other files than were asked for: none is taken."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile

import orjson
import pytest

from session_widgets._sandboxes import runner_tree
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets.errors import TransportError
from session_widgets.host.manifest import Entry, md5
from tests.support.http_server import Request, serving

A = Entry("a", "file", 3, 0o644, 0, md5(b"abc").hexdigest())
LINK = Entry("l", "link", 3, 0o777, 0, "")


def packed(*members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.SYMTYPE:
                member.linkname, content = content, b""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


async def read_from(body: bytes, *entries: Entry, head: str = ""):
    async def answer(request: Request) -> None:
        start = f"HTTP/1.1 200 OK\r\ncontent-type: application/x-tar\r\n{head}content-length: {len(body)}\r\n\r\n"
        request.writer.write(start.encode() + body)

    async with serving(answer) as (_, endpoint):
        tree = RunnerTree(endpoint, "/w", 1)
        try:
            return await asyncio.to_thread(lambda: [(e.path, b.read(100)) for e, b in tree.read_many(list(entries))])
        finally:
            tree.close()


@pytest.mark.parametrize("name", ["b", "../a", "/a", "a/../a", "./a"])
async def test_a_file_that_was_not_asked_for_is_an_error(name):
    with pytest.raises(TransportError, match=r"not asked for|invalid relative path"):
        await read_from(packed((name, tarfile.REGTYPE, b"abc")), A)


async def test_a_file_is_given_once():
    with pytest.raises(TransportError, match="not asked for"):
        await read_from(packed(("a", tarfile.REGTYPE, b"abc"), ("a", tarfile.REGTYPE, b"abc")), A)


@pytest.mark.parametrize(
    "member",
    [
        ("a", tarfile.SYMTYPE, "/etc/passwd"),
        ("a", tarfile.REGTYPE, b"abcd"),
        ("l", tarfile.REGTYPE, b"abc"),
        ("l", tarfile.SYMTYPE, "x" * 5000),
    ],
)
async def test_another_kind_or_size_is_left_out(member):
    assert await read_from(packed(member), A, LINK) == []


@pytest.mark.parametrize(
    "body",
    [
        b"no archive" * 200,
        packed(("a", tarfile.REGTYPE, b"abc"))[:600],
        packed(("a", tarfile.REGTYPE, b"abc"))[:1024],
        packed(("a", tarfile.LNKTYPE, b"")),
        packed(("a", tarfile.CHRTYPE, b"")),
        packed(("a", tarfile.XHDTYPE, bytes(100 << 10))),
        packed(("a", tarfile.XHDTYPE, b"12 no form\n")),
        b"",
    ],
)
async def test_no_archive_is_an_error(body):
    with pytest.raises(TransportError):
        await read_from(body, A)


async def test_small_files_are_unpacked_up_to_a_bound_and_nothing_else_is():
    zipped = "content-encoding: gzip\r\n"
    assert await read_from(gzip.compress(packed(("a", tarfile.REGTYPE, b"abc"))), A, head=zipped) == [("a", b"abc")]
    bomb = gzip.compress(bytes(100 << 20))
    with pytest.raises(TransportError, match="more than was announced"):
        await read_from(bomb, A, head=zipped)
    with pytest.raises(TransportError, match="encoding"):
        await read_from(bomb, A, head="content-encoding: br\r\n")
    with pytest.raises(TransportError, match="encoding"):
        await read_from(bomb, Entry("big", "file", 10 << 20, 0o644, 0, ""), head=zipped)


async def answered(body: object, call):
    async def answer(request: Request) -> None:
        await request.reply(200, orjson.dumps(body))

    async with serving(answer) as (_, endpoint):
        tree = RunnerTree(endpoint, "/w", 1)
        try:
            return await asyncio.to_thread(call, tree)
        finally:
            tree.close()


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", "", "a//b", "a\0"])
async def test_a_manifest_with_a_path_outside_is_an_error(path):
    body = {"root": [1, 2], "entries": [[path, "file", 1, 0, 0, "", ""]], "strange": [], "truncated": False}
    with pytest.raises(TransportError, match="no workspace"):
        await answered(body, lambda tree: tree.manifest({}))


ROWS = [[1], ["a", "pipe", 1, 0, 0, "", ""], ["a", "file", "1", 0, 0, "", ""], [7, "file", 1, 0, 0, "", ""]]


@pytest.mark.parametrize(
    "body",
    [[], {}, {"root": 7}, *({"root": [1, 2], "entries": [row], "strange": [], "truncated": False} for row in ROWS)],
)
async def test_a_manifest_in_no_form_is_an_error(body):
    with pytest.raises(TransportError):
        await answered(body, lambda tree: tree.manifest({}))


@pytest.mark.parametrize(
    "results",
    [
        None,
        [],
        [None, None],
        ["x"],
        [[3, 0o644, 0, "0" * 32, ""]],
        [[4, 0o644, 0, A.md5, ""]],
        [[3, "x", 0, A.md5, ""]],
    ],
)
async def test_a_result_that_does_not_fit_is_an_error(results):
    with pytest.raises(TransportError):
        await answered({"results": results}, lambda tree: tree.write(A, io.BytesIO(b"abc"), None))


async def test_the_answer_to_an_upload_is_bounded(monkeypatch):
    monkeypatch.setattr(runner_tree, "MOST_ANSWER", 100)
    with pytest.raises(TransportError, match="more than"):
        await answered({"results": ["x" * 1000]}, lambda tree: tree.write(A, io.BytesIO(b"abc"), None))
