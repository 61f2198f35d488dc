"""Prints a turn in the terminal while it runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from session_widgets._sessions import Turn
from session_widgets.printing import one_line, printable
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Event, Json, PermissionState, Step
from session_widgets.transcript.state import FoldState
from session_widgets.transcript.steps import headline

MAX_LINES = 24
MAX_DIFF_CHARACTERS = 200_000
TEXT_STYLES = {"message": "", "thought": "dim italic", "notice": "yellow", "error": "red"}
PLAN_MARKS = {"completed": "✓", "in_progress": "▸", "pending": "·"}
TOOL_MARKS = {"completed": ("✓", "green"), "failed": ("✗", "red"), "cancelled": ("✗", "yellow")}
FINAL = frozenset({*TOOL_MARKS, "unfinished"})


class TurnPrinter:
    """Prints committed events as text, tool lines, diffs and plans; all agent text is made printable first."""

    def __init__(self, session_id: str, console: Console, connection: str | None = None) -> None:
        self._fold = Fold(session_id, FoldState(connection=connection or ""))
        self._console = console
        self._kinds: dict[tuple[int, int], str] = {}
        self._printed: dict[tuple[int, int], int] = {}
        self._drawn: dict[tuple[int, int], object] = {}
        self._blocks_shown: dict[tuple[int, int], list[Json]] = {}
        self._at_line_start = True

    def feed(self, event: Event) -> None:
        """Print the additions of this event."""
        for change in self._fold.feed(event):
            place = (change.turn, change.index)
            kind = self._kinds.get(place)
            if kind in TEXT_STYLES and change.append is not None:
                self._add_text(place, kind, change.append)
                continue
            step = self._fold.step(*place)
            self._kinds[place] = step.kind
            self._draw(place, step)

    def ended(self, turn: Turn) -> None:
        """Print the end of the turn."""
        self._line(Text(" · ".join(_summary(turn)), style="bold" if turn.status == "completed" else "bold red"))

    def make_room(self, request_id: str) -> None:
        """End the line before a question that shows its own context."""
        for step in self._fold.pending:
            if step.permission is not None and step.permission.request_id == request_id:
                self._blocks_shown.setdefault((step.turn, step.index), []).extend(step.content)
        self._end_line()

    def _draw(self, place: tuple[int, int], step: Step) -> None:
        if step.kind == "tool_call":
            self._draw_tool(place, step)
        elif step.kind in {"compaction", "subagent"}:
            self._draw_once(place, Text(one_line(headline(step)), style="magenta"))
        elif step.kind == "plan" and step.text is not None:
            self._draw_once(place, Text(f"plan: {one_line(step.text)}", style="cyan"))
        elif step.kind == "plan":
            self._draw_once(place, Text("  ".join(plan_words(step.entries)), style="cyan"))
        elif step.kind in TEXT_STYLES:
            self._add_text(place, step.kind, (step.text or "")[self._printed.get(place, 0) :])

    def _draw_tool(self, place: tuple[int, int], step: Step) -> None:
        mark, style = TOOL_MARKS.get(step.status, ("•", "blue"))
        title = one_line(step.title or step.tool_kind or "tool call")
        ended = step.status in FINAL
        status = "" if step.status in {"pending", "in_progress", "completed"} else f"  {one_line(step.status)}"
        self._draw_once(place, Text.assemble((f"{mark} ", style), title, (status, style)), ended)
        if ended:
            self._details(step)
        if step.permission is not None and (decision := _decision(step.permission)):
            self._draw_once((-place[0], -place[1] - 1), Text(decision, style="dim"))

    def _draw_once(self, place: tuple[int, int], line: Text, *more: object) -> None:
        drawn = (line.plain, *more)
        if self._drawn.get(place) != drawn:
            self._drawn[place] = drawn
            self._line(line)

    def _add_text(self, place: tuple[int, int], kind: str, text: str) -> None:
        if not text:
            return
        if place not in self._printed:
            self._end_line()
        self._printed[place] = self._printed.get(place, 0) + len(text)
        self._console.print(Text(printable(text), style=TEXT_STYLES[kind]), end="", soft_wrap=True)
        self._at_line_start = text.endswith("\n")

    def _details(self, step: Step) -> None:
        """Print the diffs and the output of a tool call, each once."""
        shown = self._blocks_shown.setdefault((step.turn, step.index), [])
        for block in step.content:
            if block not in shown:
                shown.append(block)
                for line in _shortened(block_lines(block)):
                    self._line(line)

    def _end_line(self) -> None:
        if not self._at_line_start:
            self._console.print()
            self._at_line_start = True

    def _line(self, line: Text) -> None:
        self._end_line()
        self._console.print(line, soft_wrap=True)


def block_lines(block: Json) -> Iterator[Text]:
    """Yield the lines of a block of a tool call: a diff, or text."""
    if block.get("type") == "diff":
        yield from _diff_lines(block)
    elif block.get("type") == "content":
        content = block.get("content")
        text = content.get("text") if isinstance(content, dict) else None
        for line in printable(text).splitlines() if isinstance(text, str) else ():
            yield Text(f"  {line}", style="dim")


def _diff_lines(block: Json) -> Iterator[Text]:
    path = one_line(str(block.get("path", "")))
    old, new = (str(block.get(name) or "") for name in ("oldText", "newText"))
    yield Text(f"  {path}", style="bold")
    if len(old) + len(new) > MAX_DIFF_CHARACTERS:
        yield Text(f"  too large to show: {len(old):,} characters before, {len(new):,} after", style="dim")
        return
    before, after = printable(old).splitlines(), printable(new).splitlines()
    for line in list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]:
        yield Text(f"  {line}", style={"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))


def _shortened(lines: Iterable[Text]) -> Iterator[Text]:
    everything = list(lines)
    yield from everything[:MAX_LINES]
    if len(everything) > MAX_LINES:
        yield Text(f"  … {len(everything) - MAX_LINES} more lines", style="dim")


def plan_words(entries: Iterable[Json]) -> Iterator[str]:
    """Yield the entries of a plan, each with its mark."""
    yield "plan:"
    for entry in entries:
        yield f"{PLAN_MARKS.get(str(entry.get('status')), '·')} {one_line(str(entry.get('content', '')), 60)}"


def _decision(permission: PermissionState) -> str:
    """Print the answer to a request; nothing while it is open, or if a policy allowed it."""
    if permission.outcome is None:
        return ""
    chosen = next((option for option in permission.options if option.id == permission.option_id), None)
    what = one_line(chosen.name or chosen.kind) if chosen else "not answered"
    if chosen and chosen.kind.startswith("allow") and (permission.decided_by or "").startswith("policy:"):
        return ""
    by = f" (by {one_line(permission.decided_by)})" if permission.decided_by else ""
    why = f": {one_line(permission.reason)}" if permission.reason else ""
    return f"  {what}{by}{why}"


def _summary(turn: Turn) -> Iterator[str]:
    reason = f" ({one_line(turn.stop_reason)})" if turn.stop_reason not in {None, "end_turn", "cancelled"} else ""
    reason = reason or (f" ({turn.outcome.replace('_', ' ')})" if turn.outcome in {"no_answer", "model_error"} else "")
    yield f"turn {turn.index} {turn.status}{reason}"
    if turn.ended_at is not None:
        yield f"{(turn.ended_at - turn.started_at).total_seconds():.1f} s"
    if turn.usage.total_tokens is not None:
        part = " in the last model call" if turn.usage.scope == "call" and turn.usage.quality == "partial" else ""
        yield f"{turn.usage.total_tokens:,} tokens{part}"
    if turn.usage.cost:
        yield f"{turn.usage.cost:.4g} {turn.usage.currency or ''}".rstrip()
    for change in turn.files[:8]:
        yield f"{change.change} {one_line(change.path)}"
    if len(turn.files) > 8:
        yield f"and {len(turn.files) - 8} more files"
