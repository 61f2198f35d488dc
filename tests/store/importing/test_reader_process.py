"""A process of its own reads the files of a large import: the result is the same, and its death loses nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import psutil
import pytest

from session_widgets._store.database import Store
from session_widgets._store.importing import importer, reader_process
from session_widgets._store.importing.reading import Plan, Wanted
from session_widgets.errors import StoreError
from tests.store.importing.claude import Log, story, text
from tests.store.importing.contents import RECORDED, rows


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Files of all formats, a broken line, two sessions with the same id, and one file that nobody can read."""
    place = tmp_path / "logs"
    shutil.copytree(RECORDED, place / "recorded")
    for name in ("a", "b"):
        (place / f"{name}.jsonl").write_text(f"{story()}{{\n")
    (place / "none.jsonl").write_text("no JSON")
    return place


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that read: every import has one."""
    started: list[int] = []

    class Seen(subprocess.Popen[bytes]):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            started.append(self.pid)

    monkeypatch.setattr(reader_process, "WORTH_IT", 0)
    monkeypatch.setattr(reader_process, "cores", lambda: 2)
    monkeypatch.setattr(reader_process.subprocess, "Popen", Seen)
    return started


def test_a_process_reads_what_this_one_reads(
    store: Store, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: list[int]
) -> None:
    report = store.import_(logs)
    assert len(apart) == 1
    assert not psutil.pid_exists(apart[0])
    monkeypatch.setattr(reader_process, "cores", lambda: 1)
    other = Store(tmp_path / "other.duckdb")
    assert other.import_(logs) == report
    assert len(apart) == 1
    assert report.counts["files_skipped"] == 1
    assert report.counts["malformed"] == 2
    assert rows(other) == rows(store)
    other.close()


def test_grown_and_shrunken_files_are_read_there_too(store: Store, logs: Path, apart: list[int]) -> None:
    store.import_(logs)
    whole = (logs / "a.jsonl").read_text()
    (logs / "a.jsonl").write_text(f"{whole}{story().lines[0]}\n")
    (logs / "b.jsonl").write_text(whole[: len(whole) // 2])
    report = store.import_(logs)
    assert len(apart) == 2
    assert report.counts["records"] == 1
    assert {file.outcome for file in report.files} == {"grown", "truncated", "unchanged", "skipped"}
    assert [issue.code for issue in report.issues if issue.path.endswith("b.jsonl")] == ["truncated"]


def test_a_killed_reader_leaves_what_was_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: list[int]
) -> None:
    monkeypatch.setattr(importer, "BATCH", 1)
    logs = tmp_path / "many"
    logs.mkdir()
    for number in range(40):
        log = Log(f"s{number}").user("u", "Hi").assistant("a", f"m{number}", text("Ho " * 20_000))
        (logs / f"{number:02}.jsonl").write_text(str(log))

    def kill(*_: int) -> None:
        if psutil.pid_exists(apart[-1]):
            psutil.Process(apart[-1]).kill()

    with pytest.raises(StoreError, match="Import again to continue"):
        store.import_(logs, progress=kill)
    written = len(store.sessions())
    assert 0 < written < 40
    assert store.check().ok
    assert store.import_(logs).counts["files_new"] == 40 - written


def test_an_interrupted_import_ends_it_even_while_the_error_is_kept(store: Store, logs: Path, apart: list[int]) -> None:
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:
        store.import_(logs, progress=interrupt)
    assert kept.tb is not None
    assert apart
    assert not psutil.pid_exists(apart[0])


def test_without_such_a_process_the_files_are_read_here(
    store: Store, logs: Path, monkeypatch: pytest.MonkeyPatch, apart: list[int]
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert store.import_(logs).counts["malformed"] == 2
    assert len(apart) == 1


def test_it_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(str(Log("s").user("u", "Hi" * 1_000_000)))
    ours, its = Pipe()
    command = [sys.executable, "-P", "-c", reader_process._PROGRAM, str(its.fileno())]
    with subprocess.Popen(command, pass_fds=[its.fileno()], stderr=subprocess.PIPE) as process:
        its.close()
        ours.send(Plan([Wanted(log, str(log), log.stat().st_size, 0)] * 20, frozenset(), redact=False))
        assert ours.recv() == reader_process.READY
        ours.close()
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_the_folder_of_the_notebook_is_no_place_for_its_modules(
    store: Store, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: list[int]
) -> None:
    (tmp_path / "numpy.py").write_text("import os; os.mkdir('here')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    store.import_(logs)
    assert apart
    assert not Path("here").exists()
