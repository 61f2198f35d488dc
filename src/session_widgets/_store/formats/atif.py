"""ATIF, Harbor's Agent Trajectory Interchange Format, versions 1.0 to 1.8: one document a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, ClassVar

from session_widgets._store.formats.contract import (
    Entry,
    Format,
    Head,
    Layout,
    ModelCall,
    Prompt,
    Record,
    Said,
    SessionFacts,
    Source,
    ToolResult,
    WholeSession,
    count_of,
    text_block,
    time_of,
)
from session_widgets._store.formats.openai_messages import call_of, text_of
from session_widgets._store.formats.writers import atif as writer
from session_widgets.transcript.envelopes import as_number, as_object, as_objects, as_text
from session_widgets.transcript.records import Json


class Atif(Format):
    """A trajectory in ATIF."""

    name = "atif"
    layout: ClassVar[Layout] = "document"
    writes: ClassVar[bool] = True

    def sniff(self, head: Head) -> bool:
        """Whether it names its schema."""
        return b'"ATIF-v' in head.start and isinstance(as_object(head.document).get("steps"), list)

    def kind(self, value: Any) -> str | None:
        """Return the version of the schema."""
        return as_text(as_object(value).get("schema_version"))

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn the document into entries, with the trajectories of subagents in it."""
        for record in records:
            said = as_object(record.value)
            native = as_text(said.get("session_id")) or as_text(said.get("trajectory_id")) or source.stem
            todo: list[tuple[Json, str, str | None]] = [(said, native, None)]
            while todo:
                trajectory, name, parent = todo.pop(0)
                yield from _trajectory(record.line, trajectory, name, parent)
                for number, sub in enumerate(as_objects(trajectory.get("subagent_trajectories"))):
                    todo.append((sub, f"{name}/{as_text(sub.get('trajectory_id')) or number}", name))

    def write(self, session: WholeSession) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        return writer.write(session)


def _trajectory(line: int, said: Json, native: str, parent: str | None) -> Iterator[Entry]:
    agent = as_object(said.get("agent"))
    model = as_text(agent.get("model_name"))
    relation: dict[str, Any] = {"parent": parent, "relation": "subagent", "agent_id": native} if parent else {}
    yield SessionFacts(
        line=line,
        native_id=native,
        harness=as_text(agent.get("name")),
        harness_version=as_text(agent.get("version")),
        model=model,
        **relation,
    )
    counted = False
    for number, step in enumerate(as_objects(said.get("steps")), 1):
        uid = f"{native}/{step.get('step_id') if isinstance(step.get('step_id'), int) else number}"
        where: dict[str, Any] = {"line": line, "at": time_of(step.get("timestamp")), "uid": uid}
        text = text_of(step.get("message"))
        if step.get("source") == "user":
            yield Prompt(**where, blocks=[{"type": "text", "text": text}])
        elif step.get("source") == "system":
            yield Said(**where, kind="notice", text=text)
        else:
            metrics = as_object(step.get("metrics"))
            if metrics:
                counted = True
                yield _call(where, uid, metrics, as_text(step.get("model_name")) or model)
            yield from _agent(where, uid, step, text)
    final = as_object(said.get("final_metrics"))
    if final and not counted:
        names = {"prompt_tokens": "total_prompt_tokens", "completion_tokens": "total_completion_tokens"}
        names |= {"cached_tokens": "total_cached_tokens", "cost_usd": "total_cost_usd"}
        sums = {name: final.get(theirs) for name, theirs in names.items()}
        yield _call({"line": line}, f"{native}/final", sums, model, session=True)


def _agent(where: dict[str, Any], uid: str, step: Json, text: str) -> Iterator[Entry]:
    if thought := as_text(step.get("reasoning_content")):
        yield Said(**where, kind="thought", text=thought, call_id=uid)
    if text.strip():
        yield Said(**where, kind="message", text=text, call_id=uid)
    known = []
    for number, call in enumerate(as_objects(step.get("tool_calls"))):
        known.append(as_text(call.get("tool_call_id")) or f"{uid}/{number}")
        name = as_text(call.get("function_name")) or "unknown"
        yield call_of(where, known[-1], name, call.get("arguments"), uid)
    for number, result in enumerate(as_objects(as_object(step.get("observation")).get("results"))):
        content = text_of(result.get("content"))
        source = as_text(result.get("source_call_id")) or (known[number] if number < len(known) else None)
        if source in known:
            yield ToolResult(**where, tool_call_id=str(source), content=[text_block(content)] if content else [])
        elif content:
            yield Said(**where, kind="notice", text=content)


def _call(where: dict[str, Any], call_id: str, metrics: Json, model: str | None, *, session: bool = False) -> ModelCall:
    prompt, cached = count_of(metrics.get("prompt_tokens")), count_of(metrics.get("cached_tokens"))
    total = as_number(metrics.get("cost_usd"))
    cost = Decimal(str(total)) if total is not None and 0 < total < 1e8 else None
    return ModelCall(
        **where,
        call_id=f"atif/{call_id}",
        model=model,
        scope="session" if session else "call",
        remark="the file has only the sums of the run" if session else None,
        uncached=None if prompt is None else max(prompt - (cached or 0), 0),
        read=cached,
        output=count_of(metrics.get("completion_tokens")),
        cost=cost,
        currency=None if cost is None else "USD",
    )
