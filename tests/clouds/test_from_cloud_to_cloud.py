"""One session that moves through a container and all clouds: its files stay the same byte for byte, its memory too."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

import session_widgets as sw
from session_widgets._sandboxes.clouds import limits
from tests.clouds.journeys import completed, files_in, output
from tests.standins.rented import CLOUDS, rented

pytestmark = [pytest.mark.needs("boxes", "docker"), pytest.mark.timeout(180)]
PLACES = ("modal", "docker", "e2b", "daytona", "local")


@pytest.fixture
def boxes(tmp_path, monkeypatch):
    """A function that returns how many boxes each cloud has."""
    with ExitStack() as entered:
        accounts = {name: entered.enter_context(rented(name, tmp_path / name)) for name in CLOUDS}
        for account in accounts.values():
            for name, value in account.environment.items():
                monkeypatch.setenv(name, value)
        yield lambda: {name: len(account.boxes) for name, account in accounts.items()}
        for account in accounts.values():
            account.check()


def memory_in(folder):
    """What the agent has written for itself."""
    return {path.name: path.read_bytes() for path in (folder / ".harness").rglob("*.jsonl")}


def test_files_and_memory_survive_every_move(boxes, home, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    folder = tmp_path / "mine"
    folder.mkdir()
    session = sw.open_session("a", sandbox="local", workspace=folder, permissions="allow_all")
    session.files.write("large.bin", os.urandom(1 << 20))
    shapes = "chmod 755 run.sh; ln -s run.sh link; mkdir -p deep/er empty; printf 'a\\0b' > deep/er/ünï; touch nothing"
    completed(session.send(f"write run.sh <<EOT\n#!/bin/sh\necho I run\nEOT\nrun {shapes}"))
    expected = files_in(folder)
    memory = memory_in(folder)
    for turns, place in enumerate(PLACES, start=1):
        session.switch(sandbox=place)
        turn = completed(session.send(f"run ./link; ls -d empty\nwrite {place} <<EOT\nwas here\nEOT\nremember"))
        assert [words in output(turn) for words in ("I run", "empty")] == [True, True], place
        assert f"{turns} earlier turn" in turn.text
        expected[place] = b"was here\n"
        assert files_in(folder) == expected
        before, memory = memory, memory_in(folder)
        assert {name: memory[name][: len(said)] for name, said in before.items()} == before, "it is only added to"
        assert place.encode() in b"".join(memory.values())
        assert boxes() == {name: int(name == place) for name in boxes()}
    assert (folder / "run.sh").stat().st_mode & 0o777 == 0o755
    assert os.readlink(folder / "link") == "run.sh"  # noqa: PTH115 - the text of the link
    session.delete()
