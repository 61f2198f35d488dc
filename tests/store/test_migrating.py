"""A store of an older release is opened, brought up to date, and goes on."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from session_widgets._store import migrations
from session_widgets._store.database import Store
from session_widgets._store.migrations import LATEST
from session_widgets.errors import StoreVersion
from session_widgets.transcript.fold import Fold
from tests.store.old_store import contents
from tests.support.drafts import derived, note

pytestmark = pytest.mark.slow

STORES = Path(__file__).parent.parent / "fixtures" / "stores"
OLD = STORES / "format-2.duckdb.gz"
"""As the last release with format 2 wrote it: recorded turns of four harnesses; `costs`, whose third turn had another
process, whose fourth runs and asks, and whose requests all have the id 0."""


def test_a_store_of_format_2_is_migrated_and_goes_on(store: Store) -> None:
    store.path.write_bytes(gzip.decompress(OLD.read_bytes()))
    assert store.sql("select max(version) from schema_version").fetchall() == [(LATEST,)]
    assert store.sql("select session_id, turns, status from v_sessions order by session_id").fetchall() == [
        ("claude-reject", 2, "idle"),
        ("codex-next-error", 2, "idle"),
        ("costs", 4, "running"),
        ("opencode-rich", 1, "idle"),
        ("pi-error", 2, "idle"),
    ]
    query = "select cost, waited_s from v_turns where session_id = 'costs' order by turn"
    assert [cost for cost, _ in store.sql(query).fetchall()] == [
        Decimal(".2507"),
        Decimal(".0283"),
        Decimal(".4"),
        None,
    ]
    query = "select turn, outcome from v_permissions where session_id = 'costs' order by turn"
    assert store.sql(query).fetchall() == [(1, "allowed"), (2, "rejected"), (3, "allowed"), (4, None)]
    query = "select outcome from v_turns where session_id in ('pi-error', 'codex-next-error') order by all"
    assert store.sql(query).fetchall() == [("completed",), ("completed",), ("model_error",), ("no_answer",)]
    before = derived(store)
    store.rebuild()
    assert derived(store) == before
    chosen = {"request_id": "c2/0", "outcome": "selected", "option_id": "y"}
    store.append("costs", [note("permission_decision", 900, turn=4, **chosen)])
    store.append("costs", [note("turn_ended", 901, turn=4, status="completed")])
    assert store.turns("costs")[3].status == "completed"
    assert store.sql("select outcome from v_permissions where turn = 4").fetchall() == [("allowed",)]
    before = derived(store)
    store.rebuild("costs")
    assert derived(store) == before


FORMAT_4 = STORES / "format-4.duckdb.gz"
"""As the last release with format 4 wrote it: recorded turns of eight harnesses; `live`, `settings`, `sandboxed` and
`approving`, whose demo agent asked, was asked, called tools, was cancelled, parked, handed over, killed and lost its
runner; `by-hand`, whose notes of every kind end its agents and sandboxes in every way. `format-4.json` is what that
release read out of it, but for a note `protocol_error` and a field `usage` of `turn_ended`, which none has written, and
for the waiting in three turns: a policy decided there, which is none."""


def test_a_store_of_format_4_holds_what_it_held(store: Store) -> None:
    store.path.write_bytes(gzip.decompress(FORMAT_4.read_bytes()))
    expected = json.loads((STORES / "format-4.json").read_text())
    assert contents(store) == expected
    store.rebuild()
    assert contents(store) == expected


def test_the_events_of_a_store_of_format_4_fold_to_what_its_tables_hold(store: Store) -> None:
    store.path.write_bytes(gzip.decompress(FORMAT_4.read_bytes()))
    for record in store.sessions():
        fold = Fold(record.id)
        for event in store.events(record.id):
            fold.feed(event)
        assert fold.session() == record
        assert list(fold.steps) == store.steps(record.id)
        assert [fold.turn(turn) for turn in fold.turns] == store.turns(record.id)


FORMAT_7 = STORES / "format-7.duckdb.gz"
"""As the last release with format 7 wrote it: `kept`, with the files of three turns' ends and before a restore."""


FORKED = json.dumps({"session": "kept", "turn": 2, "workspace": "/w"})


def test_a_session_of_format_7_is_forked(store: Store) -> None:
    store.path.write_bytes(gzip.decompress(FORMAT_7.read_bytes()))
    assert [kept.turn for kept in store.kept_files("kept")] == [1, 2, None, 3]
    store.fork_session("kept", 2, "fork", [replace(note("session_forked", 1), payload=FORKED)])
    query = "select session_id, turns, status, forked_from, forked_at_turn from v_sessions order by created_at desc"
    assert store.sql(query).fetchall() == [("kept", 3, "parked", None, None), ("fork", 2, "parked", "kept", 2)]
    assert [kept.turn for kept in store.kept_files("fork")] == [1, 2]
    assert store.turns("fork")[1].text == store.turns("kept")[1].text
    before = derived(store)
    store.rebuild()
    assert derived(store) == before


FORMAT_10 = STORES / "format-10.duckdb.gz"
"""As the last release with format 10 wrote it: `w`, whose workspace was mounted and whose turns were not saved; texts
of the user, the agent, the mounter and the errors look like the fields that were renamed."""


def test_a_store_of_format_10_has_the_new_names(store: Store) -> None:
    store.path.write_bytes(gzip.decompress(FORMAT_10.read_bytes()))
    assert [turn.durability_error for turn in store.turns("w")] == [
        None,
        "lease_held: another installation holds the lease: taken",
        "mismatch: after 60 s bucket and sandbox still differ: 'a' (\"remark\": taken: )",
        'name: "durability_error":"taken: x"',
        "conflict: differs: taken: both",
        "taken, but not as a reason",
    ]
    record = store.session("w")
    assert (record.mount_report, record.sandbox_running) == ('symlink, not hard link; "remark":', True)
    query = "select payload from v_events where kind = 'workspace_attached'"
    ((payload,),) = store.sql(query).fetchall()
    assert json.loads(payload) == {
        "location": 's3://b/"remark":',
        "attachment": "fuse:s3fs",
        "mount_report": 'symlink, not hard link; "remark":',
    }
    assert store.steps("w")[0].text == '"remark": taken: differs: 1'
    assert store.turns("w")[0].text == '"durability_error":"taken: x"'
    assert [file.path for turn in store.turns("w") for file in turn.files] == ["remark"] * 6


def test_the_report_of_a_mount_in_a_store_of_format_4_is_read(store: Store) -> None:
    store.path.write_bytes(gzip.decompress(FORMAT_4.read_bytes()))
    assert [one.mount_report for one in store.sessions() if one.mount_report] == ["renames are copies"]


def test_an_old_store_that_may_not_be_written_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.path.write_bytes(gzip.decompress(FORMAT_10.read_bytes()))
    monkeypatch.setattr(migrations.os, "access", lambda path, mode: (path, mode) != (store.path, os.W_OK))
    with pytest.raises(StoreVersion) as caught:
        store.sessions()
    assert str(caught.value) == (
        f"{store.path} has format 10, this release of session-widgets needs {LATEST}, and it cannot be upgraded in "
        "place: it is read-only. Open it once where it is writable, or open a copy."
    )


def test_a_store_of_this_release_that_may_not_be_written_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append("s1", [note("session_opened", 1, harness="demo", sandbox="local")])
    store.close()
    reader = Store(store.path)
    monkeypatch.setattr(migrations.os, "access", lambda path, mode: (path, mode) != (store.path, os.W_OK))
    assert [one.id for one in reader.sessions()] == ["s1"]
    reader.close()


READ_ONLY = """
import sys
from dataclasses import replace
from session_widgets.errors import StoreVersion
from session_widgets._store import store
opened = store(sys.argv[1])
for read in (lambda: opened.sql("select 1"), opened.sessions):
    try:
        read()
    except StoreVersion as error:
        assert "Open it once where it is writable" in str(error), error
    else:
        raise AssertionError("it was read")
print("refused")
"""


@pytest.mark.needs("tmpfs")
def test_an_old_store_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.duckdb").write_bytes(gzip.decompress(OLD.read_bytes()))
    script = f'mount --bind "{tmp_path}" "{tmp_path}" && mount -o remount,ro,bind "{tmp_path}" && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "-", sys.executable, "-c", READ_ONLY, tmp_path / "t.duckdb"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr
