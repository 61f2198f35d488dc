"""Tool calls as actions that can be compared across harnesses: kind, target, arguments."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Step
from session_widgets.transcript.tool_input import FileEdit, edits_of, json_text, script_of

CHANGES = frozenset(("edit", "delete", "move"))
"""Kinds of actions that change files."""
_PATHS = ("path", "file_path", "filePath", "filepath", "notebook_path")
_PATTERNS = ("pattern", "query", "regex", "glob")
_BEFORE = re.compile(
    r"""(?:cd\s+(?:'[^']*'|"[^"]*"|[^\s;&|]+)\s*(?:&&|;)  # cd somewhere &&
    |[A-Za-z_]\w*=(?:'[^']*'|"[^"]*"|\S*)\s  # NAME=value
    |(?:sudo|env|time|nohup|exec)\s
    |timeout\s+(?:-[ks]\s+\S+\s+|-\S+\s+)*\S+\s
    |(?:uv|poetry|hatch|pdm|pipenv)\s+run\s
    |set\s+-\S+\s*(?:&&|;)
    |\s+|\#[^\n]*\n)*""",
    re.VERBOSE,
)
"""In front of the command that matters."""
_WORD = re.compile(r"\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s;&|<>()]+))")
_INTERPRETERS = re.compile(r"(?:python|pypy)[\d.]*|node|bun|deno|ruby|perl|php|sh|bash|zsh")
_OF_MANY_COMMANDS = frozenset((
    "apt", "apt-get", "bazel", "brew", "bundle", "cargo", "composer", "conda", "docker", "dotnet", "gh", "git", "go",
    "gradle", "hatch", "hg", "just", "kubectl", "make", "mise", "mvn", "npm", "npx", "pip", "pip3", "pnpm", "poe",
    "poetry", "rake", "svn", "systemctl", "task", "terraform", "tox", "uv", "yarn",
))  # fmt: skip
_VOLATILE = frozenset((
    "call_id", "description", "explanation", "process_id", "started_at_ms", "timeout", "timeout_ms", "toolCallId",
    "turn_id", "yield_time_ms",
))  # fmt: skip
"""Fields of an input that say nothing about the action."""


@dataclass(frozen=True, slots=True)
class Action:
    """A tool call, normalised.

    Attributes:
        kind: ACP's; of a tool that runs a command "execute", "other" if the agent reports none.
        target: the file relative to the workspace, the command without its options, the pattern of a search, the
            address of a fetch, else the name of the tool.
        family: the coarser target: name of the file, program, host.
        arguments: digest of the rest: the changed lines, the whole command, the input.
        failed: whether the call failed, was rejected or interrupted.
        edits: of an edit, its texts.
    """

    step: Step
    kind: str
    target: str
    family: str
    arguments: str
    failed: bool = False
    edits: tuple[FileEdit, ...] = ()


def actions_of(steps: Iterable[Step], roots: Sequence[str] = ()) -> list[Action]:
    """Return the tool calls among steps as actions.

    Args:
        steps: of one session, in order.
        roots: absolute paths of its workspace, which are cut off.
    """
    return [action_of(step, roots) for step in steps if step.kind == "tool_call"]


def action_of(step: Step, roots: Sequence[str] = ()) -> Action:
    """Return a tool call as an action; `roots` are absolute paths of its workspace."""
    raw, kind = as_object(step.raw_input), step.tool_kind or "other"
    script = script_of(raw)
    if kind in {"other", "think"} and script:
        kind = "execute"
    paths = _paths(step, raw, roots)
    edits: tuple[FileEdit, ...] = ()
    arguments: object
    if kind == "execute" and script:
        script = re.sub(r"^\s*cd\s+['\"]?\.['\"]?\s*(?:&&|;)\s*", "", _without_roots(script, roots))
        target, family = command_head(script)
        arguments = " ".join(script.split())
    elif kind == "search" and (pattern := _pattern(raw)) is not None:
        target = family = pattern
        arguments = [path for path in paths if path != "."]
    elif kind == "fetch" and (address := as_text(raw.get("url"))):
        target, family = address.partition("#")[0], _host(address)
        arguments = _rest(raw, ("url",), roots)
    elif paths:
        target, family = ", ".join(paths), posixpath.basename(paths[-1])
        if kind == "edit":
            edits = tuple(
                FileEdit(relative(edit.path, roots) if edit.path else paths[0], edit.old, edit.new)
                for edit in edits_of(raw, step.content)
            )
        arguments = [(edit.path, *changed_lines(edit.old, edit.new)) for edit in edits] or _rest(raw, _PATHS, roots)
    else:
        target = family = step.tool_name or _words(step.title) or kind
        arguments = _rest(raw, (), roots)
    failed = step.failure is not None or step.status in {"failed", "cancelled"}
    return Action(step, kind, target, family, _digest(arguments), failed, edits)


def command_head(script: str) -> tuple[str, str]:
    """Return the first command of a script without its options, and its program.

    Example:
        >>> command_head("cd src && FOO=1 python3 -m pytest -q tests")
        ('pytest', 'pytest')
        >>> command_head("git -C x commit -m done"), command_head("python fix.py --all")
        (('git commit', 'git'), ('python fix.py', 'python'))
    """
    before = _BEFORE.match(script)
    words = _words_from(script, before.end() if before else 0)
    if not words:
        return (" ".join(script.split())[:80], "")
    program = posixpath.basename(words[0]) or words[0]
    if _INTERPRETERS.fullmatch(program):
        program = re.sub(r"(?<=python)[\d.]+$", "", program)
        if "-m" in words[1:3] and len(words) > words.index("-m") + 1:
            module = words[words.index("-m") + 1]
            return module, module
        place = next((word for word in words[1:] if word == "-c" or not word.startswith("-")), "")
        return f"{program} {posixpath.normpath(place) if place not in {'', '-c'} else place}".strip(), program
    if program in _OF_MANY_COMMANDS:
        plain = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z:_-]+", word)]
        return (f"{program} {plain[0]}" if plain else program), program
    return program, program


def changed_lines(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    r"""Return an edit without the lines that both texts begin and end with: harnesses send different contexts.

    Example:
        >>> changed_lines("one\ntwo", "one\nthree"), changed_lines("two", "three")
        (('two', 'three'), ('two', 'three'))
    """
    if old is None or new is None:
        return old, new
    before, after = old.splitlines(), new.splitlines()
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return "\n".join(before[start : len(before) - end]), "\n".join(after[start : len(after) - end])


def relative(path: str, roots: Sequence[str]) -> str:
    """Return a path relative to the first of the directories that contains it, in its shortest form."""
    plain = posixpath.normpath(path) if path else "."
    for root in roots:
        if plain == root or plain.startswith(f"{root.rstrip('/')}/"):
            return posixpath.relpath(plain, root)
    return plain


def _words_from(script: str, place: int) -> list[str]:
    words: list[str] = []
    while (found := _WORD.match(script, place)) and len(words) < 12:
        words.append(next(group for group in found.groups() if group is not None))
        place = found.end()
    return words


def _paths(step: Step, raw: Mapping[str, Any], roots: Sequence[str]) -> list[str]:
    named = [as_text(raw.get(name)) for name in _PATHS]
    found = [as_text(place.get("path")) for place in as_objects(step.locations)]
    return list(dict.fromkeys(relative(path, roots) for path in ([*filter(None, found)] or [*filter(None, named)])))


def _pattern(raw: Mapping[str, Any]) -> str | None:
    parsed = (as_text(part.get("query")) for part in as_objects(raw.get("parsed_cmd")))
    return next((text for text in (*(as_text(raw.get(name)) for name in _PATTERNS), *parsed) if text), None)


def _host(address: str) -> str:
    try:
        return urlsplit(address).netloc
    except ValueError:
        return address


def _words(title: str | None) -> str:
    return " ".join((title or "").split())[:80]


def _rest(raw: Mapping[str, Any], without: Sequence[str], roots: Sequence[str]) -> object:
    rest = {name: value for name, value in raw.items() if name not in _VOLATILE and name not in without}
    return _without_roots(json_text(dict(sorted(rest.items()))), roots) if rest else None


def _without_roots(text: str, roots: Sequence[str]) -> str:
    for root in filter(None, (root.rstrip("/") for root in roots)):
        text = re.sub(rf"(?<![\w/.-]){re.escape(root)}/+(?=[\w.])", "", text)
        text = re.sub(rf"(?<![\w/.-]){re.escape(root)}/*(?![\w/.-])", ".", text)
    return text


def _digest(value: object) -> str:
    if value is None or value == []:
        return ""
    text = value if isinstance(value, str) else json_text(value)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
