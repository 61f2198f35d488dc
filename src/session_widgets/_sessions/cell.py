"""Questions in the cell: a blocked cell receives no click from the browser, but does receive typed input."""

from __future__ import annotations

import builtins
import difflib
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from session_widgets._sessions.permissions import Decision, PermissionRequest
from session_widgets._sessions.stdin import read_line
from session_widgets.kernel import current_kernel, ipykernel_release
from session_widgets.printing import one_line, printable
from session_widgets.transcript.envelopes import as_object, as_objects, block_text
from session_widgets.transcript.records import Json
from session_widgets.transcript.tool_input import beside, command_of, places, words

NO_STDIN = (
    "nobody could be asked: no click arrives while this cell runs, and it has no input of its own. "
    "Open the session with another permissions=, for example a function that decides"
)

PART_LIMIT = 64 * 1024
"""Characters of one command, diff or input in the question."""
PLACES = 50
DIFF_LINES = 2000


IN_THE_PANEL = " (in the panel)"
"""Text that a panel adds to an answer that it types into the field, for later readers of the cell."""
CLOSING_SECONDS = 2
"""How long a field in the cell may take to close after its question was answered elsewhere."""


@dataclass(frozen=True, slots=True)
class CellQuestion:
    """The permission request that a cell asks about.

    Attributes:
        request: id of the permission request.
        prompt: text beside the field; unique.
        answers: input for each option, by the option's id.
    """

    request: str
    prompt: str
    answers: dict[str, str]


@dataclass(slots=True)
class FrontendState:
    """State of the page that shows the session, and of the cell's question.

    Attributes:
        heard: a message of it has arrived, so a person can click.
        heard_apart: it arrived on a separate thread, so clicks arrive while a cell blocks.
        asked: number of questions asked in cells.
        question: the open one.
    """

    heard: bool = False
    heard_apart: bool = False
    asked: int = 0
    question: CellQuestion | None = None
    _watchers: list[Callable[[], None]] = field(default_factory=list)

    @property
    def watched(self) -> bool:
        """Whether a panel exists, which informs a page of the question."""
        return bool(self._watchers)

    def show(self, question: CellQuestion | None) -> None:
        """Set the cell's current question for the page."""
        if question == self.question:
            return
        self.question = question
        self.tell()

    def tell(self) -> None:
        """Notify the page of changes without an event: the question, the policy, a deletion."""
        for watcher in tuple(self._watchers):
            watcher()

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call `watcher` at every such change, on any thread; returns a function that stops it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)


def must_ask_here(page: FrontendState, *, awaiting: bool) -> bool:
    """Whether a waiting call must ask in the cell, because no click can arrive while it waits.

    Args:
        page: the source of clicks.
        awaiting: the caller awaits, so the kernel's loop runs; ipykernel 6 delivers nothing even then.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    kernel = current_kernel()
    if kernel is None:
        return not awaiting
    if awaiting:
        return _cell_runs(kernel) and not (page.heard and ipykernel_release() >= (7, 0))
    return not page.heard_apart


class CellField:
    """The field of a question in the cell or terminal, closed when the question is answered elsewhere.

    Args:
        page: shows the question, so that a click there can answer it.
        question: for the page.
        is_open: whether it still needs an answer.
    """

    def __init__(self, page: FrontendState, question: CellQuestion, is_open: Callable[[], bool]) -> None:
        self._page, self._question, self._is_open = page, question, is_open

    def read(self, prompt: str | None = None, *, secret: bool = False) -> str | None:
        """Return a typed line, by default for the question itself; None if it was answered elsewhere."""
        question = self._question if prompt is None else CellQuestion(self._question.request, prompt, {})
        self._page.show(question)
        closing = CLOSING_SECONDS if self._page.watched else 0
        line = read_line(current_kernel(), question.prompt, self._is_wanted, closing, secret=secret)
        if line is None:
            print("This was answered elsewhere.", flush=True)  # noqa: T201  # below the question, for a person
        return line

    def _is_wanted(self) -> bool:
        if not (wanted := self._is_open()):
            self._page.show(None)  # this closes the field
        return wanted


def ask(request: PermissionRequest, page: FrontendState, is_open: Callable[[], bool]) -> Decision | None:
    """Ask a person in the cell or terminal; reject the request without an input.

    Args:
        request: the permission request.
        page: shows the question while it is open, so that a click there can answer it.
        is_open: whether the request still needs an answer.

    Returns:
        The answer; None if the request was answered elsewhere, or its turn has ended.
    """
    if not has_stdin():
        return request.rejection("policy:ask", NO_STDIN)
    print(describe(request), flush=True)  # noqa: T201  # the question stands above its input field
    letters = _letters(request)
    page.asked += 1
    offered = " / ".join(f"[{letter}] {name}" for letter, (name, _) in letters.items())
    prompt = f"{request.session_id}, question {page.asked}. Allow? {offered}: "
    field = CellField(page, CellQuestion(request.id, prompt, _answers(request, letters)), is_open)
    try:
        while (line := field.read()) is not None:
            if (decision := _decision(request, letters, line)) is not None:
                return decision
    except EOFError:
        return request.rejection("policy:ask", NO_STDIN)
    finally:
        page.show(None)
    return None


def describe(request: PermissionRequest) -> str:
    """Return the request as printable text: its title, and the whole input of the call.

    A part longer than `PART_LIMIT` characters is cut, and the text says so.
    """
    call = request.tool_call
    content = as_objects(call.get("content"))
    command, rest = command_of(call.get("rawInput")), beside(call.get("rawInput"), content)
    parts = [_diff(block) if block.get("type") == "diff" else _told(block, command) for block in content]
    if command:
        parts.append(_cut("  $ " + command.replace("\n", "\n    ")))
    if rest is not None and rest != {}:
        parts.append(_cut("  with " + words(rest).replace("\n", "\n  ")))
    parts += [_cut("  at " + one_line(place, PART_LIMIT)) for place in places(call.get("locations"))[:PLACES]]
    title = one_line(request.title or request.tool_kind or "The agent")
    parts = list(filter(None, parts)) or ["  It does not say what it would do."]
    return printable("\n".join([f"{title} needs permission.", *parts]))


Letters = dict[str, tuple[str, str]]


def _letters(request: PermissionRequest) -> Letters:
    kinds = {"o": ("once", "allow_once"), "a": ("always", "allow_always"), "r": ("reject", "reject_once")}
    return {letter: (name, kind) for letter, (name, kind) in kinds.items() if request.of_kind(kind) or letter == "r"}


def _answers(request: PermissionRequest, letters: Letters) -> dict[str, str]:
    """Return the panel's input for each option: its word, or its number."""
    words = {option.id: name for name, kind in letters.values() if (option := request.of_kind(kind)) is not None}
    numbered = enumerate(request.options, 1)
    return {option.id: words.get(option.id, str(number)) + IN_THE_PANEL for number, option in numbered}


def _decision(request: PermissionRequest, letters: Letters, line: str) -> Decision | None:
    answer = line.strip().lower()
    by = "user" if answer.endswith(IN_THE_PANEL) else "user:cell"
    answer = answer.removesuffix(IN_THE_PANEL)
    for letter, (name, kind) in letters.items():
        if answer in {letter, name}:
            return Decision(request.of_kind(kind), by)
    if answer.isdecimal() and 0 < int(answer) <= len(request.options):
        return Decision(request.options[int(answer) - 1], by)
    return None


def _told(item: Json, command: str | None) -> str:
    """The text of a content block, unless it repeats the command."""
    text = block_text(as_object(item.get("content")) if item.get("type") == "content" else item).strip()
    return "" if command and text in (command, f"$ {command}") else _cut("  " + text.replace("\n", "\n  "))


def _diff(block: Json) -> str:
    old, new = (words(block.get(name) or "").splitlines() for name in ("oldText", "newText"))
    path = one_line(words(block.get("path") or ""), 1000)
    if max(len(old), len(new)) > DIFF_LINES:  # comparing so many lines may take minutes
        lines = [f"--- {path}", f"+++ {path}", *(f"-{line}" for line in old), *(f"+{line}" for line in new)]
    else:
        lines = list(difflib.unified_diff(old, new, path, path, lineterm=""))
    return _cut("\n".join(lines) or f"  {path}: no line differs")


def _cut(text: str) -> str:
    if len(text) <= PART_LIMIT:
        return text
    return f"{text[:PART_LIMIT]}\n  [cut here: {len(text) - PART_LIMIT:,} more characters, in the request's tool_call]"


def _cell_runs(kernel: Any) -> bool:
    """A kernel replaces `input` while a cell runs."""
    return bool(builtins.input == kernel.raw_input)


def has_stdin() -> bool:
    """Whether the caller's cell or terminal has an input."""
    kernel = current_kernel()
    return bool(kernel._allow_stdin) if kernel is not None else sys.stdin is not None and sys.stdin.isatty()
