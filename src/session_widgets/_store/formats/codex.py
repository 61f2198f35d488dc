"""Codex's rollouts: `~/.codex/sessions/YYYY/MM/DD/rollout-*.jsonl`.

`token_count` events have running totals, are sent again without a new call, and are copied with the history by a fork
or a subagent. A call is the growth of the totals; its id is derived from the root session and all totals so far, so
that a copied call has the id of the original.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import orjson

from session_widgets._store.formats.contract import (
    Abandoned,
    Change,
    Changed,
    Entry,
    Format,
    Head,
    ModelCall,
    Prompt,
    Record,
    Said,
    SessionFacts,
    Source,
    ToolCall,
    ToolResult,
    TurnEnd,
    WholeSession,
    count_of,
    text_block,
    time_of,
)
from session_widgets._store.formats.writers import codex as writer
from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Json, StepFailure

_ITEMS = frozenset({"session_meta", "response_item", "event_msg", "turn_context", "compacted"})
_KINDS = {
    **dict.fromkeys(
        ("shell", "exec_command", "shell_command", "local_shell", "container.exec", "write_stdin", "unified_exec"),
        "execute",
    ),
    **dict.fromkeys(("apply_patch",), "edit"),
    **dict.fromkeys(("view_image", "read_file"), "read"),
    **dict.fromkeys(("grep_files", "list_dir"), "search"),
    **dict.fromkeys(("web_search",), "fetch"),
    **dict.fromkeys(("update_plan", "spawn_agent", "wait", "close_agent", "send_input"), "think"),
}
_CONTEXT = (
    "<environment_context>", "<user_instructions>", "<permissions instructions>", "# AGENTS.md instructions",
    "<turn_aborted>", "<skills_instructions>", "<subagent_notification>",
)  # fmt: skip
"""Beginnings of what Codex itself sends as the user."""
_EXIT_CODE = re.compile(r"(?:Process exited with code|Exit code:) (-?\d{1,5})\b")
_PATCHED = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+)$", re.MULTILINE)
_CHANGES: dict[str, Change] = {"Add": "created", "Update": "modified", "Delete": "deleted"}
_TOTALS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")


class Codex(Format):
    """Codex's rollout lines."""

    name = "codex"
    writes: ClassVar[bool] = True

    def sniff(self, head: Head) -> bool:
        """Whether the first records are those of a rollout."""
        return any(
            as_text(value.get("type")) in _ITEMS and isinstance(value.get("payload"), dict)
            for value in head.objects[:5]
        ) or any("record_type" in value and "id" in value for value in head.objects[:1])

    def kind(self, value: Any) -> str | None:
        """Return `type`, with the type of the payload."""
        said = as_object(value)
        kind, more = as_text(said.get("type")), as_text(as_object(said.get("payload")).get("type"))
        return f"{kind}/{more}" if kind and more else kind

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn records into entries."""
        return _Reader(source).read(records)

    def write(self, session: WholeSession) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        return writer.write(session)


class _Reader:
    def __init__(self, source: Source) -> None:
        self._native = source.stem
        self._root = ""
        self._begun = False
        self._provider: str | None = None
        self._model: str | None = None
        self._totals: tuple[int, ...] | None = None
        self._chain = hashlib.sha256()
        self._waiting: Prompt | None = None
        self._prompted: str | None = None
        self._patches: dict[str, list[tuple[Change, str]]] = {}
        self._uids: list[list[str]] = []
        self._left: set[str] = set()
        self._ttft: float | None = None

    def read(self, records: Iterable[Record]) -> Iterator[Entry]:
        last = 0
        for record in records:
            last = record.line
            value = as_object(record.value)
            kind, payload = as_text(value.get("type")), as_object(value.get("payload"))
            place: dict[str, Any] = {"line": record.line, "at": time_of(value.get("timestamp"))}
            if kind == "session_meta":
                yield from self._meta(place, payload)
                continue
            if not self._begun:
                self._begun, self._root = True, self._native
                yield SessionFacts(**place, native_id=self._native, harness="codex")
            if kind == "turn_context":
                self._model = as_text(payload.get("model")) or self._model
                yield SessionFacts(**place, native_id=self._native, model=self._model, cwd=as_text(payload.get("cwd")))
            elif kind == "compacted":
                yield from self._flush()
                yield Said(**self._at(place), kind="compaction", text=as_text(payload.get("message")) or "")
            elif kind == "event_msg":
                yield from self._event(place, payload)
            elif kind == "response_item":
                yield from self._item(place, payload)
        yield from self._flush()
        if self._left:
            yield Abandoned(line=last, uids=frozenset(self._left))

    def _meta(self, place: dict[str, Any], payload: Json) -> Iterator[Entry]:
        session = as_text(payload.get("id")) or self._native
        if self._begun:  # of the session whose history was copied: the oldest comes last
            self._root = session
            return
        self._begun, self._native = True, session
        self._provider = as_text(payload.get("model_provider"))
        spawned = as_object(as_object(as_object(payload.get("source")).get("subagent")).get("thread_spawn"))
        forked, parent = as_text(payload.get("forked_from_id")), as_text(spawned.get("parent_thread_id"))
        self._root = forked or parent or session
        git = as_object(payload.get("git"))
        relation: dict[str, Any] = {}
        if parent:
            relation = {"parent": parent, "relation": "subagent", "agent_id": session}
        elif forked:
            relation = {"parent": forked, "relation": "fork"}
        yield SessionFacts(
            **place,
            native_id=session,
            harness="codex",
            harness_version=as_text(payload.get("cli_version")),
            cwd=as_text(payload.get("cwd")),
            git_branch=as_text(git.get("branch")),
            **relation,
        )

    def _at(self, place: dict[str, Any]) -> dict[str, Any]:
        """Return the place of a step; Codex has no ids of records, so they are those of its lines."""
        uid = f"{self._native}/{place['line']}"
        if self._uids:
            self._uids[-1].append(uid)
        return {**place, "uid": uid}

    def _flush(self) -> Iterator[Entry]:
        """Yield a prompt that no event repeated."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            yield waiting

    def _prompt(self, place: dict[str, Any], text: str) -> Prompt:
        self._uids.append([])
        self._prompted = text
        return Prompt(**self._at(place), blocks=[{"type": "text", "text": text}])

    def _event(self, place: dict[str, Any], payload: Json) -> Iterator[Entry]:
        kind = as_text(payload.get("type"))
        if kind == "user_message":
            text = as_text(payload.get("message")) or ""
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                self._prompted = text
                yield replace(waiting, blocks=[{"type": "text", "text": text}])
            elif text != self._prompted:
                yield self._prompt(place, text)
        elif kind == "token_count":
            yield from self._usage(place, as_object(payload.get("info")))
        elif kind in {"task_complete", "turn_complete"}:
            yield from self._flush()
            self._prompted = None
            yield TurnEnd(**place, stop_reason="end_turn")
        elif kind == "turn_aborted":
            yield from self._flush()
            self._prompted = None
            yield TurnEnd(**place, status="cancelled", stop_reason="cancelled")
        elif kind in {"error", "stream_error"}:
            text = as_text(payload.get("message")) or "error"
            yield Said(**self._at(place), kind="error" if kind == "error" else "notice", text=text)
        elif kind == "thread_rolled_back":
            count = count_of(payload.get("num_turns")) or 0
            for _ in range(min(count, len(self._uids))):
                self._left.update(self._uids.pop())

    def _item(self, place: dict[str, Any], payload: Json) -> Iterator[Entry]:
        kind = as_text(payload.get("type"))
        if kind == "message" and as_text(payload.get("role")) != "assistant":
            text = _joined(payload.get("content"))
            if as_text(payload.get("role")) == "user" and text != self._prompted and not text.startswith(_CONTEXT):
                yield from self._flush()
                self._waiting = self._prompt(place, text)
            return
        yield from self._flush()
        if kind == "message":
            if text := _joined(payload.get("content")):
                yield Said(**self._at(place), kind="message", text=text)
        elif kind == "reasoning":
            text = _joined(payload.get("summary"), "\n\n") or _joined(payload.get("content"), "\n\n")
            if text:
                yield Said(**self._at(place), kind="thought", text=text)
        elif kind in {"function_call", "custom_tool_call", "local_shell_call", "web_search_call"}:
            yield from self._call(place, payload, str(kind))
        elif kind in {"function_call_output", "custom_tool_call_output"}:
            yield from self._result(place, payload)

    def _call(self, place: dict[str, Any], payload: Json, kind: str) -> Iterator[Entry]:
        name = as_text(payload.get("name")) or {"local_shell_call": "local_shell"}.get(kind, "web_search")
        given: Any = payload.get("arguments", payload.get("input", payload.get("action")))
        if isinstance(given, str):
            given = _decoded(given)
        call_id = as_text(payload.get("call_id")) or as_text(payload.get("id")) or f"{self._native}/{place['line']}"
        patch = _patch_of(name, given)
        files = [(_CHANGES[how], path.strip()) for how, path in _PATCHED.findall(patch or "")]
        if files:
            self._patches[call_id] = files
        plan = as_objects(as_object(given).get("plan")) if name == "update_plan" else ()
        command = _command(given)
        yield ToolCall(
            **self._at(place),
            tool_call_id=call_id,
            name=name,
            kind="edit" if patch else _KINDS.get(name, "other"),
            title=f"{name} {command or ', '.join(path for _, path in files)}".strip()[:200],
            raw_input=given,
            paths=[path for _, path in files],
            content=_diffs(patch) if patch else (),
        )
        if kind == "web_search_call":
            yield ToolResult(**place, tool_call_id=call_id)
        if plan:
            entries = [
                {
                    "content": as_text(entry.get("step")) or "",
                    "status": as_text(entry.get("status")) or "pending",
                    "priority": "medium",
                }
                for entry in plan
            ]
            yield Said(**self._at(place), kind="plan", entries=entries)

    def _result(self, place: dict[str, Any], payload: Json) -> Iterator[Entry]:
        call_id, output = as_text(payload.get("call_id")), payload.get("output")
        if call_id is None:
            return
        said = _decoded(output) if isinstance(output, str) and output.startswith("{") else output
        details = as_object(said)
        text = as_text(details.get("output")) or as_text(details.get("content")) or (
            output if isinstance(output, str) else _joined(output))  # fmt: skip
        code: Any = as_object(details.get("metadata")).get("exit_code")
        if code is None and (found := _EXIT_CODE.search(text[:400])):
            code = int(found[1])
        code = code if isinstance(code, int) and not isinstance(code, bool) else None
        failure: StepFailure | None = "error" if code or details.get("success") is False else None
        if text.startswith(("exec command rejected by user", "patch rejected by user", "rejected by user")):
            failure = "rejected"
        patched = self._patches.pop(call_id, [])
        yield ToolResult(
            **place,
            tool_call_id=call_id,
            content=[] if patched and failure is None else [text_block(text)],
            failure=failure,
            exit_code=code,
        )
        for change, path in patched if failure is None else ():
            yield Changed(**place, path=path, change=change)

    def _usage(self, place: dict[str, Any], info: Json) -> Iterator[Entry]:
        totals = _counts(info.get("total_token_usage"))
        latest = _counts(info.get("last_token_usage"))
        if totals is None or totals == self._totals:
            return
        before, self._totals = self._totals, totals
        self._chain.update(repr(totals).encode())
        if before is None or any(new < old for new, old in zip(totals, before, strict=True)):
            grown = latest or totals  # the totals of a process that continued, or that began again at 0
        else:
            grown = tuple(new - old for new, old in zip(totals, before, strict=True))
        if not any(grown):
            return
        given, cached, output, reasoning = grown
        call_id = f"codex/{self._root}/{self._chain.hexdigest()[:24]}"
        yield ModelCall(
            **place,
            call_id=call_id,
            provider=self._provider,
            model=self._model,
            uncached=max(given - cached, 0),
            read=cached,
            output=output,
            reasoning=reasoning,
        )


def _counts(usage: Any) -> tuple[int, ...] | None:
    said = as_object(usage)
    return tuple(count_of(said.get(name)) or 0 for name in _TOTALS) if said else None


def _joined(content: Any, between: str = "\n") -> str:
    if isinstance(content, str):
        return content
    return between.join(text for part in as_objects(content) if (text := as_text(part.get("text"))))


def _decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _command(given: Any) -> str | None:
    command = as_object(given).get("command", as_object(given).get("cmd"))
    if isinstance(command, list):
        return " ".join(word for word in command if isinstance(word, str))
    return as_text(command)


def _patch_of(name: str, given: Any) -> str | None:
    """Return the text of a patch, however it was called."""
    words = as_object(given).get("command")
    if isinstance(words, list) and len(words) > 1 and words[0] == "apply_patch":
        return as_text(words[1])
    if name != "apply_patch":
        return None
    return given if isinstance(given, str) else as_text(as_object(given).get("input"))


def _diffs(patch: str) -> Sequence[Json]:
    """Return the hunks of a patch as ACP diffs, one a file."""
    diffs: list[dict[str, Any]] = []
    for line in patch.splitlines():
        if found := _PATCHED.match(line):
            old = None if found[1] == "Add" else ""
            diffs.append({"type": "diff", "path": found[2].strip(), "oldText": old, "newText": ""})
        elif diffs and not line.startswith(("***", "@@")):
            if line[:1] in {"-", " "} and diffs[-1]["oldText"] is not None:
                diffs[-1]["oldText"] += line[1:] + "\n"
            if line[:1] in {"+", " "}:
                diffs[-1]["newText"] += line[1:] + "\n"
    return diffs
