"""What several writers need: the model calls of a turn, and the texts of a tool call."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from session_widgets._store.formats.contract import WholeSession
from session_widgets.transcript.envelopes import as_object, as_text, block_text
from session_widgets.transcript.records import Step
from session_widgets.transcript.tool_input import script_of

SAID = frozenset({"message", "thought"})
_OURS = uuid.UUID("8c7bb1a4-9f3c-5a55-9a0e-5c0c5f0d9e11")


@dataclass(slots=True)
class Answer:
    """Steps of one model call; `call` is its row in `v_llm_calls`, for the first answer that has it."""

    steps: list[Step] = field(default_factory=list)
    call_id: str | None = None
    call: Mapping[str, Any] | None = None

    @property
    def tools(self) -> list[Step]:
        """The tool calls."""
        return [step for step in self.steps if step.kind == "tool_call"]

    def text(self, kind: str) -> str:
        """Return the texts of a kind of step."""
        return "\n\n".join(step.text or "" for step in self.steps if step.kind == kind)


def parts(session: WholeSession, steps: Sequence[Step]) -> Iterator[Step | Answer]:
    """Yield answers of the model, and between them the steps that are none, in order.

    Steps belong together if they name the same model call. Where the call is not known, as in live sessions, a text
    after a tool call begins another answer.
    """
    answer: Answer | None = None
    given: set[str] = set()
    for step in steps:
        if step.kind not in SAID and step.kind != "tool_call":
            if answer is not None:
                yield answer
            answer = None
            yield step
            continue
        named = session.call_ids.get((step.turn, step.index))
        call = session.calls.get(named or "")
        if call is None or call["usage_scope"] != "call":
            named = call = None
        if answer is not None and (
            answer.call_id != named or (named is None and step.kind in SAID and bool(answer.tools))
        ):
            yield answer
            answer = None
        if answer is None:
            answer = Answer(call_id=named, call=call if named not in given else None)
            given.add(named or "")
        answer.steps.append(step)
    if answer is not None:
        yield answer


def arguments_of(step: Step) -> dict[str, Any]:
    """Return the arguments of a tool call as an object."""
    given = step.raw_input
    return dict(given) if isinstance(given, dict) else {} if given is None else {"input": given}


def name_of(step: Step) -> str:
    """Return the name of a tool call's tool; its kind, where the agent does not name it."""
    return step.tool_name or step.tool_kind or "other"


def result_of(step: Step) -> str:
    """Return the result of a tool call as text."""
    said: list[str] = []
    for block in step.content:
        if block.get("type") == "diff":
            said.append(f"The file {as_text(block.get('path')) or ''} has been changed.")
        elif block.get("type") == "content":
            said.append(block_text(as_object(block.get("content"))))
    if not said and step.raw_output is not None:
        told = as_object(step.raw_output)
        texts = (as_text(told.get(name)) for name in ("output", "stdout", "content", "text", "error"))
        said.append(as_text(step.raw_output) or next((text for text in texts if text), ""))
    text = "\n".join(said)
    if step.status in {"unfinished", "cancelled", "pending", "in_progress"} and not text:
        return "The call did not end."
    return text


def has_failed(step: Step) -> bool:
    """Whether a tool call did not succeed."""
    return step.failure is not None or step.status in {"failed", "cancelled", "unfinished"}


def command_of(step: Step) -> str | None:
    """Return the command of a tool call."""
    return script_of(step.raw_input)


def id_of(*names: object) -> str:
    """Return a UUID that is the same for the same names."""
    return str(uuid.uuid5(_OURS, "/".join(map(str, names))))


def native_id(session: WholeSession) -> str:
    """Return the harness's own id of the session if it is a UUID, else one derived from its id."""
    own = session.session.agent_session_id or ""
    try:
        return str(uuid.UUID(own))
    except ValueError:
        return id_of(session.session.id)


def iso(at: datetime | None) -> str:
    """Return a time as these programs write it: UTC with milliseconds."""
    at = at or datetime(1970, 1, 1)  # noqa: DTZ001 - a file without times
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def total_input(call: Mapping[str, Any]) -> int | None:
    """Return all input tokens of a call, cached or not; None if they are unknown."""
    known = [call["input_tokens"], call["cache_read_tokens"], call["cache_write_tokens"]]
    if call["input_uncached_tokens"] is None or all(value is None for value in known):
        return None
    return sum(value or 0 for value in known)
