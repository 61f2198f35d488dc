"""An import beside live turns, killed imports, and stores of an older release with imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from session_widgets._store import failures
from session_widgets._store import store as open_store
from session_widgets._store.connection import PATIENCE
from session_widgets._store.database import Store
from session_widgets._store.importing.importer import Importer
from session_widgets._store.migrations import MIGRATIONS, _derive_again
from tests.store.importing.claude import Log, story, text
from tests.store.importing.contents import TABLES as IMPORTED
from tests.store.importing.contents import rows
from tests.support.cores import waited_for_a_core
from tests.support.drafts import TABLES, chunk, derived, note, opened
from tests.support.paths import ROOT

IMPORT = "import sys; from session_widgets._store import store; print(store(sys.argv[1]).import_(sys.argv[2]))"


def importing(store: Store, place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", IMPORT, str(store.path), str(place)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def brief(store: Store, names: Iterable[str], without: str = "") -> dict[str, list[Any]]:
    """Every row, with the hash of each long text: two copies of a large store would fill the memory."""
    texts = f"select columns(lambda name: name not in ('file_id', '{without}'))::varchar from"
    short = "if(length(columns(*)) > 100, md5(columns(*)), columns(*))"
    return {name: store.sql(f"select {short} from ({texts} {name}) order by all").fetchall() for name in names}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 MB in 60 files."""
    place = tmp_path_factory.mktemp("corpus")
    for number in range(60):
        log = Log(f"session-{number}")
        for turn in range(10):
            log.user(f"u{turn}", f"question {turn} " + f"{number}.{turn} " * 4_000)
            log.assistant(f"a{turn}", f"msg_{number}_{turn}", text(f"answer {turn} " + f"{turn}.{number} " * 4_000))
        (place / f"{number}.jsonl").write_text(str(log))
    return place


def test_a_turn_streams_beside_an_import(store: Store, corpus: Path) -> None:
    store.append("live", [opened(), note("turn_started", 2, turn=1, prompt=[])])
    longest, seq = 0.0, 2
    process = importing(store, corpus)
    try:
        while process.poll() is None:
            begin, waited = time.monotonic(), waited_for_a_core(os.getpid(), process.pid)
            (event,) = store.append("live", [chunk(seq := seq + 1)])
            assert event.seq == seq, "what was committed is still there"
            others = max(0, waited_for_a_core(os.getpid(), process.pid) - waited)
            longest = max(longest, time.monotonic() - begin - others)
            time.sleep(0.02)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, err
    assert out.startswith("60 new")
    assert longest < 2
    assert store.sql("select count(*) from v_sessions where origin = 'import'").fetchall() == [(60,)]
    assert len(store.events("live")) == seq
    before = brief(store, TABLES)
    store.rebuild("live")
    assert brief(store, TABLES) == before


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.nightly)])
def test_killed_imports_are_completed_by_the_next(store: Store, corpus: Path, kills: int) -> None:
    """Killed several times, each time after its first commit; then it is what an import without a kill gives."""
    count = "select count(*) from v_source_files"
    killed = 0
    for _ in range(kills):
        before = store.sql(count).fetchall()[0][0]
        for session in store.sessions()[: 40 if before > 40 else 0]:  # so that there is something to import again
            store.delete_session(session.id)
        wanted = store.sql(count).fetchall()[0][0] + 1
        process = importing(store, corpus)
        deadline = time.monotonic() + 40
        while process.poll() is None and time.monotonic() < deadline:
            if store.sql(count).fetchall()[0][0] >= wanted:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        files, records = store.sql("select count(*), coalesce(sum(records), 0) from v_source_files").fetchall()[0]
        assert store.sql("select count(*) from v_raw_records").fetchall() == [(records,)]
        assert store.sql("select count(*) from v_sessions").fetchall() == [(files,)]
    assert killed > kills / 2
    store.import_(corpus)
    other = Store(store.path.with_name("other.duckdb"))
    other.import_(corpus)
    here, there = (brief(one, IMPORTED, "origin") for one in (store, other))  # `origin` has the number of the file
    assert here == there, "only the numbers of files are others, after a deletion"
    other.close()


def test_a_store_of_an_older_release_derives_its_imports_again(store: Store, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    branch = story().user("u9", "Start over", parent=None).assistant("a9", "msg_9", text("Gladly."))
    (tmp_path / "logs" / "a.jsonl").write_text(str(branch))
    store.append("ours", [opened()])
    store.import_(tmp_path / "logs")
    before, ours = rows(store), derived(store)
    store.close()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("delete from schema_version where version > ?", [MIGRATIONS.index(_derive_again)])
        connection.execute("drop table annotations; drop table scores")
        connection.execute("truncate steps; truncate turns; truncate sessions; truncate llm_calls")
    newer = open_store(store.path)
    assert (rows(newer), derived(newer)) == (before, ours)
    assert newer.import_(tmp_path / "logs").counts["files_unchanged"] == 1
    newer.close()


def test_a_format_that_is_gone_keeps_what_was_derived(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "a.jsonl").write_text(str(story()))
    store.import_(tmp_path / "a.jsonl")
    before = rows(store)
    monkeypatch.setattr("session_widgets._store.importing.deriving.format_named", lambda _: None)
    store.rebuild()
    assert rows(store) == before


def test_an_import_waits_as_long_as_its_own_process_writes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the file may take longer to be written than an ordinary call waits."""
    (tmp_path / "a.jsonl").write_text(str(story()))
    store.sessions()
    writing, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with store._file.alone():
            writing.set()
            may_end.wait()

    busy = failures.busy

    def told(*given: Any) -> Exception:
        store._file._patience = PATIENCE  # the import has waited for as long as it may
        may_end.set()
        return busy(*given)

    holder = threading.Thread(target=hold)
    original = Importer._write

    def write(importer: Importer) -> None:
        monkeypatch.setattr(store._file, "_patience", 0.05)
        holder.start()
        writing.wait()
        original(importer)

    monkeypatch.setattr(failures, "busy", told)
    monkeypatch.setattr(Importer, "_write", write)
    report = store.import_(tmp_path / "a.jsonl")
    holder.join()
    assert report.counts["files_new"] == 1
    assert len(store.sessions()) == 1
