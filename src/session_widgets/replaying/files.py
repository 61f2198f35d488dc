"""The files of a session, by its transcript and its kept files: a known text, or unknown. Nothing is guessed."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from session_widgets.analysis.alignment.actions import relative
from session_widgets.analysis.reading_commands import reads_only
from session_widgets.transcript.envelopes import as_object, as_objects, as_text, block_text
from session_widgets.transcript.records import FileChange, Step
from session_widgets.transcript.steps import FINAL_STATUSES
from session_widgets.transcript.tool_input import FileEdit, edits_of, script_of
from session_widgets.workspaces.snapshot import name_of

_PATHS = ("path", "file_path", "filePath", "filepath", "notebook_path", "abs_path", "absolute_path")
_NUMBERED = re.compile(r"[ \t]*(\d+)(?:→|\t|\|)(.*)")


@dataclass(frozen=True, slots=True)
class Kept:
    """The content of a kept file: its MD5 and size as its name, and how it is read, which may block."""

    name: str
    read: Callable[[], bytes | None] = field(compare=False, repr=False)

    def text(self) -> str | None:
        """Return it as text; None if it is not UTF-8, or was deleted meanwhile."""
        data = self.read()
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class KeptAll:
    """All files at the end of a turn, by path; `left_out` are those that exist and were not kept."""

    files: Mapping[str, Kept]
    left_out: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class FileState:
    """A file at a moment.

    Attributes:
        path: relative to the workspace, if it is below it.
        state: "known" with its text, "unknown", or "deleted".
        content: the text, or the kept file that has it; of an unknown file the last known one, None without one.
        seq: of the event that this comes from.
        reason: the event's effect: "written", "edited", "read", or "kept" (with all files, at the end of a turn); why a
            text is not known: "command" (one that may change any file was run), "edit" (of a text that was not known),
            "seen" (only named), "turn" (changed in a turn, by no tool call).
    """

    path: str
    state: Literal["known", "unknown", "deleted"]
    content: str | Kept | None
    seq: int
    reason: str

    @property
    def text(self) -> str | None:
        """The text, read if it was kept; None if there is none, or it is no UTF-8."""
        return self.content.text() if isinstance(self.content, Kept) else self.content


class Files:
    """The files of a session at every event so far."""

    def __init__(self) -> None:
        self._states: dict[str, list[FileState]] = {}
        self._seqs: dict[str, list[int]] = {}
        self._opaque: list[int] = []

    def step(self, seq: int, step: Step, before: Step | None, roots: Sequence[str]) -> None:
        """Apply a tool call that event `seq` brought into this form; `before` is its earlier form."""
        if step.kind != "tool_call" or (before is not None and before.status in FINAL_STATUSES):
            return
        over = step.status in FINAL_STATUSES
        if step.failure == "rejected" or not (over or step.status == "in_progress"):
            return
        script = script_of(step.raw_input)
        if step.tool_kind == "execute" or (script is not None and step.tool_kind in {"other", "think", None}):
            started = before is not None and before.status == "in_progress"
            if (over or not started) and not reads_only(script or ""):
                self._opaque.append(seq)
        elif over and step.tool_kind == "read":
            self._read(seq, step, roots)
        elif over and not (step.status == "failed" and step.failure == "error"):
            self._change(seq, step, roots)

    def turn(self, seq: int, changes: Sequence[FileChange], roots: Sequence[str]) -> None:
        """Apply the files that a turn changed, as they were found at its end."""
        for change in changes:
            path = relative(change.path, roots)
            state = self._now(path, seq)
            if change.change == "deleted":
                self._put(FileState(path, "deleted", None, seq, "turn"))
            elif state is None or state.state == "deleted":
                self._put(FileState(path, "unknown", None, seq, "turn"))
            elif state.state == "known" and change.size != _size(state.content):
                self._put(FileState(path, "unknown", state.content, seq, "turn"))

    def keep(self, seq: int, ended: int, kept: KeptAll) -> None:
        """Apply all files as they were kept at event `seq`, those of event `ended`, the end of a turn."""
        opaque = bisect_right(self._opaque, ended)
        if opaque < len(self._opaque):
            return  # a command ran before they were kept: they may have changed since the turn's end
        for path in {*kept.files, *self._states}:
            state, content = self._now(path, seq), kept.files.get(path)
            if state is not None and (state.seq > ended and state.seq < seq):
                continue
            if content is not None:
                if state is None or state.state != "known" or not _holds(state.content, content):
                    self._put(FileState(path, "known", content, seq, "kept"))
            elif state is not None and state.state != "deleted" and path not in kept.left_out and _inside(path):
                self._put(FileState(path, "deleted", None, seq, "kept"))

    def at(self, seq: int) -> Iterator[FileState]:
        """Yield the files as of event `seq` by path, deleted ones too."""
        for path in sorted(self._states):
            if (state := self._now(path, seq)) is not None:
                yield state

    def file(self, path: str, seq: int) -> FileState | None:
        """Return one file as of event `seq`; None if the transcript had not named it yet."""
        return self._now(path, seq) if path in self._states else None

    def _now(self, path: str, seq: int) -> FileState | None:
        place = bisect_right(self._seqs.get(path, ()), seq) - 1
        if place < 0:
            return None
        state = self._states[path][place]
        if state.state != "known":
            return state
        later = bisect_right(self._opaque, state.seq)
        if later < len(self._opaque) and self._opaque[later] <= seq:
            return replace(state, state="unknown", seq=self._opaque[later], reason="command")
        return state

    def _put(self, state: FileState) -> None:
        states, seqs = self._states.setdefault(state.path, []), self._seqs.setdefault(state.path, [])
        if seqs and seqs[-1] == state.seq:
            states[-1] = state
        else:
            states.append(state)
            seqs.append(state.seq)

    def _change(self, seq: int, step: Step, roots: Sequence[str]) -> None:
        edits = edits_of(step.raw_input, step.content)
        named = _path_of(step)
        sure = step.status == "completed"
        if edits and (step.tool_kind in {"edit", "move"} or _has_diff(step)):
            all_of_it = as_object(step.raw_input).get("replace_all") is True
            for edit in edits:
                if path := edit.path or named:
                    self._edit(seq, relative(path, roots), edit, sure=sure, all_of_it=all_of_it)
        elif named and step.tool_kind == "delete" and sure:
            self._put(FileState(relative(named, roots), "deleted", None, seq, "deleted"))
        elif step.tool_kind in {"edit", "delete", "move"}:
            for path in {named, *(as_text(place.get("path")) for place in step.locations)} - {None, ""}:
                self._lose(seq, relative(str(path), roots), "edit")

    def _edit(self, seq: int, path: str, edit: FileEdit, *, sure: bool, all_of_it: bool) -> None:
        state = self._now(path, seq)
        text = None if state is None else state.text
        if not sure or edit.new is None:
            self._lose(seq, path, "edit")
        elif edit.old is None:
            self._put(FileState(path, "known", edit.new, seq, "written"))
        elif text is None or edit.old not in text or (text.count(edit.old) > 1 and not all_of_it):
            self._lose(seq, path, "edit")
        else:
            known = state is not None and state.state == "known"
            self._put(
                FileState(
                    path,
                    "known" if known else "unknown",
                    text.replace(edit.old, edit.new),
                    seq,
                    "edited" if known else "edit",
                )
            )

    def _read(self, seq: int, step: Step, roots: Sequence[str]) -> None:
        """A read of the whole file tells its text, if it is numbered from 1; any other one can only confirm a text."""
        said = as_object(step.raw_input)
        if step.status != "completed" or not (path := _path_of(step)):
            return
        path, output = relative(path, roots), _output(step)
        state = self._now(path, seq)
        whole = set(said) <= set(_PATHS)
        text = _unnumbered(output) if whole and output else None
        if state is not None and state.text is not None and output is not None and whole:
            same = {state.text.rstrip("\n")}
            if output.rstrip("\n") in same or (text is not None and text.rstrip("\n") in same):
                self._put(FileState(path, "known", state.content, seq, "read"))
                return
        if text is not None:
            self._put(FileState(path, "known", text, seq, "read"))
        elif state is None:
            self._put(FileState(path, "unknown", None, seq, "seen"))

    def _lose(self, seq: int, path: str, reason: str) -> None:
        state = self._now(path, seq)
        self._put(FileState(path, "unknown", None if state is None else state.content, seq, reason))


def _size(content: str | Kept | None) -> int:
    if isinstance(content, Kept):
        return int(content.name.rpartition("-")[2])
    return len((content or "").encode("utf-8", "surrogatepass"))


def _holds(content: str | Kept | None, kept: Kept) -> bool:
    if isinstance(content, Kept):
        return content.name == kept.name
    return _size(content) == _size(kept) and name_of((content or "").encode("utf-8", "surrogatepass")) == kept.name


def _inside(path: str) -> bool:
    """Whether a path is in the workspace, whose files are kept, and not the agent's own memory."""
    return not path.startswith(("/", "~", "../", ".harness/")) and ":" not in path.partition("/")[0]


def _has_diff(step: Step) -> bool:
    return any(block.get("type") == "diff" for block in step.content)


def _path_of(step: Step) -> str | None:
    said: Mapping[str, object] = as_object(step.raw_input)
    named = next((text for name in _PATHS if (text := as_text(said.get(name)))), None)
    places = [path for place in step.locations if (path := as_text(place.get("path")))]
    return named or (places[0] if len(set(places)) == 1 else None)


def _output(step: Step) -> str | None:
    texts = [
        block_text(as_object(item.get("content")))
        for item in as_objects(list(step.content))
        if item.get("type") == "content"
    ]
    return texts[0] if len(texts) == 1 else None


def _unnumbered(output: str) -> str | None:
    """The text of an output whose lines are numbered from 1 on, without a gap; None for any other."""
    lines = []
    for number, line in enumerate(output.rstrip("\n").split("\n"), 1):
        found = _NUMBERED.fullmatch(line)
        if found is None or int(found[1]) != number:
            return None
        lines.append(found[2])
    return "".join(f"{line}\n" for line in lines) if 0 < len(lines) < 2000 else None
