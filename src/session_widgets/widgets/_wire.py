"""Steps, turns and sessions for the page: small, clipped, plain JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.options import SETTINGS, AgentOptions
from session_widgets.transcript.outcomes import outcome
from session_widgets.transcript.records import Json, PermissionState, SessionRecord, Step, TurnRecord
from session_widgets.transcript.steps import headline
from session_widgets.transcript.tool_input import command_of, words
from session_widgets.widgets._parts import blocks, input_text, locations
from session_widgets.widgets._questions import question_view
from session_widgets.widgets._text import safe
from session_widgets.widgets._views import (
    CLIP,
    AgentView,
    Block,
    CellQuestionView,
    CommandView,
    FileView,
    HandoverView,
    MissingView,
    PermissionView,
    SessionView,
    SettingView,
    StepView,
    Text,
    ToolView,
    TurnView,
)

if TYPE_CHECKING:
    from session_widgets._sessions.cell import CellQuestion
    from session_widgets._sessions.permissions import Policy

log = logging.getLogger(__name__)

_INPUT_CLIP = 4 * 1024
_TAIL = 800
_CHOICES = 300
Home = tuple[str, str]


def millis(moment: datetime) -> int:
    """Return milliseconds since 1970 UTC."""
    return int(moment.timestamp() * 1000)


class _Budget:
    """Characters left for one step."""

    def __init__(self) -> None:
        self.left = CLIP

    def clip(self, text: str, limit: int = CLIP) -> Text:
        part = text[: min(limit, self.left)]
        self.left -= len(part)
        return {"text": safe(part), "length": len(text)}


def step_view(step: Step) -> StepView:
    """Return `step` for the page; an unreadable step says so, and does not affect others."""
    try:
        return _step_view(step)
    except Exception as error:
        log.exception("step %s of turn %s cannot be shown", step.index, step.turn)
        return _unreadable(step, error)


def _step_view(step: Step) -> StepView:
    budget = _Budget()
    view = _frame(step)
    if step.kind in {"compaction", "subagent"}:
        view["headline"] = safe(headline(step))[:2000]
    if step.kind == "tool_call":
        view["tool"] = _tool_view(step, budget)
    elif step.kind == "plan" and step.text is None:
        view["entries"] = [
            {
                "content": _short(entry.get("content", ""), 2000),
                "status": _short(entry.get("status", "pending"), 40),
                "priority": _short(entry.get("priority", "medium"), 40),
            }
            for entry in step.entries[:200]
        ]
    else:
        text = step.text or ""
        view["body"] = budget.clip(text)
        if step.status == "running" and len(text) > CLIP:
            view["body"]["tail"] = tail(text)
    if step.kind == "question":
        view["question"] = question_view(step)
    if step.kind == "notice" and (severity := as_object(step.raw_input).get("severity")) in {"warning", "error"}:
        view["severity"] = severity
    return view


def _frame(step: Step) -> StepView:
    return {
        "turn": step.turn,
        "index": step.index,
        "kind": step.kind,
        "status": safe(step.status)[:40],
        "started": millis(step.started_at),
        "ended": millis(step.ended_at),
        "nested": step.parent is not None,
    }


def _unreadable(step: Step, error: Exception) -> StepView:
    """A request remains a request, so that a person can reject a call that cannot be shown."""
    remark = f"This step cannot be shown ({type(error).__name__}). The transcript has it."
    view = _frame(step)
    if step.kind == "tool_call":
        view["tool"] = {
            "title": safe(step.title or "Tool call")[:2000],
            "kind": "other",
            "command": None,
            "input": None,
            "locations": None,
            "blocks": [{"type": "note", "label": remark}],
            "permission": _permission_view(step.permission) if step.permission else None,
            "waited": _waited(step),
            "failure": step.failure,
            "exit_code": step.exit_code,
        }
    else:
        view["kind"], view["body"] = "error", {"text": remark, "length": len(remark)}
    return view


def _waited(step: Step) -> int:
    return round((step.waited_s or 0) * 1000)


def _short(value: object, limit: int) -> str:
    return safe(words(value))[:limit]


def tail(text: str) -> str:
    """Return the newest lines of a text of which only the start is sent."""
    return safe(text[-_TAIL:])


def turn_view(turn: TurnRecord, home: Home, handed_over: bool = False) -> TurnView:
    """Return `turn` for the page.

    Args:
        turn: the turn.
        home: the location of its files.
        handed_over: whether its prompt carried a history.
    """
    usage = turn.usage
    return {
        "turn": turn.index,
        "status": turn.status,
        "started": millis(turn.started_at),
        "ended": millis(turn.ended_at) if turn.ended_at else None,
        "waited": round((turn.waited_s or 0) * 1000),
        "stop_reason": turn.stop_reason,
        "outcome": outcome(turn.status, turn.stop_reason, turn.error, turn.failure),
        "model": safe(turn.model)[:300] if turn.model else None,
        "usage": {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "total": usage.total_tokens,
            "context_used": usage.context_used,
            "context_size": usage.context_size,
            "cost": usage.cost,
            "currency": usage.currency,
            "scope": usage.scope,
            "remark": usage.remark,
        },
        "files": [{"path": safe(f.path), "change": f.change, "size": f.size} for f in turn.files[:200]],
        "tier": turn.tier,
        "handed_over": handed_over,
        "error": safe(turn.error)[:8000] if turn.error else None,
        "saving": turn.saving,
        "durable_at": millis(turn.durable_at) if turn.durable_at else None,
        "durability_error": safe(turn.durability_error)[:8000] if turn.durability_error else None,
        "workspace": safe(home[0])[:2000],
        "attachment": safe(home[1])[:100],
    }


def settings_view(offers: AgentOptions) -> list[SettingView] | None:
    """Return the agent's options for the page, without categories that have only one."""
    if not offers.started:
        return None
    return [
        {
            "name": name,
            "current": None if (current := offers.current(name)) is None else safe(current)[:300],
            "choices": [
                {"id": choice.id, "name": safe(choice.name)[:200], "description": safe(choice.description)[:300]}
                for choice in choices[:_CHOICES]
                if choice.id == safe(choice.id)[:300]  # an id that would come back changed cannot be chosen
            ],
        }
        for name in SETTINGS
        if (choices := offers.choices(name))
    ]


def permissions_view(policy: Policy) -> str:
    """Return the name of a policy, or "function" and the function's name."""
    return f"function {safe(getattr(policy, '__name__', type(policy).__name__))}"[:100] if callable(policy) else policy


def commands_view(offers: AgentOptions) -> list[CommandView]:
    """Return the agent's own commands for the page."""
    return [
        {
            "name": safe(one.name),
            "description": safe(one.description),
            "hint": None if one.hint is None else safe(one.hint),
        }
        for one in offers.commands
        if one.name == safe(one.name)
    ]


def session_view(
    session: SessionRecord,
    root: str,
    agent: AgentView,
    missing: MissingView | None,
    permissions: str,
    *,
    deleted: bool = False,
    deadline: float | None = None,
) -> SessionView:
    """Return `session` for the page; `root` is the workspace's path for the agent, `deadline` in seconds since 1970."""
    return {
        "id": session.id,
        "title": safe(session.title)[:500] if session.title else None,
        "harness": session.harness,
        "sandbox": session.sandbox,
        "workspace": safe(session.workspace)[:2000],
        "attachment": safe(session.attachment)[:100],
        "mount_report": safe(session.mount_report)[:1000],
        "root": safe(root)[:2000],
        "model": session.model,
        "mode": session.mode,
        "effort": session.effort,
        "agent": {
            "title": safe(agent["title"])[:100],
            "version": safe(agent["version"])[:60],
            "suggestions": [safe(text)[:300] for text in agent["suggestions"][:6]],
        },
        "missing": missing,
        "permissions": permissions,
        "status": "deleted" if deleted else session.status,
        "sandbox_running": session.sandbox_running,
        "deadline": None if deadline is None else int(deadline * 1000),
        "confined": session.confine and session.sandbox == "local",
        "turns": session.turns,
    }


def cell_question_view(question: CellQuestion | None) -> CellQuestionView | None:
    """Return the current question of a cell for the page."""
    if question is None:
        return None
    return {
        "request": question.request,
        "prompt": safe(question.prompt),
        "answers": {safe(option): answer for option, answer in question.answers.items()},
    }


def handover_view(told: Json) -> HandoverView:
    """Return a history for the page; its limits are those of `handover`."""
    return {
        "turns": [
            {
                "prompt": _said(turn, "prompt"),
                "answer": _said(turn, "answer"),
                "ended": _said(turn, "ended") or None,
                "tools": [
                    {"title": _said(tool, "title"), "status": _said(tool, "status"), "result": _said(tool, "result")}
                    for tool in as_objects(turn.get("tools"))
                ],
                "earlier_tools": _number(turn, "earlier tools left out"),
                "files": [_told_file(str(file)) for file in turn.get("files") or ()],
            }
            for turn in as_objects(told.get("turns"))
        ],
        "earlier": _number(told, "earlier turns left out"),
    }


def _said(told: Json, name: str) -> str:
    return safe(as_text(told.get(name)) or "")


def _number(told: Json, name: str) -> int:
    number = told.get(name)
    return number if isinstance(number, int) else 0


def _told_file(text: str) -> FileView:
    change, _, path = text.partition(" ")
    return {"path": safe(path), "change": change, "size": None}


def _tool_view(step: Step, budget: _Budget) -> ToolView:
    command, rest, files = command_of(step.raw_input), input_text(step), locations(step)
    return {
        "title": safe(step.title or step.tool_call_id or "Tool call")[:2000],
        "kind": safe(step.tool_kind or "other")[:40],
        "command": budget.clip(command) if command else None,
        "input": budget.clip(rest, _INPUT_CLIP) if rest else None,
        "locations": budget.clip(files, _INPUT_CLIP) if files else None,
        "blocks": [_block_view(block, budget) for block in blocks(step)],
        "permission": _permission_view(step.permission) if step.permission else None,
        "waited": _waited(step),
        "failure": step.failure,
        "exit_code": step.exit_code,
    }


def _permission_view(permission: PermissionState) -> PermissionView:
    return {
        "request": permission.request_id,
        "options": [
            {"id": o.id, "name": safe(o.name)[:200], "kind": safe(o.kind)[:40]}
            for o in permission.options
            if o.id == safe(o.id)  # an id that would come back changed cannot be chosen
        ],
        "outcome": permission.outcome,
        "option": permission.option_id,
        "by": permission.decided_by,
        "reason": permission.reason,
    }


def _block_view(block: Mapping[str, Any], budget: _Budget) -> Block:
    match block["type"]:
        case "text":
            return {"type": "text", "body": budget.clip(block["text"])}
        case "diff":
            old = None if block["old"] is None else budget.clip(block["old"], CLIP // 2)
            return {"type": "diff", "path": safe(block["path"])[:1000], "old": old, "new": budget.clip(block["new"])}
        case "image":
            return {"type": "image", "mime": block["mime"], "size": len(block["data"]) * 3 // 4}
        case _:
            return {"type": "note", "label": safe(block["label"])[:500]}
