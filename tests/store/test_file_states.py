"""A file that cannot be written, locked or read, or that others could read."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from session_widgets._store import store as open_store
from session_widgets._store.database import Store
from session_widgets.errors import StoreBusy, StoreError
from tests.support.drafts import chunk, opened
from tests.support.paths import ROOT


def test_everything_that_is_written_is_for_this_user_alone(store: Store, path: Path) -> None:
    before = os.umask(0o022)
    try:
        with store._file.transaction() as connection:
            connection.execute("create table store.probe as select range from range(1000)")
            beside = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        store.append("s", [opened(), chunk(1)])
        after = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    names = ["transcripts.duckdb", "transcripts.duckdb.line", "transcripts.duckdb.wal"]
    for found in (beside, after):
        assert {name: mode for name, mode in found.items() if name in names} == dict.fromkeys(names, 0o600)
        assert found["transcripts.duckdb.tmp"] == 0o700


READ_ONLY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from session_widgets.errors import StoreError
from session_widgets._store import store
from tests.support.drafts import chunk
for name in ("with", "without"):
    opened = store(Path(sys.argv[1]) / name / "t.duckdb")
    assert len(opened.events("s")) == 2
    assert opened.sql("select count(*) from v_events").fetchall() == [(2,)]
    assert [record.id for record in opened.sessions()] == ["s"]
    for write in (lambda: opened.append("s", [chunk(2)]), opened.rebuild, lambda: opened.delete_session("s")):
        try:
            write()
        except StoreError as error:
            assert "t.duckdb" in str(error) and "it can be read, but nothing can be stored" in str(error), error
        else:
            raise AssertionError("it was written")
    assert len(opened.events("s")) == 2
    opened.close()
print("read")
"""


@pytest.mark.needs("tmpfs")
def test_a_store_on_a_read_only_mount_can_be_read(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for name in ("with", "without"):
        opened_store = open_store(place / name / "t.duckdb")
        opened_store.append("s", [opened(), chunk(1)])
        opened_store.close()
    (place / "without" / "t.duckdb.line").unlink()
    script = f'mount --bind "{place}" "{place}" && mount -o remount,ro,bind "{place}" && exec "$@"'
    command = [sys.executable, "-c", READ_ONLY, place, ROOT]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "-", *command],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr


NO_LOCKS = """
import ctypes, errno, platform, struct, sys, time
sys.path.insert(0, sys.argv[2])
import duckdb
from session_widgets.errors import StoreBusy, StoreError
from session_widgets._store import store
from tests.support.drafts import chunk
F_GETLK, F_SETLK, fcntl = 5, 6, {"x86_64": 72, "aarch64": 25}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 0, 4, fcntl), (0x20, 0, 0, 24), (0x15, 1, 0, F_GETLK), (0x15, 0, 1, F_SETLK),
        (0x06, 0, 0, 0x00050000 | errno.ENOLCK), (0x06, 0, 0, 0x7FFF0000)]
filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(filters))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
opened = store(sys.argv[1])
for call in (lambda: opened.append("s", [chunk(2)]), lambda: opened.events("s")):
    begin = time.monotonic()
    try:
        call()
    except StoreBusy as error:
        raise AssertionError("it waited") from error
    except StoreError as error:
        print(time.monotonic() - begin < 5, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp takes the locks away")
def test_a_file_system_without_locks_is_named_at_once(store: Store) -> None:
    store.append("s", [opened(), chunk(1)])
    store.close()
    done = subprocess.run(
        [sys.executable, "-c", NO_LOCKS, store.path, ROOT], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    for line in (lines := done.stdout.splitlines()):
        assert line.startswith("True cannot open the store"), line
        assert "gives no file locks" in line
        assert " at /" in line, "the file system and its mount"
        assert "SESSION_WIDGETS_HOME" in line
    assert len(lines) == 2


def test_a_damaged_middle_is_named_with_what_to_do(store: Store, path: Path) -> None:
    store.append("s", [opened(), *(chunk(number, os.urandom(3000).hex()) for number in range(1, 400))])
    store.append("t", [opened()])
    store.close()
    with path.open("r+b") as file:
        size = path.stat().st_size
        for at in range(size // 4, size * 3 // 4, 4096):
            file.seek(at)
            file.write(b"\xff" * 64)
    damaged = open_store(path)
    calls = [
        lambda: damaged.events("s"),
        lambda: damaged.sql("select sum(length(payload)) from v_events").fetchall(),
        damaged.rebuild,
    ]
    for call in calls * 2:
        with pytest.raises(StoreError, match=rf"{path}.*The file is damaged\. Put a copy of .*from a backup") as caught:
            call()
        assert not isinstance(caught.value, StoreBusy)
    damaged.close()


def test_what_is_wrong_with_a_query_is_still_duckdbs_to_say(store: Store, tmp_path: Path) -> None:
    store.append("s", [opened()])
    with pytest.raises(duckdb.IOException, match=r"none\.csv"):
        store.sql(f"select * from read_csv('{tmp_path}/none.csv')")
    with pytest.raises(duckdb.ConversionException):
        store.sql("select 'x'::int from v_events")
