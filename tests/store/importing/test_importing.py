"""Files that grow, change, are damaged, or are no transcripts; imports that are interrupted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from session_widgets._store.database import Store
from session_widgets._store.importing import files, importer, pieces, reading
from session_widgets.errors import BadValue
from tests.store.importing.claude import SESSION, Log, story, text
from tests.store.importing.contents import rows
from tests.support.drafts import derived, opened

pytestmark = pytest.mark.slow


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "a.jsonl"
    path.parent.mkdir()
    path.write_text(str(story()))
    return path


def body(store: Store) -> bytes:
    """The file, put together from its records."""
    query = "select byte_offset, body, is_text from v_raw_records order by byte_offset"
    whole = b""
    for offset, said, is_text in store.sql(query).fetchall():
        assert is_text
        whole = whole.ljust(offset, b"\n") + said.encode()
    return whole


def test_again_adds_nothing_and_reads_nothing(store: Store, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.import_(log.parent)
    before = rows(store)
    monkeypatch.setattr(reading, "recognise", lambda _: pytest.fail("it was read"))
    report = store.import_(log.parent)
    assert (report.counts["files_unchanged"], report.counts["records"]) == (1, 0)
    assert rows(store) == before


def test_a_grown_file_adds_its_new_lines(store: Store, log: Path, path: Path) -> None:
    lines = str(story()).splitlines(keepends=True)
    log.write_text("".join(lines[:5]))
    assert store.import_(log).counts["records"] == 5
    for count in range(6, len(lines) + 1):
        log.write_text("".join(lines[:count]))
        report = store.import_(log)
        assert (report.files[0].outcome, report.counts["records"]) == ("grown", 1)
    grown = rows(store)
    store.delete_session(SESSION)
    assert store.import_(log).files[0].outcome == "new"
    assert rows(store) == grown
    assert body(store) == log.read_bytes().removesuffix(b"\n")


def test_a_last_line_that_is_not_complete_is_replaced_when_it_is(store: Store, log: Path) -> None:
    whole = log.read_bytes()
    log.write_bytes(whole[:-100])
    report = store.import_(log)
    assert [issue.code for issue in report.issues] == ["unfinished_line"]
    assert report.files[0].malformed == 0
    log.write_bytes(whole)
    assert store.import_(log).files[0].outcome == "grown"
    assert store.sql("select * from v_import_issues").fetchall() == []
    assert body(store) == whole.removesuffix(b"\n")
    log.write_bytes(whole.removesuffix(b"\n"))  # without its line feed it is a record all the same
    store.delete_session(SESSION)
    store.import_(log)
    assert store.sql("select count(*) from v_raw_records").fetchall() == [(whole.count(b"\n"),)]
    assert len(store.steps(SESSION)) == 8


def test_a_rewritten_file_replaces_its_rows_and_keeps_its_session(store: Store, log: Path) -> None:
    store.import_(log)
    other = Log().user("u1", "Something else").assistant("a1", "msg_x", text("Yes."))
    log.write_text(str(story()).replace("Fix the test", "Fix the text") + str(other))
    report = store.import_(log)
    assert report.files[0].outcome == "rewritten"
    assert report.sessions == (SESSION,)
    assert [issue.code for issue in report.issues] == ["rewritten"]
    assert store.turns(SESSION)[0].prompt == ({"type": "text", "text": "Fix the text"},)
    assert body(store) == log.read_bytes().removesuffix(b"\n")


def test_a_file_that_lost_lines_changes_nothing(store: Store, log: Path) -> None:
    store.import_(log)
    before = rows(store)
    log.write_text("".join(str(story()).splitlines(keepends=True)[:3]))
    report = store.import_(log)
    assert (report.files[0].outcome, [issue.code for issue in report.issues]) == ("truncated", ["truncated"])
    assert rows(store) == before
    log.write_text("".join(str(story()).replace("Fix", "Mix").splitlines(keepends=True)[:3]))
    assert store.import_(log).files[0].outcome == "rewritten"
    assert store.sql("select count(*) from v_raw_records").fetchall() == [(3,)]


def test_a_deleted_file_keeps_its_session_and_a_deleted_session_is_imported_again(store: Store, log: Path) -> None:
    store.import_(log)
    log.rename(log.with_name("b.txt"))
    assert store.import_(log.parent).files[0].outcome == "new"
    assert len(store.sessions()) == 2
    for record in store.sessions():
        store.delete_session(record.id)
    assert all(not found for found in rows(store).values())
    assert store.import_(log.parent).sessions == (SESSION,)


@pytest.mark.parametrize("session_id", [None, SESSION])
def test_a_rebuild_derives_the_same_rows(store: Store, log: Path, session_id: str | None) -> None:
    branch = story().user("u9", "Start over", parent=None).assistant("a9", "msg_9", text("Gladly."))
    log.write_text(str(branch) + "{broken\n")
    agent = Log(isSidechain=True, agentId="abc").user("s1", "Look").assistant("s2", "msg_s", text("No."))
    log.with_name("agent.jsonl").write_text(str(agent))
    store.append("ours", [opened()])
    store.import_(log.parent)
    before, ours = rows(store), derived(store)
    store.rebuild(session_id)
    assert rows(store) == before
    assert derived(store) == ours


def test_an_interrupted_import_is_continued(store: Store, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        log.with_name(f"{number}.jsonl").write_text(
            str(Log(f"s{number}").user("u", "Hi").assistant("a", f"m{number}", text("Ho")))
        )
    other = Store(store.path.with_name("other.duckdb"))
    other.import_(log.parent)
    complete = rows(other)
    other.close()
    monkeypatch.setattr(importer, "BATCH", 1000)
    monkeypatch.setattr(pieces, "PIECE", 1000)
    for stop in range(1, 40):
        interrupted = interrupt(store, log.parent, stop)
        states = store.sql("select state, count(*) from v_source_files group by all order by all").fetchall()
        found = store.sql("select count(*) from v_raw_records").fetchall()[0][0]
        assert store.sql("select coalesce(sum(records), 0) from v_source_files").fetchall() == [(found,)]
        if not interrupted:
            break
        store.import_(log.parent)
        assert rows(store) == complete
        assert states is not None
        for record in store.sessions():
            store.delete_session(record.id)
    else:
        pytest.fail("no import was complete")
    assert stop > 5
    assert rows(store) == complete


def interrupt(store: Store, path: Path, after: int) -> bool:
    """Import until the given number of pieces was read."""
    seen = 0

    def progress(_: int, __: int) -> None:
        nonlocal seen
        seen += 1
        if seen == after:
            raise KeyboardInterrupt

    try:
        store.import_(path, progress=progress)
    except KeyboardInterrupt:
        return True
    return False


def test_two_imports_at_once_write_a_file_once(store: Store, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Store(store.path)
    original = importer.Importer._add

    def second(self: importer.Importer, piece: Any) -> None:
        monkeypatch.setattr(importer.Importer, "_add", original)
        other.import_(log)
        original(self, piece)

    monkeypatch.setattr(importer.Importer, "_add", second)
    report = store.import_(log)
    assert report.files[0].reason == "another process imported it at the same time"
    assert len(store.sessions()) == 1
    assert store.sql("select count(*) from v_raw_records").fetchall() == [(len(story().lines),)]
    other.close()


GOOD = json.loads(story().lines[0])
BAD: dict[str, Callable[[], bytes]] = {
    "two objects": lambda: json.dumps(GOOD).encode() * 2,
    "cut": lambda: json.dumps(GOOD).encode()[:-5],
    "deep": lambda: b'{"type": "user", "message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nul": lambda: b"\0" * 1000,
    "no utf-8": lambda: b'{"type": "user\xff"',
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_kept_and_reported_and_the_rest_is_imported(store: Store, log: Path, name: str) -> None:
    lines = str(story()).encode().splitlines()
    log.write_bytes(b"\n".join([*lines[:2], BAD[name](), *lines[2:]]) + b"\n")
    report = store.import_(log)
    assert [(issue.line, issue.code) for issue in report.issues] == [(3, "malformed")]
    assert store.sql("select line, code from v_import_issues").fetchall() == [(3, "malformed")]
    assert report.counts["malformed"] == 1
    assert len(store.steps(SESSION)) == 8
    query = "select byte_offset, byte_length, coalesce(not_text, encode(body)) from raw_records where line = 3"
    ((offset, length, data),) = store.sql(query).fetchall()
    assert data == log.read_bytes()[offset : offset + length] == BAD[name]()


ODD: dict[str, Any] = {
    "a number": 5,
    "null": None,
    "a list": [1, 2],
    "no message": {**GOOD, "message": None},
    "content of numbers": {**GOOD, "message": {"role": "user", "content": [1, None, {"type": 4}]}},
    "time backwards": {**GOOD, "timestamp": "1999-01-01T00:00:00Z"},
    "no time": {**GOOD, "timestamp": 10**30},
    "a cycle": {**GOOD, "uuid": "loop", "parentUuid": "loop"},
    "huge tokens": {**GOOD, "type": "assistant", "message": {"id": "big", "usage": {"output_tokens": 10**30}}},
    "half a pair": {**GOOD, "message": {"role": "user", "content": "\ud83d"}},
    "nul": {**GOOD, "message": {"role": "user", "content": "a\0b"}},
    "an unknown kind": {"type": "from the future", "sessionId": SESSION, "uuid": "x"},
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_record_is_data(store: Store, log: Path, name: str) -> None:
    log.write_text(str(story()) + json.dumps(ODD[name]) + "\n")
    report = store.import_(log)
    assert report.issues == []
    assert store.sql("select count(*) from v_raw_records").fetchall() == [(len(story().lines) + 1,)]
    assert len(store.steps(SESSION)) >= 8


def test_a_folder_of_anything_is_a_report(store: Store, log: Path) -> None:
    place = log.parent
    (place / "empty.jsonl").touch()
    (place / "notes.md").write_text("# Notes")
    (place / "picture.png").write_bytes(b"\x89PNG\r\n")
    (place / "other.json").write_text('{"some": "thing"}')
    (place / "broken.zip").write_bytes(b"PK\x03\x04broken")
    (place / "link").symlink_to(place, target_is_directory=True)
    (place / "gone.jsonl").symlink_to(place / "nowhere")
    (place / "wrong.png").write_text(str(Log("other").user("u", "Hi")))
    (place / 'it\'s "quoted".jsonl').write_text(str(Log("quoted").user("u", "Hi")))
    (place / os.fsdecode(b"no-utf8-\xff.jsonl")).write_text(str(Log("bytes").user("u", "Hi")))
    report = store.import_(place)
    assert set(report.sessions) == {SESSION, "other", "quoted", "bytes"}
    reasons = {Path(file.path).name: file.reason for file in report.files if file.outcome == "skipped"}
    assert reasons == {
        "empty.jsonl": "it is empty",
        "notes.md": "it is neither JSON nor an archive",
        "picture.png": "it is neither JSON nor an archive",
        "other.json": "no format recognises it",
        "broken.zip": "it is a damaged zip archive: File is not a zip file",
    }
    assert "4 new" in str(report)
    assert len(report.df()) == 9
    assert "<table>" in report._repr_html_()
    assert "a.jsonl" in repr(report)
    assert len(store.import_(place).sessions) == 0


def test_a_line_above_the_limit_is_kept_in_pieces(store: Store, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 2000)
    long = json.dumps({**GOOD, "uuid": "long", "message": {"role": "user", "content": "x" * 9000}})
    log.write_text(str(story()) + long + "\n" + story().lines[0] + "\n")
    report = store.import_(log)
    assert {(issue.line, issue.code) for issue in report.issues} == {(len(story().lines) + 1, "too_long")}
    whole = b""
    for offset, said in store.sql("select byte_offset, body from v_raw_records order by byte_offset").fetchall():
        whole = whole.ljust(offset, b"\n") + said.encode()
    assert whole + b"\n" == log.read_bytes()


def test_secrets_are_counted_and_replaced_if_that_is_asked(store: Store, log: Path) -> None:
    key = "sk-ant-api03-" + "Ab1" * 31
    log.write_text(str(story()) + str(Log().user("k", f"My key is {key}")))
    assert store.import_(log).counts["secrets"] == 1
    assert key in store.turns(SESSION)[-1].prompt[0]["text"]
    store.delete_session(SESSION)
    assert store.import_(log, secrets="redact").counts["secrets"] == 1
    assert key not in str(rows(store))
    assert store.import_(log, secrets="redact").files[0].outcome == "unchanged"


def test_a_path_that_does_not_exist_and_an_unknown_word_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="there is no file or directory"):
        store.import_(tmp_path / "nowhere")
    with pytest.raises(BadValue, match="'keep' or 'redact'"):
        store.import_(tmp_path, secrets="hide")  # type: ignore[arg-type]


def test_a_person_sees_how_far_a_long_import_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = [0.0], []
    monkeypatch.setattr(importer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    show = importer._shown_by(SimpleNamespace(show=said.append))  # type: ignore[arg-type]
    for now[0], done in ((0.9, 1), (1.5, 37), (1.6, 38), (1.8, 50)):
        show(done * 10**6, 10**8)
    assert said == ["Importing: 37% of 100 MB", "Importing: 50% of 100 MB"]
