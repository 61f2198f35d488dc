"""Search over the text of all steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._store import searching
from session_widgets._store.database import Store
from session_widgets._store.hits import Hit
from session_widgets._store.search_filters import wanted
from session_widgets.errors import BadValue
from tests.store.importing.claude import SESSION, story
from tests.support.drafts import TS, note, opened, update

pytestmark = pytest.mark.slow

OUTPUT = 'curl: (7) "Connection refused"\nby host\\port\n<script>alert(1)</script>'
PROMPT = [{"type": "text", "text": "say müssen"}]


@pytest.fixture
def filled(store: Store) -> Store:
    """`a` of codex with a message, a failed command and an edit; then `b` of the demo, whose turn failed."""
    a = [
        opened(harness="codex", model="gpt-5-codex"),
        note("turn_started", 2, turn=1, prompt=PROMPT),
        update("agent_message_chunk", 3, content={"type": "text", "text": "the connection was refused. MÜSSEN"}),
        update("tool_call", 4, toolCallId="t1", title="curl host", kind="execute", status="in_progress",
               rawInput={"command": "curl http://host:1", "type": "shell"}),
        update("tool_call_update", 5, toolCallId="t1", status="failed",
               content=[{"type": "content", "content": {"type": "text", "text": OUTPUT}}]),
        update("tool_call", 6, toolCallId="t2", title="Edit", kind="edit", status="completed",
               locations=[{"path": "/w/src/parser.py"}],
               content=[{"type": "diff", "path": "/w/src/parser.py", "oldText": "old word", "newText": "new word"}]),
        note("turn_ended", 7, turn=1, status="completed"),
    ]  # fmt: skip
    b = [
        opened(harness="demo"),
        note("turn_started", 2, turn=1, prompt=[{"type": "text", "text": "connection"}]),
        note("turn_ended", 3, turn=1, status="failed", error="the model said: Connection refused"),
    ]
    for name, drafts, day in (("a", a, 0), ("b", b, 1)):
        store.append(name, [replace(draft, ts=TS + timedelta(days=day, seconds=n)) for n, draft in enumerate(drafts)])
    return store


def found(store: Store, text: str, **filters: object) -> list[tuple[str, str]]:
    hits = store.search(text, **filters)
    assert hits.complete, hits.reason
    return [(hit.place, hit.field) for hit in hits]


def test_text_is_found_in_every_field_newest_first_with_its_context(filled: Store) -> None:
    assert found(filled, "connection REFUSED") == [("b/1/1", "text"), ("a/1/2", "output")]
    hit = filled.search("connection refused")[1]
    assert (hit.before, hit.match, hit.after) == ('curl: (7) "', "Connection refused", OUTPUT.partition("refused")[2])
    assert (hit.kind, hit.tool, hit.title, hit.harness) == ("tool_call", "execute", "curl host", "codex")
    assert hit.step_uid == "a/1/2"
    assert hit.at == TS + timedelta(seconds=3)
    assert found(filled, "müssen") == [("a/1/1", "text"), ("a/1/0", "text")]
    assert found(filled, "new word") == [("a/1/3", "output")]
    assert found(filled, "http://host:1") == [("a/1/2", "input")]
    assert found(filled, "curl host") == [("a/1/2", "title")]
    assert found(filled, "nowhere") == []


def test_what_json_escapes_is_found_as_it_was_written(filled: Store) -> None:
    for text in ('"Connection refused"', "host\\port", 'refused"\nby', "</script>"):
        assert found(filled, text) == [("a/1/2", "output")], text


def test_names_of_json_are_no_text_of_a_step(filled: Store) -> None:
    assert found(filled, "type") == [("a/1/2", "input")][:0]
    assert found(filled, "oldText") == []
    assert found(filled, "toolCallId") == []


def test_an_expression_matches_lines_and_across_them(filled: Store) -> None:
    assert found(filled, r"connection\s+(was )?refused", regex=True) == [
        ("b/1/1", "text"), ("a/1/2", "output"), ("a/1/1", "text"),
    ]  # fmt: skip
    assert found(filled, r"^by host\\port$", regex=True) == [("a/1/2", "output")]
    assert found(filled, r'refused"\s+by', regex=True) == [("a/1/2", "output")]
    assert found(filled, "connection REFUSED", case=True) == []
    assert found(filled, "Connection refused", case=True) == [("b/1/1", "text"), ("a/1/2", "output")]


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        ({"harness": "codex"}, ["a/1/2", "a/1/1"]),
        ({"harness": ["demo", "pi"]}, ["b/1/1", "b/1/0"]),
        ({"model": "GPT-5"}, ["a/1/2", "a/1/1"]),
        ({"tool": "execute"}, ["a/1/2"]),
        ({"kind": "message"}, ["a/1/1"]),
        ({"kind": ["user", "error"]}, ["b/1/1", "b/1/0"]),
        ({"error": True}, ["b/1/1", "a/1/2"]),
        ({"error": False}, ["b/1/0", "a/1/1"]),
        ({"session": "b"}, ["b/1/1", "b/1/0"]),
        ({"since": TS.date() + timedelta(days=1)}, ["b/1/1", "b/1/0"]),
        ({"since": "2026-11-21T09:00:03"}, ["b/1/1", "b/1/0", "a/1/2"]),
        ({"until": datetime(2026, 11, 22, tzinfo=UTC)}, ["a/1/2", "a/1/1"]),
        ({"harness": "codex", "kind": "user"}, []),
    ],
    ids=str,
)
def test_filters(filled: Store, filters: dict[str, object], places: list[str]) -> None:
    assert [place for place, _ in found(filled, "connection", **filters)] == places


def test_an_expression_matches_at_the_ends_of_lines_and_of_texts(filled: Store) -> None:
    for pattern in ("^curl: .7. .Connection", "^by host", "refused.$", r"host\\port$", r'"Connection refused"$'):
        assert found(filled, pattern, regex=True) == [("a/1/2", "output")], pattern
    assert found(filled, "^refused", regex=True) == []


def test_a_file_is_a_part_of_a_path(filled: Store) -> None:
    assert found(filled, "word", file="src/parser.py") == [("a/1/3", "output")]
    assert found(filled, "word", file="other.py") == []


def test_an_answer_that_is_not_everything_says_so(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hits = filled.search("connection", limit=2)
    assert len(hits) == 2
    assert not hits.complete
    assert "the newest 2 hits; there may be more" in hits.coverage
    every = filled.search("connection")
    assert every.coverage.startswith("4 hits in 6 steps of 2 sessions")
    assert every.coverage.endswith("complete")
    assert filled.search("connection", limit=4).complete
    monkeypatch.setattr(searching, "STEPS_AT_ONCE", 1)
    assert list(filled.search("connection")) == list(every)
    assert list(filled.search("connection", limit=2)) == list(hits)


def test_at_the_time_limit_it_has_the_hits_so_far(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "STEPS_AT_ONCE", 1)
    read, scans = searching.Search._read, []

    def slow(search: searching.Search, query: str, *args: object, **more: object) -> object:
        scans.append(query)
        if sum("matches" in one for one in scans) > 1:
            raise TimeoutError
        return read(search, query, *args, **more)

    monkeypatch.setattr(searching.Search, "_read", slow)
    hits = filled.search("connection")
    assert [hit.place for hit in hits] == ["b/1/1", "b/1/0"]
    assert "stopped after 10 s; older steps were not searched" in hits.coverage
    assert not filled.search("connection", timeout=0.0).complete


def test_a_search_tells_how_far_it_is_and_can_be_stopped(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "STEPS_AT_ONCE", 1)
    told: list[tuple[int, float]] = []

    def search(goes_on: bool) -> searching.Hits:
        def progress(hits: Sequence[Hit], done: float) -> bool:
            told.append((len(hits), round(done, 2)))
            return goes_on

        return searching.Search(filled, wanted("connection", {}), 100, 10.0, progress).run()

    assert search(True).complete
    assert told == [(2, 0.33), (4, 1.0)]
    stopped = search(False)
    assert [hit.place for hit in stopped] == ["b/1/1", "b/1/0"]
    assert stopped.reason == "stopped; older steps were not searched"
    with pytest.raises(BadValue, match="no filter 'tols'; there are regex, case, harness"):
        filled.search("a", tols="execute")


@pytest.mark.parametrize(
    ("text", "filters", "message"),
    [
        ("", {}, "nothing but spaces"),
        ("x" * 1001, {}, "at most 1000 characters"),
        ("(a", {"regex": True}, "cannot be used.*RE2"),
        (r"(a)\1", {"regex": True}, "cannot be used"),
        ("(?=a)", {"regex": True}, "cannot be used"),
        ("a", {"since": "yesterday"}, "since must be a time"),
        ("a", {"limit": 0}, "from 1"),
    ],
)
def test_what_cannot_be_searched_is_refused(filled: Store, text: str, filters: dict[str, object], message: str) -> None:
    with pytest.raises(BadValue, match=message):
        filled.search(text, **filters)


def test_an_expression_that_freezes_others_takes_linear_time(filled: Store) -> None:
    filled.append("a", [update("agent_message_chunk", 90, turn=2, content={"type": "text", "text": "a" * 200_000})])
    filled.append("a", [note("turn_ended", 91, turn=2, status="completed")])
    assert filled.search("(a+)+$", regex=True, timeout=30, harness="codex", kind="message").complete
    assert filled.search("(a|a)*b", regex=True, timeout=30).complete


def test_imports_are_searched_and_a_copied_step_is_found_once(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(str(story()))
    filled.import_(tmp_path)
    texts = [step.text for step in filled.steps(SESSION) if step.text and len(step.text) > 5]
    assert [hit.session_id for hit in filled.search(texts[0])] == [SESSION]
    filled.fork_session("a", 1, "fork", [replace(note("session_forked", 1), payload=json.dumps(
        {"session": "a", "turn": 1, "workspace": "/w"}))])  # fmt: skip
    assert found(filled, "new word") == [("a/1/3", "output")]
    assert found(filled, "new word", session="fork") == [("fork/1/3", "output")]


def test_a_hit_opens_its_step(filled: Store) -> None:
    import session_widgets  # noqa: F401 - it binds the widget

    hits = filled.search("new word")
    opened_at = hits.open(0)
    try:
        assert opened_at.session_id == "a"
        step = filled.steps("a")[hits[0].step]
        assert step.first_seq <= opened_at.seq <= step.last_seq
    finally:
        opened_at.close()
    with pytest.raises(IndexError):
        hits.open(1)


def test_text_of_agents_is_shown_as_text(filled: Store) -> None:
    hits = filled.search("script", harness="codex")
    drawn = hits._repr_html_()
    assert "&lt;<mark>script</mark>&gt;alert(1)" in drawn
    assert "<script" not in drawn
    assert repr(hits).startswith("a/1/2  execute, output  2026-11-21 09:00\n    ")
    assert list(hits.df()["match"]) == ["script"]
    assert list(filled.search("nowhere").df().columns)[:3] == ["session_id", "turn", "step"]
    filled.append(
        "a", [update("agent_message_chunk", 90, turn=2, content={"type": "text", "text": "\x1b[2Jevil\u202e"})]
    )
    filled.append("a", [note("turn_ended", 91, turn=2, status="completed")])
    assert "␛[2J[evil]⟨U+202E⟩" in repr(filled.search("evil"))


def test_the_short_form_names_its_arguments() -> None:
    assert list(signature(sw.search).parameters) == ["text", "limit", "timeout", "filters"]
    assert signature(sw.search).parameters["filters"].annotation == "Unpack[Filters]"
    with pytest.raises(BadValue, match="no filter 'harnes'"):
        wanted("x", {"harnes": "codex"})  # type: ignore[typeddict-unknown-key]
