"""A turn in the terminal, whose text cannot control the terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace

import pytest
from rich.console import Console

from session_widgets.cli.turn_printer import TurnPrinter
from session_widgets.printing import one_line, printable
from session_widgets.transcript.records import Event, FileChange, Usage

TS = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hostile", "drawn"),
    [
        ("a\x1b[2Jb", "a␛[2Jb"),
        ("a\x1b]0;title\x07b", "a␛]0;title␇b"),
        ("good\rbad", "good␍bad"),
        ("line\r\nline", "line\nline"),
        ("\x9b31m", "⟨U+009B⟩31m"),
        ("\x7f\b", "␡␈"),
        ("exe\u202egpj", "exe⟨U+202E⟩gpj"),
        ("\u2066isolate\u2069", "⟨U+2066⟩isolate⟨U+2069⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("tab\tand\nnewline, äß日本👋", "tab\tand\nnewline, äß日本👋"),
    ],
)
def test_control_characters_are_drawn(hostile, drawn):
    assert printable(hostile) == drawn


def test_one_line_is_one_short_line():
    assert one_line("a\n\tb\r\nc", 10) == "a b c"
    assert one_line("x" * 5_000_000, 10) == "x" * 9 + "…"


@pytest.fixture
def screen():
    """Feed it payloads of updates; read what was printed."""
    output = io.StringIO()
    printer = TurnPrinter("s", Console(file=output, width=80, highlight=False, markup=False, emoji=False))
    seq = count(1)

    def update(kind, /, **fields):
        payload = {"method": "session/update", "params": {"update": {"sessionUpdate": kind, **fields}}}
        printer.feed(Event("s", next(seq), 1, TS, "in", "session/update", kind, payload))

    def note(kind, **fields):
        printer.feed(Event("s", next(seq), 1, TS, "note", None, kind, fields))

    def chunk(text, kind="agent_message_chunk"):
        update(kind, content={"type": "text", "text": text})

    return SimpleNamespace(
        update=update,
        note=note,
        chunk=chunk,
        printer=printer,
        text=output.getvalue,
        start=lambda: note("turn_started", prompt=[]),
    )


def test_text_is_printed_as_it_grows(screen):
    screen.start()
    for piece in ("Hel", "lo ", "[bold]world[/bold]\n", "and"):
        screen.chunk(piece)
    assert screen.text() == "Hello [bold]world[/bold]\nand"
    screen.chunk("hm", kind="agent_thought_chunk")
    assert screen.text() == "Hello [bold]world[/bold]\nand\nhm"


def test_hostile_text_and_titles_reach_the_terminal_drawn(screen):
    screen.start()
    screen.chunk("\x1b[31mred\u202e")
    screen.chunk("\x1b]0;owned\x07")
    screen.update("tool_call", toolCallId="1", title="rm\r\x1b[1A\nls", status="in_progress")
    diff = {"type": "diff", "path": "a\x1b[0m", "oldText": "x\n", "newText": "y\x1b[5m\n"}
    screen.update("tool_call_update", toolCallId="1", status="completed", content=[diff])
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(screen.text())
    assert "␛[31mred⟨U+202E⟩" in screen.text()
    assert "+y␛[5m" in screen.text()


def test_a_tool_call_is_printed_at_its_start_and_end_with_its_diff(screen):
    screen.start()
    screen.update("tool_call", toolCallId="1", title="Write a.py", kind="edit", status="pending")
    screen.update("tool_call_update", toolCallId="1", status="in_progress")
    diff = {"type": "diff", "path": "a.py", "oldText": "1\n", "newText": "2\n"}
    screen.update("tool_call_update", toolCallId="1", status="completed", content=[diff])
    assert [line.rstrip() for line in screen.text().splitlines()] == [
        "• Write a.py", "✓ Write a.py", "  a.py", "  @@ -1 +1 @@", "  -1", "  +2",
    ]  # fmt: skip


def test_a_question_shows_its_own_diff_and_the_decision_stands_below(screen):
    screen.start()
    screen.note("agent_started", connection="c")
    diff = {"type": "diff", "path": "a.py", "newText": "new\n"}
    tool = {"toolCallId": "1", "title": "Write a.py", "content": [diff]}
    options = [{"optionId": "y", "name": "Yes", "kind": "allow_once"}]
    asked = {"id": 0, "method": "session/request_permission", "params": {"toolCall": tool, "options": options}}
    screen.printer.feed(Event("s", 9, 1, TS, "in", "session/request_permission", "request", asked))
    screen.printer.make_room("c/0")
    screen.note("permission_decision", request_id="c/0", outcome="selected", option_id="y", decided_by="user")
    screen.update("tool_call_update", toolCallId="1", status="completed")
    assert "+new" not in screen.text()
    assert "Yes (by user)" in screen.text()


def test_long_output_is_cut_and_says_so(screen):
    screen.start()
    output = {"type": "content", "content": {"type": "text", "text": "line\n" * 1000}}
    screen.update("tool_call", toolCallId="1", title="run", status="completed", content=[output])
    assert screen.text().count("line\n") < 30
    assert "976 more lines" in screen.text()


def test_a_huge_diff_is_not_computed(screen):
    screen.start()
    diff = {"type": "diff", "path": "big", "oldText": "a\n" * 200_000, "newText": "b\n" * 200_000}
    screen.update("tool_call", toolCallId="1", title="edit", status="completed", content=[diff])
    assert "too large to show" in screen.text()


def test_a_plan_is_printed_again_when_it_changes(screen):
    screen.start()
    entries = [{"content": "look", "status": "in_progress"}, {"content": "write", "status": "pending"}]
    screen.update("plan", entries=entries)
    screen.update("plan", entries=entries)
    screen.update("plan", entries=[{"content": "look", "status": "completed"}])
    assert [line.rstrip() for line in screen.text().splitlines()] == ["plan:  ▸ look  · write", "plan:  ✓ look"]


def test_the_last_line_says_how_it_ended(screen):
    files = tuple(FileChange(f"{n}.py", "created", 1) for n in range(10))
    turn = SimpleNamespace(
        index=3, status="completed", outcome="token_limit", stop_reason="max_tokens",
        started_at=TS, ended_at=TS.replace(second=2), files=files, usage=Usage(total_tokens=1234),
    )  # fmt: skip
    screen.printer.ended(turn)
    assert "turn 3 completed (max_tokens) · 2.0 s · 1,234 tokens · created 0.py" in screen.text()
    assert "and 2 more files" in screen.text()


def test_the_last_line_says_what_its_figures_are(screen):
    usage = Usage(total_tokens=2726, cost=0.0283, currency="USD", scope="call", quality="partial")
    turn = SimpleNamespace(
        index=1, status="completed", outcome="no_answer", stop_reason="end_turn", started_at=TS, ended_at=TS,
        files=(), usage=usage,
    )  # fmt: skip
    screen.printer.ended(turn)
    said = " ".join(screen.text().split())
    assert "turn 1 completed (no answer) · 0.0 s · 2,726 tokens in the last model call · 0.0283 USD" in said
