"""Every form that a step had, so that its form at any event is found without folding again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from session_widgets.transcript.records import Event, Step


@dataclass(slots=True)
class _Grown:
    """`step` with the first `count` of `pieces` behind its text."""

    step: Step
    pieces: list[str]
    count: int
    seq: int
    ts: datetime

    def whole(self) -> Step:
        text = (self.step.text or "") + "".join(self.pieces[: self.count])
        return replace(self.step, text=text, last_seq=self.seq, ended_at=self.ts)


@dataclass(slots=True)
class _Shorter:
    """`step` without its last block of output, which is the first `length` characters of `output`."""

    step: Step
    output: list[str]
    length: int

    def whole(self) -> Step:
        block = {"type": "content", "content": {"type": "text", "text": self.output[0][: self.length]}}
        return replace(self.step, content=(*self.step.content, block))


class Versions:
    """The forms of one step, oldest first. A growing text is kept once, not once a form.

    Attributes:
        seqs: of the events that created or changed the step.
    """

    __slots__ = ("_forms", "_latest", "_output", "seqs")

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self._forms: list[Step | _Grown | _Shorter] = []
        self._latest: Step | None = None
        self._output: list[str] | None = None

    def put(self, seq: int, step: Step) -> None:
        """Add the form of the step as of event `seq`."""
        before, output = self._latest, _printed(step)
        if output is None:
            self._output = None
        elif (
            before is not None
            and self._output is not None
            and self._forms[-1] is before
            and output.startswith(self._output[0])
        ):
            self._forms[-1] = _Shorter(replace(before, content=before.content[:-1]), self._output, len(self._output[0]))
            self._output[0] = output
        else:
            self._output = [output]
        self._add(seq, step)
        self._latest = step

    def grow(self, event: Event, text: str) -> None:
        """Add text that an event added at the end."""
        last = self._forms[-1]
        if isinstance(last, _Grown):
            last.pieces.append(text)
            grown = replace(last, count=len(last.pieces), seq=event.seq, ts=event.ts)
        else:
            grown = _Grown(last if isinstance(last, Step) else last.whole(), [text], 1, event.seq, event.ts)
        self._output = None
        self._add(event.seq, grown)

    def at(self, seq: int) -> Step:
        """Return the form after event `seq`, which is at or after the first one."""
        form = self._forms[bisect_right(self.seqs, seq) - 1]
        return form if isinstance(form, Step) else form.whole()

    def _add(self, seq: int, form: Step | _Grown) -> None:
        if self.seqs and self.seqs[-1] == seq:
            self._forms[-1] = form
        else:
            self.seqs.append(seq)
            self._forms.append(form)


def _printed(step: Step) -> str | None:
    """The last block of a command's output, if it is plain text and so can grow."""
    block: Any = step.content[-1] if step.content else None
    if not isinstance(block, Mapping) or set(block) != {"type", "content"} or block["type"] != "content":
        return None
    content = block["content"]
    plain = isinstance(content, Mapping) and set(content) == {"type", "text"} and content["type"] == "text"
    return content["text"] if plain and isinstance(content["text"], str) else None
