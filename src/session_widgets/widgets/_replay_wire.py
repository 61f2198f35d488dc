"""A replay for its page: the time line as numbers, a moment, rows, a file. `js/src/replay/protocol.ts` is the same.

Times are milliseconds since 1970 UTC, those of the time line since the first event.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Iterable
from typing import Any, TypedDict

from session_widgets.replaying import MARKS, FileState, Moment, Recording
from session_widgets.transcript.records import SessionRecord, Step
from session_widgets.widgets._text import safe
from session_widgets.widgets._views import CLIP, StepView, TurnView
from session_widgets.widgets._wire import millis, step_view, turn_view

MAX_FILES = 2_000
MAX_ROWS = 60
FIRST_BYTES = 200_000
"""Most bytes of the moment and the time line that come with the first message to a page."""
_ROWS_BYTES = 48_000
"""Most bytes of a moment's rows besides that of its step: the page requests others when they come into view."""
_COMMAND_CLIP = 4_000
_FILE_CLIP = 256 * 1024


class ReplayView(TypedDict):
    """What the page shows before any moment; `version` changes when a late event put a step between others."""

    id: str
    title: str
    harness: str
    model: str | None
    root: str
    last: int
    version: int
    live: bool
    reading: bool
    error: str | None
    at: int | None
    step: tuple[int, int] | None


class TimelineView(TypedDict):
    """Numbers of the time line from some places on; they are beside it, in four buffers of 32-bit integers.

    The buffers: `clock` of each event; turn, index and first `seq` of each step; kind, `seq`, turn and index of each
    mark; `seq` and seconds of each pause.
    """

    version: int
    last: int
    started: int | None
    marks: list[str]


class CommandView(TypedDict):
    """A command and the end of its output; `cut` says that its start is left out."""

    turn: int
    index: int
    command: str
    output: str
    cut: bool
    status: str
    exit_code: int | None


class FileStateView(TypedDict):
    """A file at a moment; `now` says that the moment's event changed what is known of it."""

    path: str
    state: str
    reason: str
    seq: int
    now: bool


class MomentView(TypedDict):
    """The session after event `seq`.

    Rows before place `same` are as they were at `before`; `rows` begin with place `first`.
    """

    seq: int
    ts: int | None
    count: int
    same: int
    place: int
    changed: StepView | None
    turn: TurnView | None
    plan: StepView | None
    commands: list[CommandView]
    files: list[FileStateView]
    more_files: int
    first: int
    rows: list[StepView]


class FileTextView(TypedDict):
    """The text of a file at a moment, or the last known one; None without any."""

    path: str
    state: str
    reason: str
    seq: int
    text: str | None
    length: int


def replay_view(
    record: SessionRecord,
    recording: Recording,
    *,
    live: bool,
    reading: bool,
    error: str | None,
    at: int | None,
    step: tuple[int, int] | None,
) -> ReplayView:
    """Return what the page shows before any moment; `at` and `step` are where it begins."""
    return {
        "id": record.id,
        "title": safe(record.title or record.id)[:500],
        "harness": safe(record.harness)[:100],
        "model": safe(record.model)[:200] if record.model else None,
        "root": safe(recording.root)[:2000],
        "last": recording.last_seq,
        "version": recording.version,
        "live": live,
        "reading": reading,
        "error": safe(error)[:2000] if error else None,
        "at": at,
        "step": step,
    }


def timeline(
    recording: Recording, clock: int, steps: int, marks: int, pauses: int
) -> tuple[TimelineView, tuple[bytes, ...]]:
    """Return the numbers of the time line after those that the page has."""
    codes = {name: code for code, name in enumerate(MARKS)}
    keys = zip(recording.keys[steps:], recording.first[steps:], strict=True)
    view: TimelineView = {
        "version": recording.version,
        "last": recording.last_seq,
        "started": None if recording.started is None else millis(recording.started),
        "marks": list(MARKS),
    }
    return view, (
        _bytes(recording.clock[clock:]),
        _bytes(number for key, first in keys for number in (*key, first)),
        _bytes(number for mark in recording.marks[marks:] for number in (codes[mark.kind], *mark[1:])),
        _bytes(number for seq, pause in recording.pauses[pauses:] for number in (seq, min(pause // 1000, 2**31 - 1))),
    )


def _bytes(numbers: Iterable[int]) -> bytes:
    packed = array("i", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def moment_view(recording: Recording, seq: int, before: int, step: tuple[int, int] | None = None) -> MomentView:
    """Return a moment.

    Args:
        recording: of the session.
        seq: of its event.
        before: the moment that the page shows.
        step: turn and index of the one to show, if the event changed several.
    """
    moment = recording.at(seq, step=step)
    changed = moment.changed
    place = -1 if changed is None else recording.place((changed.turn, changed.index), moment.seq)
    first, rows = _rows_near(recording, moment.seq, place)
    return {
        "seq": moment.seq,
        "ts": None if moment.ts is None else millis(moment.ts),
        "count": moment.count,
        "same": recording.same(before, moment.seq),
        "place": place,
        "changed": None if changed is None else step_view(changed),
        "turn": None if moment.turn is None else turn_view(moment.turn, ("", "")),
        "plan": None if moment.plan is None else step_view(moment.plan),
        "commands": [_command_view(step) for step in moment.commands],
        "files": [_file_view(moment, file) for file in moment.files[:MAX_FILES]],
        "more_files": max(0, len(moment.files) - MAX_FILES),
        "first": first,
        "rows": rows,
    }


def _rows_near(recording: Recording, seq: int, place: int) -> tuple[int, list[StepView]]:
    """Return the place of the first row and the rows: those before a place, that one, and those after it."""
    start = max(0, place - MAX_ROWS // 2)
    steps = recording.steps(seq, start, place + MAX_ROWS // 4)
    rows: list[StepView] = []
    room = _ROWS_BYTES
    for number in reversed(range(len(steps))):
        row = step_view(steps[number])
        room -= len(json.dumps(row))
        if room < 0 and start + number < place:
            break
        rows.append(row)
    return start + len(steps) - len(rows), rows[::-1]


def _file_view(moment: Moment, file: FileState) -> FileStateView:
    return {
        "path": safe(file.path)[:1000],
        "state": file.state,
        "reason": file.reason,
        "seq": file.seq,
        "now": file.seq == moment.seq,
    }


def file_text_view(file: FileState) -> FileTextView:
    """Return the text of a file at a moment."""
    return {
        "path": safe(file.path)[:1000],
        "state": file.state,
        "reason": file.reason,
        "seq": file.seq,
        "text": None if file.text is None else safe(file.text[:_FILE_CLIP]),
        "length": len(file.text or ""),
    }


def _command_view(step: Step) -> CommandView:
    view = step_view(step)
    tool = view.get("tool")
    texts = [block["body"]["text"] for block in tool["blocks"] if block["type"] == "text"] if tool else []
    output = "\n".join(texts)
    cut = len(output) > _COMMAND_CLIP or (tool is not None and any(_is_cut(block) for block in tool["blocks"]))
    command = tool["command"] if tool else None
    return {
        "turn": step.turn,
        "index": step.index,
        "command": (command["text"] if command else tool["title"] if tool else "")[:_COMMAND_CLIP],
        "output": output[-_COMMAND_CLIP:],
        "cut": cut,
        "status": view["status"],
        "exit_code": step.exit_code,
    }


def _is_cut(block: Any) -> bool:
    return block["type"] == "text" and int(block["body"]["length"]) >= CLIP
