"""The script language: text in, commands out. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Say:
    """Answer `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Think:
    """Think `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Publish a plan."""

    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """Write `text` to `path`."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Read:
    """Read `path`."""

    path: str


@dataclass(frozen=True, slots=True)
class Run:
    """Run a shell command."""

    command: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Pause for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tool:
    """Call a tool of an MCP server."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """Answer `count` chunks."""

    count: int


@dataclass(frozen=True, slots=True)
class Remember:
    """Tell the earlier turns."""


@dataclass(frozen=True, slots=True)
class Fail:
    """End the turn with an error."""

    message: str


@dataclass(frozen=True, slots=True)
class Crash:
    """End the process."""

    code: int


@dataclass(frozen=True, slots=True)
class Question:
    """Ask the user; `params` are those of ACP's `elicitation/create`, but for the session."""

    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mode:
    """Switch to another mode."""

    id: str
    asks: bool


@dataclass(frozen=True, slots=True)
class Title:
    """Set the session's title."""

    text: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Publish slash commands."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """Send a notice."""

    severity: str
    title: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Compact:
    """Compact the context into `summary`, or fail to with `error`."""

    summary: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class PlanOperation:
    """Publish the plan `id` as "items", "text" or "file", or "drop" it."""

    operation: str
    id: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Subagent:
    """Let a subagent run its own script."""

    title: str
    script: str


@dataclass(frozen=True, slots=True)
class Update:
    """Send a session update as it is."""

    update: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Silent:
    """Say nothing more until the turn is cancelled."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """Ignore the client and SIGTERM, and send nothing more."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A line of a script that is no command; `line` counts from 1."""

    line: int
    text: str


Command = (
    Say
    | Think
    | Plan
    | Write
    | Read
    | Run
    | Wait
    | Tool
    | Stream
    | Question
    | Mode
    | Title
    | Offer
    | Notice
    | Compact
    | PlanOperation
    | Subagent
    | Update
    | Remember
    | Silent
    | Deaf
    | Fail
    | Crash
    | Unknown
)

SEVERITIES = ("info", "warning", "error")
_HEREDOC = re.compile(r"(?P<path>\S.*?)\s*<<\s*(?P<quote>['\"]?)(?P<end>\w+)(?P=quote)\s*")


def parse(text: str) -> list[Command] | None:
    """Return the commands of a script, or None if no line of `text` is one (free text)."""
    commands = list(_commands(text.split("\n")))
    return commands if any(not isinstance(command, Unknown) for command in commands) else None


def _commands(lines: list[str]) -> Iterator[Command]:
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at].strip()
        at += 1
        if not line:
            continue
        word, rest = (*line.split(maxsplit=1), "")[:2]
        heredoc = _HEREDOC.fullmatch(rest) if word in ("write", "subagent") else None
        if heredoc:
            end = next((i for i in range(at, len(lines)) if lines[i].strip() == heredoc["end"]), None)
            if end is None:  # the rest may be anything, so nothing of it is executed
                yield Unknown(number, f"{line} (no line says {heredoc['end']})")
                return
            content = "".join(f"{line}\n" for line in lines[at:end])
            yield (Write if word == "write" else Subagent)(heredoc["path"], content)
            at = end + 1
        else:
            yield _simple(word, rest) or Unknown(number, line)


def _simple(word: str, rest: str) -> Command | None:
    match word:
        case "remember" if not rest:
            return Remember()
        case "say" if rest:
            return Say(rest)
        case "think" if rest:
            return Think(rest)
        case "plan":
            entries = tuple(entry.strip() for entry in rest.split(";") if entry.strip())
            return Plan(entries) if entries else None
        case "read" if rest:
            return Read(rest)
        case "run" if rest:
            return Run(rest)
        case "wait":
            return _wait(rest)
        case "tool":
            return _tool(rest)
        case "question" if rest:
            return _question(rest)
        case "mode" if rest:
            id_, _, how = rest.partition(" ")
            return Mode(id_, asks=not how) if how.strip() in {"", "unasked"} else None
        case "title" if rest:
            return Title(rest)
        case "commands":
            return Offer(tuple(rest.split()))
        case "notice":
            return _notice(rest)
        case "compact":
            return _compact(rest)
        case "plan-items" | "plan-text" | "plan-file" | "plan-drop":
            return _plan_operation(word.removeprefix("plan-"), rest)
        case "update":
            given = _json_object(rest)
            return Update(given) if given else None
        case "silent" if not rest:
            return Silent()
        case "deaf" if not rest:
            return Deaf()
        case "stream" if rest.isascii() and rest.isdigit() and len(rest) < 10:
            return Stream(int(rest))
        case "fail" if rest:
            return Fail(rest)
        case "crash" if rest.isascii() and rest.isdigit() and len(rest) < 4 and int(rest) < 256:
            return Crash(int(rest))
    return None


def _tool(rest: str) -> Tool | None:
    name, _, text = rest.partition(" ")
    arguments = _json_object(text) if text.strip() else {}
    return Tool(name, arguments) if name and arguments is not None else None


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _notice(rest: str) -> Notice | None:
    severity, _, text = rest.partition(" ")
    title, _, description = (part.strip() for part in text.partition("|"))
    return Notice(severity, title, description) if severity in SEVERITIES and title else None


def _compact(rest: str) -> Compact | None:
    word, _, why = rest.partition(" ")
    if word == "failed":
        return Compact(error=why.strip()) if why.strip() else None
    return Compact(rest) if rest else None


def _plan_operation(operation: str, rest: str) -> PlanOperation | None:
    id_, _, text = (part.strip() for part in rest.partition(" "))
    return PlanOperation(operation, id_, text) if id_ and bool(text) == (operation != "drop") else None


def _question(rest: str) -> Question | None:
    if rest.startswith("{"):
        given = _json_object(rest)
        return None if given is None else Question({"mode": "form", "message": "", **given})
    message, *choices = (part.strip() for part in rest.split("|"))
    field = {"type": "string", "title": "Answer"} | ({"enum": choices} if choices else {})
    schema = {"type": "object", "properties": {"answer": field}, "required": ["answer"]}
    return Question({"mode": "form", "message": message, "requestedSchema": schema})


def _wait(rest: str) -> Wait | None:
    try:
        seconds = float(rest)
    except ValueError:
        return None
    return Wait(seconds) if math.isfinite(seconds) and seconds >= 0 else None
