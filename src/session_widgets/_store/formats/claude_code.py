"""Claude Code's session files: `~/.claude/projects/<folder>/<session>.jsonl`, and its subagents' `agent-*.jsonl`.

A model call is written as several records with the same `message.id`, one a content block, each with the usage so far;
most were written before the answer was complete. `progress` records repeat what a subagent's own file has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, ClassVar

from session_widgets._store.formats.claude_code_blocks import content_of, diffs_of, prompt_of, title_of
from session_widgets._store.formats.contract import (
    Abandoned,
    Changed,
    Delegated,
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
    Tree,
    TurnEnd,
    WholeSession,
    count_of,
    time_of,
)
from session_widgets._store.formats.writers import claude_code as writer
from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Json, StepFailure, StepKind, UsageQuality

UNNAMED = 50
"""Records without a session's id, at the beginning of a file, that are waited through for one."""

_MESSAGES = frozenset({"user", "assistant"})
_KINDS = {
    **dict.fromkeys(("Bash", "BashOutput", "KillShell", "KillBash"), "execute"),
    **dict.fromkeys(("Read", "NotebookRead"), "read"),
    **dict.fromkeys(("Edit", "MultiEdit", "Write", "NotebookEdit"), "edit"),
    **dict.fromkeys(("Glob", "Grep", "LS"), "search"),
    **dict.fromkeys(("WebFetch", "WebSearch"), "fetch"),
    **dict.fromkeys(("Task", "Agent", "TodoWrite", "TaskCreate", "TaskUpdate"), "think"),
    **dict.fromkeys(("ExitPlanMode", "EnterPlanMode", "exit_plan_mode"), "switch_mode"),
}
_PATHS = ("file_path", "notebook_path", "path")
_INTERRUPTED = "[Request interrupted by user"
_REJECTED = ("The user doesn't want to proceed", "The user doesn't want to take this action", "User rejected")
_EXIT_CODE = re.compile(r"(?:Error: )?Exit code (-?\d{1,5})\b")
_SYNTHETIC = "<synthetic>"


class ClaudeCode(Format):
    """Claude Code's JSON lines."""

    name = "claude-code"
    writes: ClassVar[bool] = True

    def sniff(self, head: Head) -> bool:
        """Whether a line is one of Claude Code's records."""
        return any(_is_record(value) for value in head.objects)

    def kind(self, value: Any) -> str | None:
        """Return `type`, with the subtype of a system record or the type of a progress record."""
        said = as_object(value)
        kind, more = as_text(said.get("type")), as_text(said.get("subtype")) or as_object(said.get("data")).get("type")
        return f"{kind}/{more}" if kind and isinstance(more, str) else kind

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn records into entries."""
        return _Reader(source).read(records)

    def write(self, session: WholeSession) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        return writer.write(session)


def _is_record(value: Mapping[str, Any]) -> bool:
    kind = as_text(value.get("type"))
    if kind in _MESSAGES:
        return "uuid" in value and "sessionId" in value and "content" in as_object(value.get("message"))
    if kind == "system" or kind == "progress":
        return {"sessionId", "uuid", "isSidechain"} <= value.keys()
    return (kind == "summary" and "leafUuid" in value) or (
        kind in {"file-history-snapshot", "queue-operation", "custom-title", "permission-mode"}
        and ("messageId" in value or "sessionId" in value)
    )


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._native = ""
        self._is_agent = False
        self._facts: dict[str, str] = {}
        self._tree = Tree()
        self._roots: dict[str, str] = {}
        self._edits: dict[str, tuple[str, str]] = {}
        self._command: Prompt | None = None

    def read(self, records: Iterable[Record]) -> Iterator[Entry]:
        rest = iter(records)
        early: list[Record] = []
        for record in rest:
            if isinstance(record.value, dict):
                early.append(record)
                if as_text(record.value.get("sessionId")) or len(early) == UNNAMED:
                    break
        if not early:
            return
        yield self._begin(early[-1].line, early[-1].value)
        last = 0
        for record in chain(early, rest):
            last = record.line
            if isinstance(record.value, dict):
                yield from self._settled(self._record(record.line, record.value))
        if self._command is not None:
            yield self._command
        if left := self._tree.abandoned():
            yield Abandoned(line=last, uids=left)

    def _settled(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Hold a typed command back until the next step: one of Claude Code itself (`/model`) begins no turn."""
        for entry in entries:
            held = self._command
            if held is not None and isinstance(entry, Said | Prompt | ToolCall | ModelCall):
                self._command = None
                local = isinstance(entry, Said) and (entry.text or "").startswith("<local-command-")
                text = "\n".join(str(block.get("text")) for block in held.blocks)
                yield Said(line=held.line, at=held.at, uid=held.uid, kind="notice", text=text) if local else held
            if isinstance(entry, Prompt) and str(next(iter(entry.blocks), {}).get("text", "")).startswith("/"):
                self._command = entry
            else:
                yield entry

    def _begin(self, line: int, value: Json) -> SessionFacts:
        session, agent = as_text(value.get("sessionId")), as_text(value.get("agentId"))
        self._is_agent = bool(value.get("isSidechain")) and agent is not None
        at = time_of(value.get("timestamp"))
        if self._is_agent:
            self._native = f"{session}/{agent}"
            return SessionFacts(
                line=line, at=at, native_id=self._native, harness="claude",
                parent=session, relation="subagent", agent_id=agent,
            )  # fmt: skip
        self._native = session or self._source.stem
        return SessionFacts(line=line, at=at, native_id=self._native, harness="claude")

    def _record(self, line: int, value: Json) -> Iterator[Entry]:
        kind, at = as_text(value.get("type")), time_of(value.get("timestamp"))
        place = {"line": line, "at": at}
        uid, parent = as_text(value.get("uuid")), as_text(value.get("parentUuid"))
        if kind == "summary" or kind == "custom-title":
            title = as_text(value.get("summary")) or as_text(value.get("customTitle"))
            yield from self._learn(place, title=title)
        if kind not in _MESSAGES and kind != "system":
            self._tree.add(uid, parent, leaf=False)
            return
        yield from self._learn(
            place,
            harness_version=as_text(value.get("version")),
            cwd=as_text(value.get("cwd")),
            git_branch=as_text(value.get("gitBranch")),
        )
        side = bool(value.get("isSidechain")) and not self._is_agent
        where: dict[str, Any] = {
            **place,
            "uid": uid,
            "parent_uid": parent,
            "copied": self._is_copied(value),
            "agent": self._agent_of(uid, parent) if side else None,
        }
        if kind == "system":
            self._tree.add(uid, parent, leaf=not side)
            yield from self._system(where, value)
        elif kind == "user":
            entries = list(self._user(where, value, side=side))
            prompt = any(isinstance(entry, Prompt) for entry in entries)
            self._tree.add(uid, parent, prompt=prompt, leaf=not side)
            yield from entries
        else:
            self._tree.add(uid, parent, leaf=not side)
            yield from self._assistant(where, value)

    def _learn(self, place: dict[str, Any], **facts: str | None) -> Iterator[Entry]:
        new = {name: fact for name, fact in facts.items() if fact and self._facts.get(name) != fact}
        if new:
            self._facts |= new
            yield SessionFacts(**place, native_id=self._native, **new)  # type: ignore[arg-type]  # the callers name fields of text

    def _is_copied(self, value: Json) -> bool:
        session = as_text(value.get("sessionId"))
        return session is not None and session != self._native.partition("/")[0]

    def _agent_of(self, uid: str | None, parent: str | None) -> str | None:
        """Return the key of a subagent whose records are in this file: the uid of its first record."""
        if uid is None:
            return None
        key = self._roots.get(parent or "", uid)
        self._roots[uid] = key
        return key

    def _system(self, where: dict[str, Any], value: Json) -> Iterator[Entry]:
        subtype, text = as_text(value.get("subtype")), as_text(value.get("content"))
        if subtype == "compact_boundary":
            yield Said(**where, kind="notice", text=text or "The conversation was compacted.")
        elif subtype == "api_error":
            error = as_object(as_object(value.get("error")).get("error"))
            yield Said(**where, kind="error", text=as_text(as_object(error.get("error")).get("message")) or "API error")
        elif subtype == "turn_duration":
            yield TurnEnd(line=where["line"], at=where["at"])
        elif text:
            yield Said(**where, kind="notice", text=text)

    def _user(self, where: dict[str, Any], value: Json, *, side: bool) -> Iterator[Entry]:
        content = as_object(value.get("message")).get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(as_objects(content))
        results = [block for block in blocks if as_text(block.get("type")) == "tool_result"]
        for block in results:
            yield from self._result(where, block, value.get("toolUseResult") if len(results) == 1 else None)
        rest = [block for block in blocks if as_text(block.get("type")) != "tool_result"]
        if not rest:
            return
        text = "\n".join(as_text(block.get("text")) or "" for block in rest).strip()
        if text.startswith(_INTERRUPTED):
            yield Said(**where, kind="notice", text=text)
            if not side:
                yield TurnEnd(line=where["line"], at=where["at"], status="cancelled", stop_reason="cancelled")
        elif value.get("isCompactSummary"):
            yield Said(**where, kind="compaction", text=text)
        elif value.get("isMeta") or text.startswith(("<local-command-", "<bash-stdout>", "<bash-stderr>")) or results:
            yield Said(**where, kind="notice", text=text)
        elif side and where["agent"] == where["uid"]:
            yield Delegated(**where, text=text)
        elif side:
            yield Said(**where, kind="user", text=text)
        else:
            yield Prompt(**where, blocks=prompt_of(rest))

    def _result(self, where: dict[str, Any], block: Json, details: Any) -> Iterator[Entry]:
        tool_call_id, said = as_text(block.get("tool_use_id")), block.get("content")
        if tool_call_id is None:
            return
        parts = [{"type": "text", "text": said}] if isinstance(said, str) else list(as_objects(said))
        text = "\n".join(as_text(part.get("text")) or "" for part in parts)
        failure: StepFailure | None = None
        if block.get("is_error"):
            failure = "rejected" if text.startswith(_REJECTED) else "error"
        code = _EXIT_CODE.match(text) if failure == "error" else None
        edit = self._edits.pop(tool_call_id, None)
        diffs = diffs_of(as_object(details)) if edit and failure is None else []
        yield ToolResult(
            **where,
            tool_call_id=tool_call_id,
            content=diffs or content_of(parts),
            failure=failure,
            exit_code=int(code[1]) if code else None,
        )
        if edit and failure is None:
            name, path = edit
            created = as_object(details).get("type") == "create" or (name == "Write" and "created" in text[:200])
            yield Changed(line=where["line"], at=where["at"], path=path, change="created" if created else "modified")

    def _assistant(self, where: dict[str, Any], value: Json) -> Iterator[Entry]:
        message = as_object(value.get("message"))
        model = as_text(message.get("model"))
        synthetic = model == _SYNTHETIC or bool(value.get("isApiErrorMessage"))
        call_id = None if synthetic else as_text(message.get("id")) or f"{self._native}/{where['uid']}"
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(as_objects(content))
        if call_id is not None:
            yield _usage(where, call_id, model, message)
        own: StepKind = (
            "notice" if value.get("isApiErrorMessage") is False else "error"
        )  # the program's words, no model's
        for block in blocks:
            kind, text = as_text(block.get("type")), as_text(block.get("text"))
            if kind == "text" and text and text.strip():
                yield Said(**where, kind=own if synthetic else "message", text=text, call_id=call_id)
            elif kind == "thinking" and as_text(block.get("thinking")):
                yield Said(**where, kind="thought", text=as_text(block["thinking"]), call_id=call_id)
            elif kind in {"tool_use", "server_tool_use"}:
                yield from self._tool(where, block, call_id)
        if as_text(message.get("stop_reason")) == "end_turn" and where["agent"] is None:
            yield TurnEnd(line=where["line"], at=where["at"], stop_reason="end_turn")

    def _tool(self, where: dict[str, Any], block: Json, call_id: str | None) -> Iterator[Entry]:
        name, given = as_text(block.get("name")) or "unknown", as_object(block.get("input"))
        tool_call_id = as_text(block.get("id")) or f"{where['uid']}/{name}"
        path = next((text for key in _PATHS if (text := as_text(given.get(key)))), None)
        kind = _KINDS.get(name, "other")
        if kind == "edit" and path:
            self._edits[tool_call_id] = (name, path)
        yield ToolCall(
            **where,
            tool_call_id=tool_call_id,
            name=name,
            kind=kind,
            title=title_of(name, given, path),
            raw_input=block.get("input"),
            paths=[path] if path else (),
            call_id=call_id,
        )
        if name == "TodoWrite" and (todos := as_objects(given.get("todos"))):
            entries = [
                {
                    "content": as_text(todo.get("content")) or "",
                    "status": as_text(todo.get("status")) or "pending",
                    "priority": as_text(todo.get("priority")) or "medium",
                }
                for todo in todos
            ]
            yield Said(**where, kind="plan", entries=entries, call_id=call_id)


def _usage(where: dict[str, Any], call_id: str, model: str | None, message: Json) -> ModelCall:
    usage, stop = as_object(message.get("usage")), as_text(message.get("stop_reason"))
    lifetimes = as_object(usage.get("cache_creation"))
    counts: dict[str, Any] = {
        "uncached": count_of(usage.get("input_tokens")),
        "read": count_of(usage.get("cache_read_input_tokens")),
        "written": count_of(usage.get("cache_creation_input_tokens")),
        "written_5m": count_of(lifetimes.get("ephemeral_5m_input_tokens")),
        "written_1h": count_of(lifetimes.get("ephemeral_1h_input_tokens")),
        "output": count_of(usage.get("output_tokens")),
    }
    quality: UsageQuality = "final" if stop else "partial"
    remark = None if stop else "the log has the counts of an answer that was not complete"
    if not usage:
        quality, remark = "none", "the log has no usage of this call"
    elif not any(counts.values()):
        quality, remark, counts = "placeholder", "the log has 0 tokens for an answer", {}
    return ModelCall(
        **where,
        call_id=call_id,
        provider="anthropic",
        model=model,
        stop_reason=stop,
        quality=quality,
        remark=remark,
        **counts,
    )
