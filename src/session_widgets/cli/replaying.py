"""`session-widgets replay`: a session step by step in the terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
import typer
from rich.console import Console
from rich.text import Text

from session_widgets.cli.turn_printer import TEXT_STYLES, TOOL_MARKS, block_lines, plan_words
from session_widgets.errors import BadValue
from session_widgets.printing import one_line, plural, printable
from session_widgets.replaying import MARKS, Moment, Recording
from session_widgets.transcript.records import Step
from session_widgets.transcript.steps import headline
from session_widgets.transcript.tool_input import script_of

PAGE = 5_000
KEYS = {
    "\x1b[C": "next", "\x1b[B": "next", " ": "next", "n": "next", "\r": "next",
    "\x1b[D": "previous", "\x1b[A": "previous", "p": "previous", "\x7f": "previous",
    "\x1b[H": "first", "g": "first", "\x1b[F": "last", "G": "last", "q": "quit", "\x1b": "quit",
}  # fmt: skip
JUMPS = {"t": "prompt", "e": "error", "d": "edit", "x": "test", "a": "permission", "c": "compaction"}
"""Keys of the next mark of a kind; as a capital the previous one."""
HELP = "q quit · ←→ step · t turn · e error · d edit · x test · a permission · c compaction, a capital back · g G ends"
_PLACE = re.compile(r"(?:[^/]+/)?(\d{1,9})/(\d{1,9})")


def run_replay(session: str, at: str | None, *, as_json: bool) -> None:
    """Show a session: with the keyboard in a terminal, else all of it, or one moment.

    Args:
        session: its id, or the path of another program's file.
        at: a step as "turn/index", or the number of an event.
        as_json: print one moment as JSON; the last one if `at` is None.
    """
    from session_widgets.widgets._replay_source import source_of

    source = source_of(session, None)
    recording = Recording(source.record.id)
    while page := source.events(recording.last_seq, PAGE):
        recording.feed(page)
    seq = recording.last_seq if at is None else _seq_of(recording, at)
    console = Console(highlight=False, markup=False, emoji=False)
    if as_json:
        typer.echo(json.dumps(moment_json(recording, seq), default=str, indent=2))
    elif sys.stdin.isatty() and sys.stdout.isatty():
        _Player(recording, console, 0 if at is None else recording.count(seq) - 1).run()
    else:
        first = 0 if at is None else max(0, recording.count(seq) - 1)
        for step in recording.steps(seq, first):
            for line in step_lines(recording, step):
                console.print(line, soft_wrap=True)


def moment_json(recording: Recording, seq: int) -> dict[str, Any]:
    """Return a moment: its newest step whole, the lines of all steps, plan, commands and files without their texts."""
    moment = recording.at(seq)
    files = [{"path": file.path, "state": file.state, "reason": file.reason, "seq": file.seq} for file in moment.files]
    return {
        "session_id": recording.session_id,
        "seq": moment.seq,
        "last_seq": recording.last_seq,
        "ts": moment.ts,
        "turn": None if moment.turn is None else moment.turn.index,
        "turn_status": None if moment.turn is None else moment.turn.status,
        "step": None if moment.changed is None else asdict(moment.changed),
        "steps": [
            {"turn": step.turn, "step": step.index, "kind": step.kind, "status": step.status, "text": _headline(step)}
            for step in recording.steps(seq)
        ],
        "plan": [] if moment.plan is None else list(moment.plan.entries),
        "commands": [script_of(step.raw_input) or step.title for step in moment.commands],
        "files": files,
    }


def step_lines(recording: Recording, step: Step) -> Iterator[Text]:
    """Yield a step: a line with its place, time and kind, then what it holds."""
    mark, style = TOOL_MARKS.get(step.status, ("•", "blue")) if step.kind == "tool_call" else ("", "")
    began = recording.started
    since = "" if began is None else f"{max(0.0, (step.started_at - began).total_seconds()):8.1f} s"
    place = Text(f"{step.turn}/{step.index}".rjust(7) + since + "  ", style="dim")
    what = Text(f"{step.tool_kind or 'tool'} " if step.kind == "tool_call" else f"{step.kind} ", style="bold")
    yield Text.assemble(place, what, (f"{mark} " if mark else "", style), *_title(step))
    if step.kind == "tool_call":
        command = script_of(step.raw_input)
        if command and command != step.title:
            yield Text(f"  $ {one_line(command)}", style="cyan")
        for block in step.content:
            yield from block_lines(block)
    elif step.kind == "plan" and step.entries:
        yield Text("  " + "  ".join(plan_words(step.entries)), style="cyan")
    else:
        for line in printable(step.text or "").splitlines():
            yield Text(f"  {line}", style=TEXT_STYLES.get(step.kind, ""))


def _title(step: Step) -> Iterator[str]:
    if step.kind == "tool_call":
        yield one_line(step.title or step.tool_name or "tool call")
        if step.status not in {"completed", "pending", "in_progress"}:
            yield f"  {step.failure or step.status}"
    elif step.kind in {"compaction", "subagent"}:
        yield one_line(headline(step))


def _headline(step: Step) -> str:
    return one_line(step.title or step.text or "", 120)


def _seq_of(recording: Recording, at: str) -> int:
    if at.isdigit() and 1 <= int(at) <= recording.last_seq:
        return int(at)
    found = _PLACE.fullmatch(at)
    try:
        return recording.ended((int(found[1]), int(found[2]))) if found else recording.ended((-1, -1))
    except KeyError:
        raise BadValue(
            f"--at must be a step such as 2/14 (turn/index) or an event from 1 to {recording.last_seq}; got {at!r:.60}."
        ) from None


class _Player:
    """Steps through a recording with the keyboard; the screen is restored at the end."""

    def __init__(self, recording: Recording, console: Console, place: int) -> None:
        self._recording, self._console, self._place = recording, console, max(0, place)
        self._count = recording.count(recording.last_seq)

    def run(self) -> None:
        """Show the step at the place, and read keys, until `q`."""
        if not self._count:
            typer.echo("the session has no steps")
            return
        with self._console.screen(hide_cursor=True):
            while True:
                self._draw()
                key = click.getchar()
                if KEYS.get(key) == "quit":
                    return
                self._go(key)

    def _go(self, key: str) -> None:
        match KEYS.get(key):
            case "next":
                self._place = min(self._place + 1, self._count - 1)
            case "previous":
                self._place = max(self._place - 1, 0)
            case "first":
                self._place = 0
            case "last":
                self._place = self._count - 1
            case _:
                self._jump(key)

    def _jump(self, key: str) -> None:
        kind = JUMPS.get(key.lower())
        assert kind is None or kind in MARKS
        last = self._recording.last_seq
        marked = sorted({
            self._recording.place((mark.turn, mark.step), last) for mark in self._recording.marks if mark.kind == kind
        })  # fmt: skip
        if key.islower():
            self._place = next((place for place in marked if place > self._place), self._place)
        else:
            self._place = next((place for place in reversed(marked) if place < self._place), self._place)

    def _draw(self) -> None:
        recording, console = self._recording, self._console
        later = self._place + 1
        seq = recording.first[later] - 1 if later < self._count else recording.last_seq
        moment = recording.at(max(seq, recording.first[self._place]))
        (step,) = recording.steps(moment.seq, self._place, later)
        room = max(3, console.height - 4)
        lines = [line for each in step_lines(recording, step) for line in each.wrap(console, console.width)]
        if len(lines) > room:
            lines = [*lines[: room - 1], Text(f"… {plural(len(lines) - room + 1, 'more line')}", style="dim")]
        console.clear()
        for line in lines:
            console.print(line)
        console.print(Text(self._state(moment), style="reverse"), no_wrap=True, overflow="ellipsis")
        console.print(Text(HELP, style="dim"), no_wrap=True, overflow="ellipsis", end="")

    def _state(self, moment: Moment) -> str:
        known = sum(file.state == "known" for file in moment.files)
        parts = [
            one_line(self._recording.session_id, 20),
            f"step {self._place + 1:,} of {self._count:,}",
            f"event {moment.seq:,} of {self._recording.last_seq:,}",
            f"{plural(len(moment.files), 'file')}, {known} known",
        ]
        return " · ".join([*parts, *([f"{moment.ts:%Y-%m-%d %H:%M:%S}"] if moment.ts else [])])
