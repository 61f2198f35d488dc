"""A full disk stops the commit, not the store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PROGRAM = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from session_widgets.errors import StoreError
from session_widgets._store import store
from tests.support.drafts import chunk, note

place = Path(sys.argv[1])
opened = store(place / "t.duckdb")
opened.append("s", [note("session_opened", 1, harness="h", sandbox="s", workspace="w")])
(place / "ballast").write_bytes(b"x" * 3_000_000)
stored, number = 1, 0
try:
    while True:
        batch = [chunk(number + n, os.urandom(2000).hex()) for n in range(1, 101)]
        stored += len(opened.append("s", batch))
        number += 100
except StoreError as error:
    assert "disk is full" in str(error) and "nothing of this was stored" in str(error), error
try:
    shown = len(opened.events("s"))
    assert shown == stored, (shown, stored)
except StoreError as error:
    assert "disk is full" in str(error), error
try:
    opened.delete_session("s")
except StoreError as error:
    assert "a few MB are enough to delete sessions" in str(error) and "compact()" in str(error), error
else:
    raise AssertionError("deleted without any room")
(place / "ballast").unlink()
assert len(opened.events("s")) == stored
events = opened.append("s", batch)
assert [event.seq for event in events] == list(range(stored + 1, stored + 101))
opened.rebuild()
opened.delete_session("s")
opened.compact()
assert (place / "t.duckdb").stat().st_size < 4_000_000
opened.close()
print("stored", stored)
"""


@pytest.mark.needs("tmpfs")
def test_disk_full(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    script = f'mount -t tmpfs -o size=12m none "{mount}" && exec "{sys.executable}" -c "$0" "{mount}" "{ROOT}"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, PROGRAM], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stored ")
