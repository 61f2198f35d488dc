"""Inspect AI's logs: `.eval`, a zip archive, and `.json`; each sample and epoch is a session."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import orjson

from session_widgets._store.formats.contract import (
    Entry,
    Format,
    Head,
    Layout,
    ModelCall,
    Problem,
    Prompt,
    Record,
    Said,
    SessionFacts,
    Source,
    ToolResult,
    TurnEnd,
    WholeSession,
    count_of,
    text_block,
    time_of,
)
from session_widgets._store.formats.openai_messages import call_of, entries_of, text_of
from session_widgets._store.formats.writers import inspect_eval as writer
from session_widgets.transcript.envelopes import as_number, as_object, as_objects, as_text
from session_widgets.transcript.records import Json, StepFailure

LARGEST = 1024 * 2**20
"""Bytes of an unpacked archive; a larger one is not read."""
_HEADERS = ("header.json", "_journal/start.json")
_ATTACHMENT = re.compile(r"attachment://([0-9a-f]{32})")
_STOPS = {"stop": "end_turn", "max_tokens": "max_tokens", "model_length": "max_tokens", "content_filter": "refusal"}


class InspectEval(Format):
    """An `.eval` archive."""

    name = "inspect-eval"
    layout: ClassVar[Layout] = "archive"
    writes: ClassVar[bool] = True

    def sniff(self, head: Head) -> bool:
        """Whether the archive has a header and samples."""
        return any(name in _HEADERS for name in head.names)

    def kind(self, value: Any) -> str | None:
        """Return "archive"."""
        return "archive"

    def records(self, data: bytes) -> Iterator[Any]:
        """Yield the header, then each sample."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                size = sum(member.file_size for member in archive.infolist())
                if size > LARGEST:
                    raise ValueError(f"unpacked it has {size // 2**20:,} MB; {LARGEST // 2**20:,} MB are read at most")
                names = archive.namelist()
                for name in next(([name] for name in _HEADERS if name in names), []):
                    yield {"header": orjson.loads(archive.read(name))}
                for name in names:
                    if name.startswith("samples/") and name.endswith(".json"):
                        yield {"sample": orjson.loads(archive.read(name))}
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
            raise ValueError(f"the archive is damaged or in a form that cannot be read: {error}") from None

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn header and samples into entries."""
        log: Json = {}
        for record in records:
            said = as_object(record.value)
            log = as_object(said.get("header")) or log
            if sample := as_object(said.get("sample")):
                yield from _sample(record.line, log, sample, source)

    def write(self, session: WholeSession) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        return writer.write(session)


class InspectJson(Format):
    """A `.json` log."""

    name = "inspect-json"
    layout: ClassVar[Layout] = "document"

    def sniff(self, head: Head) -> bool:
        """Whether it is a log with samples."""
        if b'"eval"' not in head.start:
            return False
        said = as_object(head.document)
        return "task" in as_object(said.get("eval")) and isinstance(said.get("samples"), list)

    def kind(self, value: Any) -> str | None:
        """Return "log"."""
        return "log"

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn the log into entries."""
        for record in records:
            for sample in as_objects(as_object(record.value).get("samples")):
                yield from _sample(record.line, as_object(record.value), sample, source)


def _sample(line: int, log: Json, sample: Json, source: Source) -> Iterator[Entry]:
    about = as_object(log.get("eval"))
    name = f"{sample.get('id')}/{sample.get('epoch')}"
    native = as_text(sample.get("uuid")) or f"{as_text(about.get('eval_id')) or source.stem}/{name}"
    packages = as_object(about.get("packages"))
    yield SessionFacts(
        line=line,
        native_id=native,
        harness="inspect",
        harness_version=as_text(packages.get("inspect_ai")),
        title=f"{as_text(about.get('task')) or 'sample'} {name}",
        model=as_text(about.get("model")),
    )
    attached = as_object(sample.get("attachments"))
    events = as_objects(sample.get("events"))
    if any(event.get("event") == "model" for event in events):
        yield from _events(line, native, sample, events, attached)
    else:
        yield from entries_of(line, [_filled(message, attached) for message in as_objects(sample.get("messages"))])
        for model, usage in as_object(sample.get("model_usage")).items():
            yield _usage({"line": line}, f"{native}/{model}", as_object(usage), model, session=True)
    for scorer, score in as_object(sample.get("scores")).items():
        value = as_object(score).get("value")
        yield Said(line=line, kind="notice", text=f"Score {scorer}: {value}")
    error = as_text(as_object(sample.get("error")).get("message"))
    if error:
        yield Said(line=line, kind="error", text=error)
        yield TurnEnd(line=line, status="failed", error=error)


def _events(line: int, native: str, sample: Json, events: tuple[Json, ...], attached: Json) -> Iterator[Entry]:
    scoring: set[str] = set()
    given = sample.get("input")
    texts = [given] if isinstance(given, str) else [
        text_of(message.get("content")) for message in as_objects(given) if message.get("role") == "user"
    ]  # fmt: skip
    first = time_of(events[0].get("timestamp"))
    said = "\n\n".join(str(_filled(text, attached)) for text in texts)
    yield Prompt(line=line, at=first, uid=f"{native}/input", blocks=[{"type": "text", "text": said}])
    heard = _Heard(as_objects(as_object(sample.get("events_data")).get("messages")))
    for number, event in enumerate(events):
        kind, span = as_text(event.get("event")), as_text(event.get("span_id")) or ""
        where: dict[str, Any] = {
            "line": line,
            "at": time_of(event.get("completed")) or time_of(event.get("timestamp")),
            "uid": as_text(event.get("uuid")) or f"{native}/{number}",
        }
        if kind == "span_begin" and (event.get("type") in ("scorers", "scorer") or event.get("parent_id") in scoring):
            scoring.add(as_text(event.get("id")) or "")
        elif kind == "model":
            if span not in scoring:
                for text in heard.prompts(event):
                    yield Prompt(
                        **{**where, "uid": None}, blocks=[{"type": "text", "text": str(_filled(text, attached))}]
                    )
            output = as_object(event.get("output"))
            if not (output.get("choices") or output.get("usage") or event.get("error")):
                continue  # a call without an answer
            yield from _model(where, event, attached, scorer=span in scoring)
        elif kind == "tool":
            tool_call_id = as_text(event.get("id")) or str(where["uid"])
            failed = as_object(event.get("error"))
            result = text_of(event.get("result")) or as_text(failed.get("message")) or ""
            content = str(_filled(result, attached))
            failure: StepFailure | None = "error" if failed else None
            yield ToolResult(**where, tool_call_id=tool_call_id, content=[text_block(content)], failure=failure)
        elif kind == "error":
            yield Said(**where, kind="error", text=as_text(as_object(event.get("error")).get("message")) or "error")
        elif kind == "info":
            yield Said(**where, kind="notice", text=str(event.get("data")))
        elif kind == "sample_limit":
            yield Said(**where, kind="notice", text=as_text(event.get("message")) or "limit")
        elif kind == "branch":
            yield Problem(
                line=line, code="branch", detail="a branch of the sample is read as part of it", severity="info"
            )


class _Heard:
    """The user's messages in the inputs of the model, which have no events: those after the input of the sample.

    Args:
        pool: of the sample, to which inputs refer.
    """

    def __init__(self, pool: Sequence[Json]) -> None:
        self._pool = pool
        self._known = 0
        self._seen: set[str] | None = None

    def prompts(self, event: Json) -> list[str]:
        """Return the texts of new ones in the input of a model's event."""
        first = self._seen is None
        self._seen = seen = self._seen or set()
        new = []
        for message in (*as_objects(event.get("input")), *self._referred(event)):
            if message.get("role") == "user":
                text = text_of(message.get("content"))
                name = as_text(message.get("id")) or text
                if name not in seen and not first:
                    new.append(text)
                seen.add(name)
        return new

    def _referred(self, event: Json) -> Iterator[Json]:
        """Yield the messages of the pool that no event before has referred to."""
        refs = event.get("input_refs")
        for pair in refs if isinstance(refs, list) else ():
            start, end = (count_of(each) or 0 for each in pair) if isinstance(pair, list) and len(pair) == 2 else (0, 0)
            yield from self._pool[max(start, self._known) : end]
            self._known = max(self._known, end)


def _model(where: dict[str, Any], event: Json, attached: Json, *, scorer: bool) -> Iterator[Entry]:
    output = as_object(event.get("output"))
    choice = next(iter(as_objects(output.get("choices"))), {})
    message, model = as_object(choice.get("message")), as_text(output.get("model")) or as_text(event.get("model"))
    call_id = as_text(message.get("id")) or str(where["uid"])
    stop = as_text(choice.get("stop_reason"))
    yield _usage(
        {**where, "agent": "scorer" if scorer else None},
        call_id,
        as_object(output.get("usage")),
        model,
        requested=as_text(event.get("model")),
        stop=stop,
        seconds=as_number(output.get("time")),
    )
    if scorer:
        return
    content = message.get("content")
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else as_objects(content):
        if part.get("type") == "reasoning" and (thought := as_text(part.get("reasoning"))):
            yield Said(**where, kind="thought", text=str(_filled(thought, attached)), call_id=call_id)
        elif (text := as_text(part.get("text"))) and text.strip():
            yield Said(**where, kind="message", text=str(_filled(text, attached)), call_id=call_id)
    for call in as_objects(message.get("tool_calls")):
        given = _filled(call.get("arguments"), attached)
        name = as_text(call.get("function")) or "unknown"
        yield call_of(where, as_text(call.get("id")) or f"{call_id}/{name}", name, given, call_id)
    if stop in _STOPS:
        yield TurnEnd(line=where["line"], at=where["at"], stop_reason=_STOPS[stop])


def _usage(
    where: Mapping[str, Any],
    call_id: str,
    usage: Json,
    model: str | None,
    *,
    requested: str | None = None,
    stop: str | None = None,
    seconds: float | None = None,
    session: bool = False,
) -> ModelCall:
    names = ("input_tokens", "input_tokens_cache_read", "input_tokens_cache_write", "output_tokens", "reasoning_tokens")
    given, read, written, output, reasoning = (count_of(usage.get(name)) for name in names)
    total = count_of(usage.get("total_tokens"))
    cached = (read or 0) + (written or 0)
    if given is not None and cached and total == given + (output or 0):  # some providers count cached input twice
        given = max(given - cached, 0)
    return ModelCall(
        **where,
        call_id=call_id,
        provider=(requested or model or "").partition("/")[0] or None,
        model=model,
        model_requested=requested,
        scope="session" if session else "call",
        quality="final" if usage else "none",
        uncached=given,
        read=read,
        written=written,
        output=output,
        reasoning=reasoning,
        stop_reason=stop,
        duration_s=seconds,
    )


def _filled(value: Any, attached: Json) -> Any:
    """Return a value with attachments in the places of their references."""
    if isinstance(value, str):
        return _ATTACHMENT.sub(lambda found: as_text(attached.get(found[1])) or found[0], value) if attached else value
    if isinstance(value, dict):
        return {key: _filled(each, attached) for key, each in value.items()}
    return [_filled(each, attached) for each in value] if isinstance(value, list) else value
