"""Reads of files that change meanwhile, without a runner."""

from __future__ import annotations

import os

import pytest
from starlette.requests import Request

from session_widgets.runner.files import Files
from session_widgets.runner.jail import Jail
from session_widgets.runner.limits import Limits
from session_widgets.runner.problems import Problem


@pytest.fixture
def cut(tmp_path, monkeypatch):
    """Reads a file of ten bytes that has four by the time it is read."""
    (tmp_path / "f").write_bytes(b"0123456789")
    files = Files(Jail(tmp_path), Limits())
    opened = files._open

    def opened_then_cut(path):
        found = opened(path)
        os.truncate(tmp_path / "f", 4)
        return found

    monkeypatch.setattr(files, "_open", opened_then_cut)

    async def read(**headers: str):
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        return await files.read(Request({"type": "http", "method": "GET", "query_string": b"path=f", "headers": raw}))

    return read


async def test_a_file_that_becomes_shorter_is_sent_as_it_is_then(cut):
    answer = await cut()
    assert (answer.status_code, answer.body, answer.headers["content-length"]) == (200, b"0123", "4")


async def test_a_part_of_it_is_what_is_left(cut):
    answer = await cut(range="bytes=2-7")
    assert (answer.status_code, answer.body, answer.headers["content-range"]) == (206, b"23", "bytes 2-3/10")


async def test_a_part_that_is_gone_is_no_part(cut):
    with pytest.raises(Problem) as caught:
        await cut(range="bytes=6-7")
    assert caught.value.status == 416
