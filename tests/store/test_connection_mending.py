"""When a file is attached after a kill: what is read, mended, said and undone. `test_torn_blocks.py` has the kills."""

from __future__ import annotations

import logging
from pathlib import Path

import duckdb
import pytest

from session_widgets._store import torn_blocks
from session_widgets._store.connection import StoreFile
from session_widgets._store.torn_blocks import Mended
from session_widgets.errors import StoreError
from tests.store.of_file import is_free, put, values

FIRST, SECOND = Mended(place=4096, old=1, new=2), Mended(place=8192, old=3, new=4)


class Damage:
    """Blocks that are wrong as long as nobody has mended them."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.log: torn_blocks.Log | None = (1, 2, 3)
        self.wrong: list[Mended] = []
        self.lasting = False
        self.mendable = True
        self.done: list[object] = []
        monkeypatch.setattr(torn_blocks, "log_of_a_killed_process", lambda _: self.log)
        monkeypatch.setattr(torn_blocks, "read_metadata", self.read)
        monkeypatch.setattr(torn_blocks, "mend", self.mend)
        monkeypatch.setattr(torn_blocks, "undo", self.undo)

    def read(self, connection: duckdb.DuckDBPyConnection) -> None:
        assert connection.execute("select current_database()").fetchall() == [("memory",)]
        self.done.append("read")
        if self.wrong:
            raise duckdb.IOException(f"block at {self.wrong[0].place}")

    def mend(self, path: Path, error: Exception) -> Mended | None:
        assert path == self.path
        assert str(error) == f"block at {self.wrong[0].place}"
        if not self.mendable:
            return None
        self.done.append(("mend", self.wrong[0].place))
        return self.wrong[0] if self.lasting else self.wrong.pop(0)

    def undo(self, path: Path, mended: Mended) -> None:
        assert path == self.path
        self.done.append(("undo", mended.place))


@pytest.fixture
def damage(file: StoreFile, monkeypatch: pytest.MonkeyPatch) -> Damage:
    put(file, 1)
    file._detach()
    return Damage(file.path, monkeypatch)


def test_each_wrong_block_is_mended_and_said(file: StoreFile, damage: Damage, caplog: pytest.LogCaptureFixture) -> None:
    damage.wrong = [FIRST, SECOND]
    put(file, 2)
    assert damage.done[:5] == ["read", ("mend", 4096), "read", ("mend", 8192), "read"]
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"a process was killed as it wrote the block at {block.place} of {file.path}; its checksum was corrected from "
        f"{block.old} to {block.new}, and nothing is lost"
        for block in (FIRST, SECOND)
    ]
    assert values(file) == [1, 2]


def test_the_metadata_is_read_once_for_each_log(file: StoreFile, damage: Damage) -> None:
    for log, reads in (((1, 2, 3), 1), ((1, 2, 3), 1), ((1, 2, 4), 2), (None, 2)):
        damage.log = log
        values(file)
        file._detach()
        assert damage.done.count("read") == reads


def test_a_block_that_stays_wrong_is_put_back_with_those_before(file: StoreFile, damage: Damage) -> None:
    damage.wrong, damage.lasting = [FIRST], True
    with pytest.raises(StoreError, match=f"^cannot open the store {file.path}: block at 4096"):
        put(file, 2)
    assert damage.done == ["read", ("mend", 4096), "read", ("mend", 4096), ("undo", 4096)]
    assert is_free(file.path)


def test_what_cannot_be_mended_is_an_error(file: StoreFile, damage: Damage) -> None:
    damage.wrong, damage.mendable = [FIRST], False
    with pytest.raises(StoreError, match="block at 4096"):
        put(file, 2)
    assert damage.done == ["read"]


def test_without_a_log_of_a_killed_process_nothing_is_read(file: StoreFile, damage: Damage) -> None:
    damage.log = None
    put(file, 2)
    assert (values(file), damage.done) == ([1, 2], [])


def test_without_a_log_of_a_killed_process_nothing_is_mended(file: StoreFile, damage: Damage) -> None:
    damage.log, damage.wrong = None, [FIRST]
    file.path.write_text("hello " * 1000)
    with pytest.raises(StoreError, match="not a valid DuckDB"):
        put(file, 2)
    assert damage.done == []
