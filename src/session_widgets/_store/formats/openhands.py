"""OpenHands: the events of a conversation of its SDK, as lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from session_widgets._store.formats.contract import (
    Entry,
    Format,
    Head,
    ModelCall,
    Prompt,
    Record,
    Said,
    SessionFacts,
    Source,
    ToolResult,
    TurnEnd,
    count_of,
    text_block,
    time_of,
)
from session_widgets._store.formats.openai_messages import call_of, text_of
from session_widgets.transcript.envelopes import as_number, as_object, as_text
from session_widgets.transcript.records import Json, StepFailure

_KINDS = ("ActionEvent", "ObservationEvent", "MessageEvent", "SystemPromptEvent", "ConversationStateUpdateEvent")
_COUNTS = ("prompt_tokens", "cache_read_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens")


class OpenHands(Format):
    """OpenHands' event lines."""

    name = "openhands"

    def sniff(self, head: Head) -> bool:
        """Whether a line is an event of a known kind."""
        return any(as_text(value.get("kind")) in _KINDS and "source" in value for value in head.objects[:5])

    def kind(self, value: Any) -> str | None:
        """Return the kind of event."""
        return as_text(as_object(value).get("kind"))

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn events into entries; the conversation's id is the name of its directory."""
        plain = source.stem in {"events", "conversation"} and source.folders
        native = source.folders[-1] if plain else source.stem
        reader = _Reader(native)
        begun = False
        for record in records:
            value = as_object(record.value)
            place: dict[str, Any] = {"line": record.line, "at": time_of(value.get("timestamp"))}
            if not begun:
                begun = True
                yield SessionFacts(**place, native_id=native, harness="openhands")
            yield from reader.event({**place, "uid": as_text(value.get("id"))}, value)


class _Reader:
    def __init__(self, native: str) -> None:
        self._native = native
        self._totals: dict[str, tuple[tuple[int, ...], Decimal]] = {}
        self._chain = hashlib.sha256()

    def event(self, where: dict[str, Any], value: Json) -> Iterator[Entry]:
        kind = as_text(value.get("kind"))
        if kind == "MessageEvent":
            text = text_of(as_object(value.get("llm_message")).get("content"))
            if value.get("source") == "user":
                yield Prompt(**where, blocks=[{"type": "text", "text": text}])
            elif text.strip():
                yield Said(**where, kind="message", text=text, call_id=as_text(value.get("llm_response_id")))
        elif kind == "ActionEvent":
            yield from self._action(where, value)
        elif kind in {"ObservationEvent", "AgentErrorEvent", "UserRejectObservation"}:
            yield from self._result(where, value, str(kind))
        elif kind == "SystemPromptEvent":
            yield Said(**where, kind="notice", text=text_of([as_object(value.get("system_prompt"))]))
        elif kind == "Condensation":
            yield Said(**where, kind="compaction", text=as_text(value.get("summary")) or "")
        elif kind == "ConversationErrorEvent":
            yield Said(**where, kind="error", text=as_text(value.get("detail")) or "error")
        elif kind == "ConversationStateUpdateEvent" and value.get("key") == "stats":
            yield from self._usage(where, as_object(as_object(value.get("value")).get("usage_to_metrics")))
        elif kind == "ConversationStateUpdateEvent" and value.get("value") == "finished":
            yield TurnEnd(line=where["line"], at=where["at"], stop_reason="end_turn")

    def _action(self, where: dict[str, Any], value: Json) -> Iterator[Entry]:
        call_id = as_text(value.get("llm_response_id"))
        if thought := as_text(value.get("reasoning_content")):
            yield Said(**where, kind="thought", text=thought, call_id=call_id)
        if text := text_of(value.get("thought")):
            yield Said(**where, kind="message", text=text, call_id=call_id)
        action, name = as_object(value.get("action")), as_text(value.get("tool_name")) or "unknown"
        if name == "finish":
            if last := as_text(action.get("message")):
                yield Said(**where, kind="message", text=last, call_id=call_id)
            yield TurnEnd(line=where["line"], at=where["at"], stop_reason="end_turn")
            return
        given = {key: each for key, each in action.items() if key != "kind"}
        yield call_of(where, as_text(value.get("tool_call_id")) or str(where["uid"]), name, given, call_id)

    def _result(self, where: dict[str, Any], value: Json, kind: str) -> Iterator[Entry]:
        said = as_object(value.get("observation"))
        text = (
            text_of(said.get("content")) or as_text(value.get("error")) or as_text(value.get("rejection_reason")) or ""
        )
        code: Any = said.get("exit_code")
        code = as_object(said.get("metadata")).get("exit_code") if code is None else code
        code = code if isinstance(code, int) and not isinstance(code, bool) and -1000 < code < 1000 else None
        failed = said.get("is_error") is True or kind == "AgentErrorEvent" or bool(code and code > 0)
        failure: StepFailure | None = "rejected" if kind == "UserRejectObservation" else "error" if failed else None
        yield ToolResult(
            **where,
            tool_call_id=as_text(value.get("tool_call_id")) or "",
            content=[text_block(text)] if text else [],
            failure=failure,
            exit_code=None if code == -1 else code,
        )

    def _usage(self, where: dict[str, Any], usages: Json) -> Iterator[Entry]:
        """Yield the growth of the running totals of each use of a model."""
        for use, metrics in usages.items():
            said = as_object(metrics)
            usage, spent = as_object(said.get("accumulated_token_usage")), as_number(said.get("accumulated_cost"))
            total = tuple(count_of(usage.get(name)) or 0 for name in _COUNTS)
            cost = Decimal(str(spent)) if spent is not None and 0 <= spent < 1e8 else Decimal(0)
            before, paid = self._totals.get(use, ((0,) * len(_COUNTS), Decimal(0)))
            if total == before:
                continue
            if any(new < old for new, old in zip(total, before, strict=True)):
                before, paid = (0,) * len(_COUNTS), Decimal(0)
            self._totals[use] = (total, cost)
            self._chain.update(f"{use}/{total}".encode("utf-8", "replace"))
            prompt, read, written, output, reasoning = (new - old for new, old in zip(total, before, strict=True))
            yield ModelCall(
                **where,
                call_id=f"openhands/{self._native}/{self._chain.hexdigest()[:24]}",
                model=as_text(usage.get("model")) or as_text(said.get("model_name")),
                agent=None if use in {"default", "agent"} else use,
                uncached=max(prompt - read - written, 0),
                read=read,
                written=written,
                output=output,
                reasoning=reasoning,
                cost=cost - paid if cost > paid else None,
                currency="USD" if cost > paid else None,
            )
