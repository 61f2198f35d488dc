"""Sessions are exported: to the same bytes as they were imported from, and to formats that others accept."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from session_widgets._store import store as open_store
from session_widgets._store.database import Store
from session_widgets.errors import BadValue, SessionGone
from tests.store.importing.claude import SESSION, Log, story, text, tool
from tests.store.importing.contents import RECORDED
from tests.support.drafts import note, opened, update
from tests.support.paths import shared

pytestmark = pytest.mark.slow

KEY = "sk-ant-" + "api03-" + "x7Kd9" * 8
SAME = ("turn", "kind", "text", "tool_kind", "raw_input", "exit_code", "failure")
LOST = {
    "claude-code": {"thought", "plan", "notice", "error", "subagent"},
    "codex": {"thought", "plan", "notice", "error", "subagent"},
    "otel": {"plan", "notice", "error", "subagent", "compaction"},
    "inspect-eval": {"plan", "notice", "error", "subagent", "compaction", "thought"},
    "acp": set(),
    "atif": {"plan", "notice", "error", "subagent", "compaction"},
}
"""Kinds of steps that a format cannot hold, or that it calls otherwise."""


@pytest.fixture
def told(store: Store, tmp_path: Path) -> Store:
    """A store with the story."""
    (tmp_path / "a.jsonl").write_text(str(story()))
    store.import_(tmp_path / "a.jsonl")
    return store


def same_bytes(store: Store, folder: Path, to: Path) -> int:
    """Export every session of a folder in its own format, compare the files, and return how many."""
    store.import_(folder)
    query = """select s.session_id, f.path, f.format from source_sessions s join source_files f using (file_id)"""
    found = store.sql(query).fetchall()
    for session_id, path, name in found:
        store.export(session_id, name, to, redact=False)
        assert to.read_bytes() == Path(path).read_bytes(), path
    return len(found)


def test_the_recorded_files_are_the_same_byte_for_byte(store: Store, tmp_path: Path) -> None:
    assert same_bytes(store, RECORDED, tmp_path / "same") > 15


def test_the_shared_samples_are_the_same_byte_for_byte(store: Store, tmp_path: Path) -> None:
    assert same_bytes(store, shared("data/transcripts"), tmp_path / "same") > 80


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\r\n", "\n{broken", "\n\xff\xfe\n"])
def test_ends_of_files_are_the_same(store: Store, tmp_path: Path, end: str) -> None:
    data = str(story()).rstrip("\n").replace("\n", "\r\n", 1).replace("\n", "\n\n", 2) + end
    (tmp_path / "a.jsonl").write_bytes(data.encode("latin-1"))
    store.import_(tmp_path / "a.jsonl")
    store.export(SESSION, "claude-code", tmp_path / "b.jsonl", redact=False)
    assert (tmp_path / "b.jsonl").read_bytes() == data.encode("latin-1")


def recorded(store: Store, name: str) -> str:
    """Import a recorded session of another program than `name`, with tools and tokens."""
    (session,) = store.import_(RECORDED / ("claude_code" if name == "codex" else "codex")).sessions[:1]
    return session


@pytest.mark.parametrize("name", sorted(LOST))
def test_an_export_imports_to_the_same_steps(store: Store, tmp_path: Path, name: str) -> None:
    session = recorded(store, name)
    store.export(session, name, tmp_path / "exported")
    (again,) = store.import_(tmp_path / "exported").sessions

    def steps(session_id: str) -> list[Any]:
        return [
            tuple(getattr(step, field) for field in SAME[:5])
            for step in store.steps(session_id)
            if step.kind not in LOST[name]
        ]

    kinds = [step[1:3] for step in steps(again)]
    assert kinds == [step[1:3] for step in steps(session)]
    assert [step[4] for step in steps(again)] == [step[4] for step in steps(session)]


@pytest.mark.parametrize("name", ["atif", "codex", "otel", "inspect-eval"])
def test_tokens_survive(told: Store, tmp_path: Path, name: str) -> None:
    told.export(SESSION, name, tmp_path / "exported")
    other = open_store(tmp_path / "other.duckdb")  # in the same store, a call would count for the original
    other.import_(tmp_path / "exported")
    sums = """select sum(coalesce(input_uncached_tokens, 0) + coalesce(cache_write_tokens, 0)),
                     sum(cache_read_tokens), sum(output_tokens) from v_llm_calls"""
    before, after = told.sql(sums).fetchall(), other.sql(sums).fetchall()
    other.close()
    assert before[0][0] > 0
    assert after == before


@pytest.mark.parametrize("name", ["claude_code", "codex", "opencode", "pi"])
def test_notifications_are_those_of_acp(store: Store, tmp_path: Path, name: str) -> None:
    from acp.schema import SessionNotification  # slower to load than all the rest

    for session in store.import_(RECORDED / name).sessions:
        store.export(session, "acp", tmp_path / "lines")
        messages = [json.loads(line)["msg"] for line in (tmp_path / "lines").read_text().splitlines()]
        updates = [message["params"] for message in messages if message.get("method") == "session/update"]
        known = [params for params in updates if params["update"]["sessionUpdate"] in OF_ACP]
        assert known
        for params in known:
            SessionNotification.model_validate(params)


OF_ACP = {"agent_message_chunk", "agent_thought_chunk", "tool_call", "plan"}


def test_a_live_session_is_exported_with_its_own_envelopes(store: Store, tmp_path: Path) -> None:
    half = 5  # in the middle of what its format is recognised by
    pieces = [{"content": {"type": "text", "text": piece}} for piece in ("Use ", KEY[:half], KEY[half:])]
    chunks = [update("agent_message_chunk", 3 + number, turn=1, **piece) for number, piece in enumerate(pieces)]
    started = note("turn_started", 2, turn=1, prompt=[{"type": "text", "text": "go"}])
    store.append("live", [opened(), started, *chunks, note("turn_ended", 9, turn=1, status="completed")])
    report = store.export("live", "acp", tmp_path / "whole", redact=False)
    assert len(report.hits) == 0
    assert (tmp_path / "whole").read_text().count("agent_message_chunk") == 3
    for name in ("acp", "html", "atif", "claude-code", "codex", "otel"):
        report = store.export("live", name, tmp_path / "plain")
        written = (tmp_path / "plain").read_text()
        assert "[redacted]" in written, name
        assert KEY[half:] not in written, name


def test_secrets_are_replaced_and_listed_but_never_shown(store: Store, tmp_path: Path) -> None:
    log = Log().user("u", f"Use {KEY}")
    log.assistant("a", "m", tool("t", "Bash", command=f"curl -H {KEY}")).result("r", "t", f"{KEY} is wrong")
    (tmp_path / "a.jsonl").write_text(str(log))
    (session,) = store.import_(tmp_path / "a.jsonl").sessions
    hits = store.export_preview(session)
    assert {(hit.shape, hit.start, hit.length) for hit in hits} == {("sk-ant-", "sk-a", len(KEY))}
    places = [hit.where for hit in hits]
    assert "turn 1, step 0, text" in places
    assert "turn 1, step 1, raw_input.command" in places
    assert list(hits.df().columns) == ["where", "shape", "start", "length"]
    for shown in (repr(hits), hits._repr_html_()):
        assert "sk-a" in shown
        assert KEY[8:] not in shown
    for name in ("claude-code", "html", "codex", "parquet"):
        assert len(store.export(session, name, tmp_path / name).hits) > 2
        files = [tmp_path / name] if name != "parquet" else list((tmp_path / name).iterdir())
        assert not [file for file in files if KEY.encode() in file.read_bytes()]
    assert "line 1" in {hit.where for hit in store.export_preview(session, "claude-code")}
    store.export(session, "html", tmp_path / "whole", redact=False)
    assert KEY in (tmp_path / "whole").read_text()


def test_parquet_files_have_the_rows_of_the_views(told: Store, tmp_path: Path) -> None:
    told.export(SESSION, "parquet", tmp_path / "files")
    assert {file.stem for file in (tmp_path / "files").iterdir()} == {
        "sessions", "turns", "events", "steps", "tool_calls", "llm_calls",
    }  # fmt: skip
    with duckdb.connect() as connection:
        read = connection.sql(f"from '{tmp_path}/files/steps.parquet' order by turn, step")
        here = told.sql("select * from v_steps order by turn, step")
        assert (read.columns, read.fetchall()) == (here.columns, here.fetchall())


class Page(HTMLParser):
    """What a page would load or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_loads_nothing_runs_nothing_and_is_not_much_larger_than_its_text(store: Store, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[31m\ud800"
    log = Log().user("u", hostile)
    markdown = "**bold** [one](javascript:alert(3)) [two](https://example.org) ![three](https://example.org/x.png)"
    log.assistant("a", "m", text(f"{markdown} {hostile}"))
    for number in range(100):
        log.assistant(f"a{number}", f"m{number}", text(f"```\n{hostile}\n```\nlong text " * 20))
        log.assistant(f"b{number}", f"m{number}", tool(f"t{number}", f'x" onclick="{hostile}', path=hostile))
        log.result(f"r{number}", f"t{number}", f"</pre>{hostile} " * 10)
    (tmp_path / "a.jsonl").write_text(str(log))
    (session,) = store.import_(tmp_path / "a.jsonl").sessions
    report = store.to_html(session, tmp_path / "page.html")
    written = (tmp_path / "page.html").read_text()
    page = Page(written)
    assert page.tags <= {
        "html", "meta", "title", "style", "h1", "h2", "p", "details", "summary", "code", "pre", "div", "del", "ins",
        "br", "strong", "a",
    }  # fmt: skip
    assert page.names <= {"lang", "charset", "name", "content", "http-equiv", "class", "href"}
    assert "<strong>bold</strong>" in written
    assert re.findall('href="(.*?)"', written) == ["https://example.org", "https://example.org/x.png"]
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in written
    assert "prefers-color-scheme:dark" in written
    assert report.size == len((tmp_path / "page.html").read_bytes())


def test_a_page_shows_every_line_of_a_change_in_little_markup(store: Store, tmp_path: Path) -> None:
    old, new = 'keep\n-- a "comment"\nold\n', "keep\n++ other\n++ more\n"
    log = Log().user("u", "go").assistant("a", "m", tool("t", "Edit", file_path="/a"))
    log.result("r", "t", "done", toolUseResult={"filePath": "/a", "oldString": old, "newString": new})
    (tmp_path / "a.jsonl").write_text(str(log))
    (session,) = store.import_(tmp_path / "a.jsonl").sessions
    store.to_html(session, tmp_path / "page.html")
    change = (tmp_path / "page.html").read_text()
    assert '\n<del>--- a "comment"\n-old\n</del><ins>+++ other\n+++ more\n</ins></pre>' in change


def test_a_page_of_a_real_session_is_at_most_half_larger_than_its_text(store: Store, tmp_path: Path) -> None:
    samples = sorted(shared("data/transcripts/claude_code").glob("*.jsonl"), key=lambda file: file.stat().st_size)
    (session,) = store.import_(samples[-1]).sessions
    report = store.to_html(session, tmp_path / "page.html")
    steps = store.steps(session)
    said = sum(len(str(part)) for step in steps for part in (step.text, step.content, step.raw_input) if part)
    assert report.size <= 1.5 * said


def test_the_formats_are_named_and_a_failed_export_leaves_the_old_file(told: Store, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    with pytest.raises(BadValue, match=r"acp, atif, claude-code, codex, html, inspect-eval, otel.*parquet"):
        told.export(SESSION, "word", tmp_path / "old")
    with pytest.raises(SessionGone):
        told.export("nobody", "atif", tmp_path / "old")
    with pytest.raises(SessionGone):
        told.export("nobody", "parquet", tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []
    assert (tmp_path / "old").read_text() == "old"
