"""A process killed in the middle of a checkpoint: the block that it was writing is partly old and partly new."""

from __future__ import annotations

import logging
import os
import shutil
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from session_widgets._store import store as open_store
from session_widgets.errors import StoreError
from tests.support.paths import ROOT

HEADERS, BLOCK, PAGE = 12_288, 65_536, 4_096
NAME = "transcripts.duckdb"
KILLED = """
import os, signal
import session_widgets as sw
from tests.analysis.stored import store_session, tool

for number in range(6):
    store_session(f"s{number}", "/w", *[tool("execute", {"command": f"make {n}"}) for n in range(30)])
    sw.store()._file._detach()  # a checkpoint
store_session("last", "/w", tool("execute", {"command": "make"}))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after six checkpoints, whose process was killed with commits in the write-ahead log."""
    home = tmp_path_factory.mktemp("killed")
    environment = {**os.environ, "SESSION_WIDGETS_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, cwd=ROOT, check=False, timeout=50)
    assert done.returncode == -9
    assert home.joinpath(f"{NAME}.wal").stat().st_size > 0
    return home


@pytest.fixture
def home(killed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(killed, tmp_path / "home"))


def attach(path: Path, options: str = "") -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(f"attach '{path}' as s (type duckdb{options})")
    return connection


def tables(path: Path) -> dict[str, object]:
    """The number of rows of each table, and a hash of all."""
    with closing(open_store(path)) as store:
        names = store.sql("select table_name from duckdb_tables() where database_name = 'store'").fetchall()
        query = "select count(*), sum(hash(t)::hugeint) from {} t"
        return {name: store.sql(query.format(name)).fetchall() for (name,) in names}


def blocks(file: bytes) -> range:
    return range((len(file) - HEADERS) // BLOCK)


def test_whatever_part_of_a_block_was_written_nothing_is_lost(home: Path, tmp_path: Path) -> None:
    path = home / NAME
    before, log = path.read_bytes(), path.with_name(f"{NAME}.wal").read_bytes()
    wanted = tables(Path(shutil.copytree(home, tmp_path / "whole")) / NAME)
    attach(path).execute("detach s")  # the checkpoint, to its end
    after = path.read_bytes()
    refused = 0
    for number in blocks(after[: len(before)]):
        place = HEADERS + number * BLOCK
        if before[place : place + BLOCK] == after[place : place + BLOCK]:
            continue
        for written in (PAGE, 7 * PAGE, BLOCK - PAGE):
            torn = before[:place] + after[place : place + written] + before[place + written :]
            path.write_bytes(torn)
            path.with_name(f"{NAME}.wal").write_bytes(log)
            try:
                attach(path, ", read_only").close()
            except duckdb.Error:
                refused += 1
            else:
                continue  # it is not in use before the checkpoint's end
            assert tables(path) == wanted, (number, written)
            path.write_bytes(torn)
            path.with_name(f"{NAME}.wal").write_bytes(log)
            with closing(open_store(path)) as store:
                store.delete_session("last")
            attach(path).close()
    assert refused >= 3


def test_a_block_that_is_read_later_is_mended_as_the_file_is_opened(home: Path, caplog) -> None:
    path = home / NAME
    connection = attach(path, ", read_only")
    metadata = {block for (block,) in connection.execute("select block_id from pragma_metadata_info('s')").fetchall()}
    connection.close()
    assert len(metadata) > 1
    whole = path.read_bytes()
    for number in metadata:
        place = HEADERS + number * BLOCK
        path.write_bytes(whole[:place] + b"checksum" + whole[place + 8 :])
        with closing(open_store(path)) as store:
            assert len(store.sessions()) == 7
        assert path.read_bytes()[place : place + 8] == whole[place : place + 8]
    assert len(caplog.records) == len(metadata)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "nothing is lost" in caplog.text


def catalog(file: bytes) -> int:
    """The place of the block with which the last checkpoint's metadata begins."""
    headers = [struct.unpack_from("<3Q", file, place) for place in (PAGE, 2 * PAGE)]  # checksum, iteration, pointer
    _, _, pointer = max(headers, key=lambda header: header[1])
    return HEADERS + (pointer & (1 << 56) - 1) * BLOCK


def refused(path: Path) -> bool:
    before = path.read_bytes()
    with closing(open_store(path)) as store, pytest.raises(StoreError, match="The file is damaged"):
        store.sessions()
    return path.read_bytes() == before


def test_a_damaged_block_stays_as_it_is(home: Path) -> None:
    path = home / NAME
    whole = path.read_bytes()
    place = catalog(whole) + 8
    path.write_bytes(whole[:place] + b"\xff" * 4_000 + whole[place + 4_000 :])
    assert refused(path)


def test_a_file_that_was_detached_has_no_block_to_mend(home: Path) -> None:
    path = home / NAME
    attach(path).execute("detach s")
    whole = path.read_bytes()
    place = catalog(whole)
    path.write_bytes(whole[:place] + b"checksum" + whole[place + 8 :])
    assert refused(path)


def test_a_kernel_that_knows_the_store_mends_it_before_it_writes(home: Path) -> None:
    """Another kernel was killed meanwhile."""
    path = home / NAME
    log = path.with_name(f"{NAME}.wal")
    connection = attach(path, ", read_only")
    metadata = [block for (block,) in connection.execute("select block_id from pragma_metadata_info('s')").fetchall()]
    connection.close()
    whole, commits = path.read_bytes(), log.read_bytes()
    with closing(open_store(path)) as store:
        store.sessions()
        for number in metadata:
            store._file._detach()
            place = HEADERS + number * BLOCK
            path.write_bytes(whole[:place] + b"checksum" + whole[place + 8 :])
            log.write_bytes(commits)
            store.delete_session("last")
            store._file._detach()
            assert len(store.sessions()) == 6
            attach(path).close()
