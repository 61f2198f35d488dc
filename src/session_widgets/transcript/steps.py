"""The steps of one turn under construction, by speaker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from session_widgets.transcript.envelopes import as_object, as_text
from session_widgets.transcript.records import Event, Json, Step, StepKind
from session_widgets.transcript.usage import Tally

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "unfinished"})


@dataclass(frozen=True, slots=True)
class Change:
    """A step that an event created or changed; `append` is the added text if nothing else changed."""

    turn: int
    index: int
    append: str | None = None


class GrowingStep:
    """A step under construction; its text is kept in pieces and joined when it is read."""

    __slots__ = ("_frozen", "_latest", "_new", "_parts", "_printed", "_screen", "kind", "message_id")

    def __init__(self, step: Step, message_id: str | None = None) -> None:
        self._frozen = step
        self._latest: Event | None = None
        self._parts: list[str] = []
        self._printed: list[str] = []
        self._screen: Json | None = None
        self._new: dict[str, Any] = {}
        self.kind = step.kind
        self.message_id = message_id

    def __getattr__(self, name: str) -> Any:
        return self._new[name] if name in self._new else getattr(self._frozen, name)

    def set(self, event: Event | None, **fields: Any) -> None:
        """Replace fields; `event` is the cause, None if the step itself did not change."""
        self._new.update(fields)
        self._latest = event or self._latest

    def grow(self, event: Event, text: str) -> None:
        """Add text at the end."""
        self._parts.append(text)
        self._latest = event

    def replace_text(self, event: Event, text: str) -> None:
        """Replace the whole text."""
        self._parts = []
        self.set(event, text=text)

    def print(self, event: Event, text: str) -> None:
        """Add to a command's output, which arrives in pieces; it follows the agent's own content."""
        self._printed.append(text)
        self._latest = event

    def snapshot(self) -> Step:
        """Return the current step."""
        if self._parts:
            self._new["text"] = (self._frozen.text or "") + "".join(self._parts)
            self._parts = []
        if self._printed or (self._screen and "content" in self._new):
            content = self._new.get("content", self._frozen.content[: -1 if self._screen else None])
            before = self._screen["content"]["text"] if self._screen else ""
            text = {"type": "text", "text": before + "".join(self._printed)}
            self._screen, self._printed = {"type": "content", "content": text}, []
            self._new["content"] = (*content, self._screen)
        if self._latest is not None:
            self._new |= {"last_seq": self._latest.seq, "ended_at": self._latest.ts}
            self._latest = None
        if self._new:
            self._frozen = replace(self._frozen, **self._new)
            self._new = {}
        return self._frozen


@dataclass(slots=True)
class Speaker:
    """The agent of a turn, or one of its subagents, with the state of its next update.

    Attributes:
        parent: index of a subagent's step, the parent of its own steps; None for the agent.
        last: its latest step.
        interrupted: whether the next piece of text begins a new step.
        named: its tool calls, plans and compactions, by kind and id.
        tally: its usage.
    """

    parent: int | None = None
    last: int | None = None
    interrupted: bool = False
    named: dict[tuple[str, str], int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)


class Steps:
    """The steps of one turn.

    Attributes:
        list: all of them, those of subagents included.
        kinds: of the steps of the agent itself.
        changes: steps that the current event created or changed.
        agent: the agent of the turn.
        revision: grows with each new kind of step.
    """

    def __init__(self, session_id: str, turn: int) -> None:
        self.list: list[GrowingStep] = []
        self.kinds: set[StepKind] = set()
        self.changes: dict[int, Change] = {}
        self.agent = Speaker()
        self.revision = 0
        self._session_id = session_id
        self._turn = turn

    def add(
        self,
        event: Event,
        kind: StepKind,
        speaker: Speaker | None = None,
        *,
        message_id: str | None = None,
        **fields: Any,
    ) -> int:
        """Begin a step; this ends a growing text of the same speaker."""
        speaker = speaker or self.agent
        if speaker.parent is None and kind not in self.kinds:
            self.kinds.add(kind)
            self.revision += 1
        last = None if speaker.last is None else self.list[speaker.last]
        if last is not None and last.status == "running" and last.kind != "tool_call":
            last.set(None, status="completed")
            self.changed(speaker.last)
        index = speaker.last = len(self.list)
        step = Step(
            session_id=self._session_id,
            turn=self._turn,
            index=index,
            kind=kind,
            first_seq=event.seq,
            last_seq=event.seq,
            started_at=event.ts,
            ended_at=event.ts,
            parent=speaker.parent,
            **fields,
        )
        self.list.append(GrowingStep(step, message_id))
        self.changed(index)
        return index

    def say(self, event: Event, kind: StepKind, text: str, content: Sequence[Json] = (), **fields: Any) -> int:
        """Add a complete text step."""
        return self.add(event, kind, status="completed", text=text, content=content, **fields)

    def changed(self, index: int | None, append: str | None = None) -> None:
        """Record a changed step; `append` is the added text if nothing else changed."""
        if index is not None:
            self.changes[index] = Change(self._turn, index, append)


def without_text(blocks: Iterable[Json]) -> tuple[Json, ...]:
    """Return the content blocks except texts."""
    return tuple(block for block in blocks if block.get("type") != "text")


_COMPACTIONS = {
    "in_progress": "Compacting the context",
    "completed": "Context compacted",
    "failed": "The context could not be compacted",
}
_SUBAGENTS = {"in_progress": "works", "completed": "done"}


def headline(step: Step) -> str:
    """Return what a person reads of a compaction or a subagent at first sight, in the agent's words, not made safe."""
    said = as_object(step.raw_output)
    error = as_text(said.get("error"))
    if step.kind == "compaction":
        words = _COMPACTIONS.get(step.status, "The compaction of the context was stopped")
        return f"{words}: {error}" if error else words
    parts = [step.title or "Subagent", _SUBAGENTS.get(step.status, step.status)]
    tokens = as_object(said.get("usage")).get("total_tokens")
    parts += [error] if error else []
    parts += [f"{tokens:,} tokens"] if isinstance(tokens, int) else []
    return " · ".join(parts)
