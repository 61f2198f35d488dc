"""Corpora of a seeded generator; the large ones with `make nightly`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import corpus
from benchmarks.importing import IMPORT
from session_widgets._store.database import Store
from tests.store.importing.claude import Log, text
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow


def test_the_same_seed_gives_the_same_corpus_and_every_format_of_it_is_read(store: Store, tmp_path: Path) -> None:
    for name in ("one", "other"):
        size = corpus.write(tmp_path / name, 400_000, file_bytes=60_000)
        assert 400_000 <= size < 500_000
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.jsonl"))
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "other" / path).read_bytes() for path in files)
    report = store.import_(tmp_path / "one")
    assert not report.issues
    parts = dict(store.sql("select format, sum(bytes)::bigint from v_source_files group by all").fetchall())
    total = sum(parts.values())
    assert {name: round(count / total, 1) for name, count in parts.items()} == {
        name: round(part, 1) for name, part in corpus.PROPORTIONS.items()
    }
    query = """select s.format, count_if(input_uncached_tokens is null), count_if(usage_quality = 'none')
               from v_llm_calls join v_sessions s using (session_id) group by all order by all"""
    assert store.sql(query).fetchall() == [(name, 0, 0) for name in sorted(corpus.PROPORTIONS)]
    assert store.check().ok


def imported(path: Path, store: Path) -> dict[str, float]:
    """Import in a process of its own, which says what it needed."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(path), str(store)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_session_of_2_gb_needs_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    size = corpus.one_session(path, 2_000_000_000)
    said = imported(path, tmp_path / "store.duckdb")
    assert said["sessions"] == 1
    assert said["memory"] <= 500
    assert (tmp_path / "store.duckdb").stat().st_size < size
    path.unlink()


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_20_000_files_are_a_report_and_are_not_read_again(store: Store, tmp_path: Path) -> None:
    for number in range(20_000):
        log = Log(f"{number:08d}-0000-4000-8000-000000000000").user("u1", f"question {number}")
        place = tmp_path / f"project-{number % 50}" / f"{number}.jsonl"
        place.parent.mkdir(exist_ok=True)
        place.write_text(str(log.assistant("a1", f"msg_{number}", text(f"answer {number}"))))
    report = store.import_(tmp_path)
    assert (report.counts["files_new"], report.counts["records"], report.issues) == (20_000, 40_000, [])
    again = store.import_(tmp_path)
    assert (again.counts["files_unchanged"], again.counts["records"]) == (20_000, 0)
    assert store.sql("select count(*), sum(steps)::int from v_runs").fetchall() == [(20_000, 40_000)]


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_session_of_50_000_steps_is_read_whole(tmp_path: Path) -> None:
    path, store = tmp_path / "long.jsonl", Store(tmp_path / "store.duckdb")
    corpus.one_session(path, 220_000_000)
    store.import_(path)
    (name,) = [record.id for record in store.sessions()]
    assert len(store.steps(name)) > 50_000
    assert len(store.transcript(name).steps) > 50_000
    assert store.check().ok
    store.close()
