"""Differences between the files of two times. File names and contents are an agent's."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, overload

from session_widgets._sessions.kept_files import KeptFile
from session_widgets._store.redaction import redactor
from session_widgets.printing import one_line, plural, printable
from session_widgets.transcript.records import FileChange

MAX_TEXT_BYTES = 256 << 10
"""Of one side of a file; larger ones are named without a text."""
MAX_CHARACTERS = 200_000
"""Of all texts of a diff."""
MAX_WORK = 4_000_000
"""Product of the numbers of lines to compare, of one file."""
MAX_TOTAL_WORK = 20_000_000
SHOWN = 200
"""Files in HTML and `repr`."""
CONTEXT = 3

Change = Literal["created", "modified", "deleted"]
_LETTERS: Mapping[Change, str] = {"created": "A", "modified": "M", "deleted": "D"}
_BOX = "border:1px solid #8884;border-radius:6px;margin:4px 0;max-width:900px;overflow:hidden"
_HEAD = "padding:4px 10px;background:#8881;cursor:pointer;overflow-wrap:anywhere"
_PRE = "margin:0;padding:4px 0;overflow:auto;max-height:340px;font:12px/1.5 ui-monospace,monospace"
_COLORS = {"+": "#2da44e2e", "-": "#cf222e2b", "@": "#8881"}


@dataclass(frozen=True, slots=True)
class FileDiff:
    """A file that differs.

    Attributes:
        path: in the workspace.
        before: the earlier file; None if there was none, or if it was not kept.
        after: the later file; None if there is none.
        text: a unified diff; "" if `remark` says why there is none.
    """

    path: str
    change: Change
    before: KeptFile | None
    after: KeptFile | None
    text: str
    remark: str

    @property
    def added(self) -> int:
        """Number of added lines."""
        return self._count("+")

    @property
    def removed(self) -> int:
        """Number of removed lines."""
        return self._count("-")

    def _count(self, sign: str) -> int:
        return sum(line.startswith(sign) for line in self.text.split("\n")[2:])

    def __repr__(self) -> str:
        return redactor().plain(f"{_LETTERS[self.change]} {one_line(self.path)}  {self._summary}".rstrip())

    @property
    def _summary(self) -> str:
        counts = [f"+{self.added} -{self.removed}"] if self.text else []
        return ", ".join([*counts, self.remark]).removesuffix(", ")


class Diff(Sequence[FileDiff]):
    """The files that differ between two times, by path. `print(diff)` prints a unified diff.

    Attributes:
        before: the earlier time, in words.
        after: the later time, in words.
        left_out: number of files that could not be compared, because one of the two times lacks them.
    """

    def __init__(self, files: Sequence[FileDiff], before: str, after: str, left_out: int = 0) -> None:
        self._files = tuple(files)
        self.before = before
        self.after = after
        self.left_out = left_out

    @overload
    def __getitem__(self, index: int) -> FileDiff: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FileDiff]: ...
    def __getitem__(self, index: int | slice) -> FileDiff | Sequence[FileDiff]:
        return self._files[index]

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[FileDiff]:
        return iter(self._files)

    @property
    def created(self) -> tuple[str, ...]:
        """Paths of the created files."""
        return self._paths("created")

    @property
    def modified(self) -> tuple[str, ...]:
        """Paths of the modified files."""
        return self._paths("modified")

    @property
    def deleted(self) -> tuple[str, ...]:
        """Paths of the deleted files."""
        return self._paths("deleted")

    def _paths(self, change: Change) -> tuple[str, ...]:
        return tuple(one.path for one in self if one.change == change)

    @property
    def _head(self) -> str:
        parts = [f"{len(paths):,} {name}" for name in _LETTERS if (paths := self._paths(name))]
        left = f"; {plural(self.left_out, 'file')} not compared" if self.left_out else ""
        return f"{', '.join(parts) or 'no difference'} ({self.before} → {self.after}){left}"

    def __str__(self) -> str:
        return redactor().plain("\n".join(one.text or repr(one) for one in self))

    def __repr__(self) -> str:
        more = [f"and {len(self) - SHOWN:,} more"] if len(self) > SHOWN else []
        return "\n".join([self._head, *map(repr, self[:SHOWN]), *more])

    def _repr_html_(self) -> str:
        more = f"<p>and {len(self) - SHOWN:,} more</p>" if len(self) > SHOWN else ""
        return f"<div><p>{escape(self._head)}</p>{''.join(map(_html, self[:SHOWN]))}{more}</div>"


def compare(
    before: Mapping[str, KeptFile], after: Mapping[str, KeptFile], left_out: frozenset[str] = frozenset()
) -> list[FileDiff]:
    """Return the differences. Blocks: it reads contents.

    Args:
        before: files by path.
        after: files by path.
        left_out: paths that one side lacks only because they were not kept.
    """
    budget = _Budget()
    paths = {path for path in before.keys() | after.keys() if path not in left_out and not _is_of_git(path)}
    return [
        _difference(path, here, there, budget)
        for path in sorted(paths)
        for here, there in [(before.get(path), after.get(path))]
        if _identity(here) != _identity(there)
    ]


def described(changes: Sequence[FileChange], after: Mapping[str, KeptFile]) -> list[FileDiff]:
    """Return a turn's changes, if the files before it are not known. Blocks: it reads contents."""
    budget = _Budget()
    found = []
    for change in sorted(changes, key=lambda one: one.path):
        there = after.get(change.path)
        if change.change == "created" and there is not None:
            found.append(_difference(change.path, None, there, budget))
        else:
            remark = "" if change.change == "created" else "the earlier content was not kept"
            found.append(FileDiff(change.path, change.change, None, there, "", remark))
    return found


def _is_of_git(path: str) -> bool:
    return ".git" in path.split("/")


def _identity(file: KeptFile | None) -> tuple[str, str, int] | None:
    return None if file is None else (file.kind, file.name, file.mode if file.kind == "file" else 0)


@dataclass(slots=True)
class _Budget:
    """What is left of the limits of a diff."""

    characters: int = MAX_CHARACTERS
    work: int = MAX_TOTAL_WORK


def _difference(path: str, before: KeptFile | None, after: KeptFile | None, budget: _Budget) -> FileDiff:
    change: Change = "created" if before is None else "deleted" if after is None else "modified"
    text, remark = _text(path, before, after, budget)
    if before is not None and after is not None and before.kind == after.kind and before.mode != after.mode:
        remark = f"{remark} mode {before.mode:o} → {after.mode:o}".lstrip()
    return FileDiff(path, change, before, after, text, remark)


def _text(path: str, before: KeptFile | None, after: KeptFile | None, budget: _Budget) -> tuple[str, str]:
    """Return the unified diff, or why there is none."""
    sides = [file for file in (before, after) if file is not None]
    if len({file.name for file in sides}) == 1 == len({file.kind for file in sides}) and len(sides) == 2:
        return "", ""
    if all(file.kind == "directory" for file in sides):
        return "", "directory"
    if any(file.size > MAX_TEXT_BYTES for file in sides):
        return "", "too large to compare"
    if budget.characters <= 0:
        return "", "not compared: the differences are too large"
    here, there = _lines(before), _lines(after)
    if here is None or there is None:
        return "", "binary"
    work = max(1, len(here)) * max(1, len(there))
    if work > min(MAX_WORK, budget.work):
        return "", "too many lines to compare"
    budget.work -= work
    name = one_line(path)
    names = (f"a/{name}" if before else "/dev/null", f"b/{name}" if after else "/dev/null")
    text = printable("\n".join(difflib.unified_diff(here, there, *names, n=CONTEXT, lineterm="")))
    budget.characters -= len(text)
    return (text, "") if text else ("", "empty")


def _lines(file: KeptFile | None) -> list[str] | None:
    """Return the lines of a text, or the target of a link; None for other content."""
    if file is None or file.kind == "directory":
        return []
    data = file.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    if file.kind == "link":
        return [f"→ {text}"]
    return text.removesuffix("\n").split("\n") if text else []


def _html(one: FileDiff) -> str:
    hide = redactor().plain
    head = f"{_LETTERS[one.change]} <code>{escape(hide(one_line(one.path)))}</code>"
    head += f' <span style="opacity:.65">{escape(one._summary)}</span>'
    if not one.text:
        return f'<div style="{_BOX}"><div style="{_HEAD.replace("cursor:pointer;", "")}">{head}</div></div>'
    rows = "".join(_row(line) for line in hide(one.text).split("\n")[2:])
    return (
        f'<details style="{_BOX}"><summary style="{_HEAD}">{head}</summary><pre style="{_PRE}">{rows}</pre></details>'
    )


def _row(line: str) -> str:
    color = _COLORS.get(line[:1])
    style = f"background:{color};" if color else ""
    return f'<div style="{style}padding:0 10px;unicode-bidi:isolate">{escape(line) or " "}</div>'
