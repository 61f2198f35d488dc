"""SWE-agent's `.traj` and mini-swe-agent's `.traj.json`: one document a run, without times."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

from session_widgets._store.formats.contract import (
    Changed,
    Entry,
    Format,
    Head,
    Layout,
    ModelCall,
    Record,
    Said,
    SessionFacts,
    Source,
    ToolCall,
    ToolResult,
    TurnEnd,
    count_of,
    text_block,
)
from session_widgets._store.formats.openai_messages import KINDS, call_of, entries_of, text_of
from session_widgets.transcript.envelopes import as_number, as_object, as_objects, as_text
from session_widgets.transcript.records import Json

_GOOD_EXITS = frozenset({"submitted", "Submitted", "skipped"})
_COMMAND = re.compile(r"```(?:mswea_bash_command|bash)\n(.*?)\n?```", re.DOTALL)
_ANSWER = re.compile(r"<returncode>(-?\d{1,5})</returncode>\s*<output>\n?(.*?)\n?</output>", re.DOTALL)
_FILE = re.compile(r"\(Open file: (/[^\n)]+)\)|\[File: (/[^\n]+?) \(\d+ lines? total\)\]")
_PLACE = re.compile(r"\(Current directory: (/[^\n)]*)\)|\"working_dir\": \"(/[^\"]*)\"")
_REFUSED = re.compile(r"Your proposed edit has introduced|Text not found:|No file open|Usage: |Error: |Invalid ")
_TIMED_OUT = re.compile(r"^\s*EXECUTION TIMED OUT")


class SweAgent(Format):
    """A trajectory of SWE-agent."""

    name = "swe-agent"
    layout: ClassVar[Layout] = "document"

    def sniff(self, head: Head) -> bool:
        """Whether it has a history of messages with their agent, or steps with action and observation."""
        if b'"history"' not in head.start and b'"trajectory"' not in head.start:
            return False
        said = as_object(head.document)
        history, steps = as_objects(said.get("history")), as_objects(said.get("trajectory"))
        return any("role" in each and "agent" in each for each in history) or any(
            "action" in each and "observation" in each for each in steps
        )

    def kind(self, value: Any) -> str | None:
        """Return "trajectory"."""
        return "trajectory"

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn the document into entries."""
        for record in records:
            said, native = as_object(record.value), source.stem
            history = [each for each in as_objects(said.get("history")) if not each.get("is_demo")]
            steps = as_objects(said.get("trajectory"))
            cwd = _directory(history, steps)
            yield SessionFacts(line=record.line, native_id=native, harness="swe-agent", cwd=cwd)
            if history:
                answer = lambda text: (text, None)  # noqa: E731
                entries = entries_of(record.line, history, extract=_action, answer=answer, one_prompt=True)
            else:
                entries = _steps(record.line, steps)
            yield from _with_files(entries, cwd)
            yield from _end(record.line, native, as_object(said.get("info")), "swe-agent")


class MiniSweAgent(Format):
    """A trajectory of mini-swe-agent: a list of messages, later an object with them."""

    name = "mini-swe-agent"
    layout: ClassVar[Layout] = "document"

    def sniff(self, head: Head) -> bool:
        """Whether a message has the program's command block or return code."""
        if not any(sign in head.start for sign in (b"mswea_bash_command", b"<returncode>", b"mini-swe-agent")):
            return False
        return bool(_messages(head.document))

    def kind(self, value: Any) -> str | None:
        """Return "trajectory"."""
        return "trajectory"

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn the document into entries."""
        for record in records:
            info = as_object(as_object(record.value).get("info"))
            yield SessionFacts(
                line=record.line,
                native_id=source.stem,
                harness="mini-swe-agent",
                harness_version=as_text(info.get("mini_version")),
            )
            yield from entries_of(
                record.line, _messages(record.value), extract=_block, answer=_answered, one_prompt=True
            )
            yield from _end(record.line, source.stem, info, "mini-swe-agent")


def _directory(history: Iterable[Json], steps: Iterable[Json]) -> str | None:
    """Return the first directory that the program names beside its prompt, or in its state."""
    texts = [*(text_of(each.get("content")) for each in history), *(as_text(each.get("state")) or "" for each in steps)]
    found = next(filter(None, map(_PLACE.search, texts)), None)
    return found[1] or found[2] if found else None


def _with_files(entries: Iterable[Entry], cwd: str | None) -> Iterator[Entry]:
    """Give edits the file that was open, and results the failure that the program says in words alone."""
    opened: str | None = None
    edits: dict[str, tuple[str | None, bool]] = {}
    for entry in entries:
        if isinstance(entry, ToolCall) and entry.kind == "edit":
            words = str(as_object(entry.raw_input).get("command", "")).split()
            new = posixpath.join(cwd or "", words[1]) if entry.name == "create" and len(words) > 1 else None
            path = next(iter(entry.paths), None) or new or opened
            edits[entry.tool_call_id] = path, entry.name == "create"
            yield replace(entry, paths=[path] if path else ())
            continue
        if not isinstance(entry, ToolResult):
            yield entry
            continue
        text = "".join(as_text(as_object(block.get("content")).get("text")) or "" for block in entry.content)
        path, created = edits.pop(entry.tool_call_id, (None, False))
        edited = path is not None
        for found in _FILE.finditer(text):
            opened = found[1] or found[2]
        refused = edited and _REFUSED.match(text.strip())
        yield replace(entry, failure="error") if refused or _TIMED_OUT.match(text) else entry
        if path is not None and not refused:
            yield Changed(line=entry.line, at=entry.at, path=path, change="created" if created else "modified")


def _messages(document: Any) -> tuple[Json, ...]:
    messages = as_objects(document if isinstance(document, list) else as_object(document).get("messages"))
    return messages if all("role" in message for message in messages) else ()


def _action(message: Json, text: str) -> tuple[str, Json] | None:
    """Return the action of an older history, whose calls are text."""
    action = as_text(message.get("action"))
    if not action or not action.strip():
        return None
    name = action.split(maxsplit=1)[0]
    return name if name in KINDS else "bash", {"command": action.strip()}


def _block(message: Json, text: str) -> tuple[str, Json] | None:
    found = _COMMAND.search(text)
    return ("bash", {"command": found[1]}) if found else None


def _answered(text: str) -> tuple[str, int | None] | None:
    found = _ANSWER.search(text)
    return (found[2], int(found[1])) if found else (text, None)


def _steps(line: int, steps: Iterable[Json]) -> Iterator[Entry]:
    for number, step in enumerate(steps):
        where: dict[str, Any] = {"line": line, "uid": f"{line}/{number}"}
        if text := as_text(step.get("response")) or as_text(step.get("thought")):
            yield Said(**where, kind="message", text=text)
        if found := _action(step, ""):
            yield call_of(where, f"{line}/{number}", *found)
            output = as_text(step.get("observation")) or ""
            yield ToolResult(**where, tool_call_id=f"{line}/{number}", content=[text_block(output)])


def _end(line: int, native: str, info: Json, program: str) -> Iterator[Entry]:
    stats = as_object(info.get("model_stats"))
    sent, received = count_of(stats.get("tokens_sent")), count_of(stats.get("tokens_received"))
    total = as_number(stats.get("instance_cost"))
    cost = Decimal(str(total)) if total and 0 < total < 1e8 else None
    if sent or received or cost is not None:
        yield ModelCall(
            line=line,
            call_id=f"{program}/{native}/{sent}/{received}/{cost}",
            scope="session",
            remark="the file has only the sums of the run; input from a cache is not counted separately",
            uncached=sent,
            output=received,
            cost=cost,
            currency=None if cost is None else "USD",
        )
    status = as_text(info.get("exit_status"))
    if status:
        good = status in _GOOD_EXITS or status.startswith("submitted")
        yield TurnEnd(line=line, status="completed" if good else "failed", error=None if good else status)
