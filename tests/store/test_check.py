"""`Store.check`: it finds each fault that a test puts into the file, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import duckdb
import pytest

from session_widgets._store.checking.report import CheckReport
from session_widgets._store.database import Store
from tests.store.story import Story
from tests.support.drafts import chunk, opened, update
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

IMPORTS = ROOT / "tests" / "fixtures" / "imports"


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    """A live session, and imports of lines (one of them malformed, one in Latin-1), a document and an archive."""
    story = Story(store, harness="demo")
    story.agent("c1")
    story.begin(1)
    story.add(update("agent_message_chunk", 0, content={"type": "text", "text": "a"}))
    story.end(1)
    for name in ("claude_code", "mini_swe_agent", "inspect"):
        store.import_(IMPORTS / name)
    lines = next((IMPORTS / "claude_code").glob("*.jsonl"))
    odd = tmp_path / "odd.jsonl"
    odd.write_bytes(lines.read_bytes() + b'{"type": "x"\n\xe9\xff\n{"unfinished": ')
    store.import_(odd)
    store.annotate(lambda transcript: [transcript.steps[0]], "first")
    store.score("s", "good", 1)
    return store


def broken(store: Store, *queries: str) -> CheckReport:
    """Change the file behind the store's back, and check it."""
    store.close()
    with duckdb.connect(str(store.path)) as connection:
        for query in queries:
            connection.execute(query)
    before = hashlib.sha256(store.path.read_bytes()).hexdigest()
    again = Store(store.path)
    report = again.check()
    again.close()
    assert hashlib.sha256(store.path.read_bytes()).hexdigest() == before, "nothing is changed"
    return report


def test_a_sound_store_has_no_findings(filled: Store) -> None:
    seen: list[tuple[int, int]] = []
    report = filled.check(progress=lambda done, total: seen.append((done, total)))
    assert report.ok, report.findings
    assert [each.check for each in report.checks] == ["file", "events", "imports", "references", "derived"]
    assert all(each.count for each in report.checks)
    assert seen[-1][0] == seen[-1][1] > 0
    assert not report.left_out
    assert "nothing is wrong" in repr(report)
    assert json.loads(json.dumps(report.as_json()))["ok"]
    assert list(report.df().columns) == ["check", "where", "what", "remedy"]


def test_each_fault_is_found_with_its_place_and_a_remedy(filled: Store) -> None:
    path = filled.sql("select any_value(path) from v_source_files where path like '%odd.jsonl'").fetchall()[0][0]
    report = broken(
        filled,
        "delete from events where session_id = 's' and seq = 3",
        "update steps set text = 'forged' where session_id = (select min(session_id) from source_sessions) "
        "and step = 0",
        f"update raw_records set body = replace(body, 'a', 'b') where line = 2 and file_id = (select file_id "
        f"from source_files where path = '{path}')",
        "insert into annotations values ('n', 's', 'nowhere', null, 'lost', null, 'me', now())",
        "insert into scores values ('gone', 'good', 1, null, 'me', now())",
        "update source_files set state = 'importing' where path like '%mini%'",
        "insert into turns select * replace ('ghost' as session_id) from turns limit 1",
    )
    assert not report.ok
    found = {(each.check, each.where): each for each in report.findings}
    assert "numbered 1 to" in found["events", "s"].what
    assert "hash" in found["imports", path].what
    assert "name a step" in found["annotations", "s"].what
    assert "session that the store does not have" in found["scores", "gone"].what
    assert "delete_session('ghost')" in found["derived rows", "ghost"].remedy
    assert any("interrupted" in each.what for each in report.findings)
    forged = [each for each in report.findings if each.check == "derived"]
    assert any("of steps differ" in each.what and "rebuild(" in each.remedy for each in forged)
    assert all(each.remedy for each in report.findings)
    assert len(report.df()) == len(report.findings)
    assert "findings" in report._repr_html_()


def test_the_remedy_works(filled: Store) -> None:
    report = broken(filled, "update steps set text = 'forged' where session_id = 's' and kind = 'message'")
    assert [(each.check, each.where) for each in report.findings] == [("derived", "s")]
    again = Store(filled.path)
    again.rebuild("s")
    assert again.check().ok
    again.close()


def test_a_redacted_import_is_said_to_be_no_proof(store: Store, tmp_path: Path) -> None:
    source = next((IMPORTS / "claude_code").rglob("*.jsonl"))
    secret = "sk-ant-" + "api03-" + "Ab1" * 31
    path = tmp_path / "secret.jsonl"
    path.write_text(source.read_text() + json.dumps({"type": "x", "key": secret}) + "\n")
    store.import_(path, secrets="redact")
    report = store.check()
    assert report.ok, report.findings
    assert report.left_out == ["the hash of 1 file: secrets in their lines were replaced"]


def test_a_damaged_file_is_a_finding(store: Store) -> None:
    store.append("s", [opened(), *(chunk(number, os.urandom(3000).hex()) for number in range(1, 400))])
    store.close()
    with store.path.open("r+b") as file:
        size = store.path.stat().st_size
        for at in range(size // 4, size * 3 // 4, 4096):
            file.seek(at)
            file.write(b"\xff" * 64)
    again = Store(store.path)
    report = again.check()
    again.close()
    assert not report.ok
    assert ("file", "events") in {(each.check, each.where) for each in report.findings}
    assert all("backup" in each.remedy for each in report.findings)
    assert report.left_out == ["everything else: the file is damaged"]


def test_a_running_turn_is_no_finding(store: Store) -> None:
    story = Story(store, harness="demo")
    story.agent("c1")
    story.begin(1)
    story.add(update("tool_call", 0, toolCallId="x", status="in_progress"))
    story.ask(1, 5, "x")
    story.cost(None, 0.5)
    assert store.check().ok
    story.end(1)
    story.begin(2)
    assert store.check().ok
