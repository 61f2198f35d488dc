"""Turns the updates of one turn (ACP's `session/update`) into steps: text, tools, plans, notices, subagents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from session_widgets.transcript.envelopes import (
    as_object,
    as_objects,
    as_text,
    block_text,
    model_failed,
    printed_by,
    tool_fields,
    update_of,
)
from session_widgets.transcript.records import Event, Json, StepFailure, StepKind
from session_widgets.transcript.steps import FINAL_STATUSES, Speaker, Steps, without_text

TEXT_KINDS: Mapping[str, StepKind] = {"agent_message_chunk": "message", "agent_thought_chunk": "thought"}
OF_STEPS = frozenset({*TEXT_KINDS, "tool_call", "tool_call_update", "plan", "available_commands_update"})
"""Updates that change only the steps of a turn."""
_WITHOUT_STEP = frozenset(
    {"user_message_chunk", "current_mode_update", "config_option_update", "available_commands_update"}
)
_UNKNOWN_LIMIT = 50
"""Limit of the kinds of unknown updates with a step in one turn."""


class Updates:
    """The steps of one turn, from its updates.

    Args:
        steps: of the turn.

    Attributes:
        ended: whether the turn has ended; a later update opens no step.
        cancelling: whether cancellation was requested.
        model_failed: whether the agent reported that its model has failed.
        revision: grows with each change of the turn's record except its steps.
    """

    def __init__(self, steps: Steps) -> None:
        self.ended = False
        self.cancelling = False
        self.model_failed = False
        self.revision = 0
        self._steps = steps
        self._subagents: dict[str, Speaker] = {}
        self._unknown: dict[str, int] = {}

    def speaker(self, envelope: Json) -> Speaker:
        """Return the speaker whose session an envelope belongs to."""
        if not self._subagents:
            return self._steps.agent
        session_id = as_text(as_object(envelope.get("params")).get("sessionId"))
        return self._subagents.get(session_id or "", self._steps.agent)

    def feed(self, event: Event) -> None:
        """Apply the next `session/update`."""
        update, kind, speaker = update_of(event.payload), event.kind, self.speaker(event.payload)
        if kind in TEXT_KINDS:
            if "_meta" in update and speaker.tally.apply_call(update):
                self.revision += 1
            self._chunk(event, speaker, TEXT_KINDS[kind], update)
        elif kind in {"tool_call", "tool_call_update"}:
            # Claude Code may request permission before the text that precedes the tool call: the step then comes
            # before that text, and does not split it.
            speaker.interrupted |= kind == "tool_call"
            if tool_call_id := as_text(update.get("toolCallId")):
                self.tool(event, speaker, tool_call_id, update)
        elif kind in {"plan", "plan_update", "plan_removed"}:
            self._plan(event, speaker, kind, update)
        elif kind == "usage_update":
            speaker.tally.apply_update(update)
            if speaker.parent is not None:
                speaker.tally.apply_total(as_object(update.get("cost")))
        elif kind == "session_info_update":
            self.model_failed = model_failed(update, self.model_failed)
        elif kind in {"compaction_update", "compaction_summary_chunk"}:
            self._compaction(event, speaker, kind, update)
        elif kind == "notice":
            self._notice(event, speaker, update)
        elif kind == "subagent_update":
            self._subagent(event, speaker, update)
        elif kind == "session_message":
            self._message(event, update)
        elif kind not in _WITHOUT_STEP:
            self._unknown_update(event, speaker, kind, update)

    def _open(self, status: str = "pending") -> str:
        return "unfinished" if self.ended else status

    def _chunk(self, event: Event, speaker: Speaker, kind: StepKind, update: Json) -> None:
        block, message_id = as_object(update.get("content")), as_text(update.get("messageId"))
        text = block_text(block) if block else ""
        if not text:
            return
        last = None if speaker.last is None else self._steps.list[speaker.last]
        other = message_id and last and last.message_id and message_id != last.message_id
        if last is None or last.kind != kind or other or speaker.interrupted:
            speaker.interrupted = False
            status = "completed" if self.ended else "running"
            content = without_text([block])
            self._steps.add(event, kind, speaker, message_id=message_id, status=status, text=text, content=content)
            return
        last.message_id = last.message_id or message_id
        last.grow(event, text)
        if block.get("type") == "text":
            self._steps.changed(speaker.last, text)
        else:
            last.set(event, content=(*last.content, block))
            self._steps.changed(speaker.last)

    def tool(self, event: Event, speaker: Speaker, tool_call_id: str, update: Json) -> int:
        """Apply an update of a tool call; return its step."""
        index = speaker.named.get(("tool", tool_call_id))
        if index is None:
            fields: dict[str, Any] = {"tool_call_id": tool_call_id, "waited_s": 0.0}
            index = self._steps.add(event, "tool_call", speaker, status=self._open(), **fields)
            speaker.named["tool", tool_call_id] = index
        else:
            self._steps.changed(index)
        fields, step = tool_fields(update), self._steps.list[index]
        if self.ended and fields.get("status") not in FINAL_STATUSES:
            fields.pop("status", None)
        step.set(event, **fields)
        if "status" in fields and step.failure != "rejected":
            cause: StepFailure = "interrupted" if self.cancelling else "error"
            step.set(None, failure=cause if fields["status"] == "failed" else None)
        if printed := printed_by(update):
            step.print(event, printed)
        return index

    def _plan(self, event: Event, speaker: Speaker, kind: str, update: Json) -> None:
        """Apply a plan: entries, a text, or a file; a plan without an id is the only one."""
        plan = as_object(update.get("plan")) if kind == "plan_update" else update
        name = ("plan", as_text(plan.get("planId")) or "")
        index = speaker.named.get(name)
        if kind == "plan_removed":
            if index is not None:
                self._steps.list[index].set(event, status="cancelled")
                self._steps.changed(index)
            return
        text = as_text(plan.get("content")) or as_text(plan.get("uri"))
        fields: dict[str, Any] = {"entries": as_objects(plan.get("entries")), "text": text, "status": "completed"}
        if index is None:
            speaker.named[name] = self._steps.add(event, "plan", speaker, **fields)
        else:
            self._steps.list[index].set(event, **fields)
            self._steps.changed(index)

    def _compaction(self, event: Event, speaker: Speaker, kind: str, update: Json) -> None:
        name = ("compaction", as_text(update.get("compactionId")) or "")
        index = speaker.named.get(name)
        if index is None:
            index = self._steps.add(event, "compaction", speaker, status=self._open("in_progress"), text="")
            speaker.named[name] = index
        step = self._steps.list[index]
        if kind == "compaction_summary_chunk":
            text = block_text(as_object(update.get("content")))
            step.grow(event, text)
            self._steps.changed(index, text)
            return
        if isinstance(update.get("summary"), list):
            step.replace_text(event, "\n".join(map(block_text, as_objects(update["summary"]))))
        status, error = as_text(update.get("status")), as_text(update.get("error"))
        step.set(event, **({"raw_output": {"error": error}} if error else {}))
        if status in FINAL_STATUSES or (status and not self.ended):
            step.set(event, status=status)
        self._steps.changed(index)

    def _notice(self, event: Event, speaker: Speaker, update: Json) -> None:
        title, description = as_text(update.get("title")) or "", as_text(update.get("description"))
        text, severity = f"{title}\n{description}" if description else title, as_text(update.get("severity"))
        self._steps.say(event, "notice", text, speaker=speaker, raw_input={"severity": severity})

    def _subagent(self, event: Event, speaker: Speaker, update: Json) -> None:
        """Apply an update of a child session; its own updates make steps below this one."""
        session_id = as_text(update.get("sessionId"))
        if not session_id or session_id == as_text(as_object(event.payload.get("params")).get("sessionId")):
            return
        child = self._subagents.get(session_id)
        if child is None or child.parent is None:
            index = self._steps.add(event, "subagent", speaker, status=self._open("in_progress"), text="")
            child = self._subagents[session_id] = Speaker(parent=index)
            self._steps.list[index].set(event, tool_call_id=session_id)
        assert child.parent is not None, "a subagent has a step"
        step, state = self._steps.list[child.parent], as_object(update.get("state"))
        if title := as_text(update.get("title")):
            step.set(event, title=title)
        if state.get("state") == "idle":
            self._end_text(child)
            error, stop = as_object(state.get("error")), as_text(state.get("stopReason"))
            status = "failed" if error or stop == "error" else "cancelled" if stop == "cancelled" else "completed"
            child.tally.apply_tokens(as_object(state.get("usage")))
            said = {"stop_reason": stop, "error": as_text(error.get("message")), "usage": child.tally.counted(status)}
            step.set(event, status=status, raw_output={name: value for name, value in said.items() if value})
        elif state and not self.ended:
            step.set(event, status="in_progress")
        self._steps.changed(child.parent)

    def _end_text(self, speaker: Speaker) -> None:
        last = None if speaker.last is None else self._steps.list[speaker.last]
        if last is not None and last.status == "running":
            last.set(None, status="completed")
            self._steps.changed(speaker.last)
        speaker.interrupted = True

    def _message(self, event: Event, update: Json) -> None:
        """Apply a message between sessions: the task of a subagent, or its answer."""
        text = "\n".join(map(block_text, as_objects(update.get("content"))))
        to = self._subagents.get(as_text(update.get("recipientSessionId")) or "")
        by = self._subagents.get(as_text(update.get("senderSessionId")) or "")
        if to is not None and to.parent is not None:
            step = self._steps.list[to.parent]
            before = step.snapshot().text
            step.replace_text(event, f"{before}\n\n{text}" if before else text)
            self._steps.changed(to.parent)
        else:
            self._steps.say(event, "message", text, speaker=by)

    def _unknown_update(self, event: Event, speaker: Speaker, kind: str, update: Json) -> None:
        """Add a step for each unknown kind of update; the events have all of them."""
        index = self._unknown.get(kind)
        if index is not None:
            step = self._steps.list[index]
            step.set(event, raw_output={"count": (step.raw_output or {"count": 1})["count"] + 1})
            self._steps.changed(index)
        elif len(self._unknown) < _UNKNOWN_LIMIT:
            text = f"The agent sent an update of a kind that this release does not know: {kind}"
            self._unknown[kind] = self._steps.say(event, "notice", text, speaker=speaker, raw_input=update)
