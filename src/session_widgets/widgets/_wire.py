"""Steps, turns and sessions as the page gets them: small, clipped, plain JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from session_widgets.envelopes import as_objects, as_text
from session_widgets.errors import BadValue
from session_widgets.model import Json, PermissionState, SessionRecord, Step, TurnRecord
from session_widgets.offers import SETTINGS, Offers
from session_widgets.widgets._protocol import (
    CLIP,
    AgentView,
    Block,
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

_INPUT_CLIP = 4 * 1024
_TAIL = 800
_PATHS = 20
_CHOICES = 300
Home = tuple[str, str]
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def millis(moment: datetime) -> int:
    """Return milliseconds since 1970 UTC."""
    return int(moment.timestamp() * 1000)


def safe(text: str) -> str:
    """Return `text` without lone surrogates, which JSON over a socket cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


class _Budget:
    """Characters left for one step."""

    def __init__(self) -> None:
        self.left = CLIP

    def clip(self, text: str, limit: int = CLIP) -> Text:
        part = text[: min(limit, self.left)]
        self.left -= len(part)
        return {"text": safe(part), "length": len(text)}


def step_view(step: Step) -> StepView:
    """Return `step` for the page."""
    budget = _Budget()
    view: StepView = {
        "turn": step.turn,
        "index": step.index,
        "kind": step.kind,
        "status": step.status,
        "started": millis(step.started_at),
        "ended": millis(step.ended_at),
    }
    if step.kind == "tool_call":
        view["tool"] = _tool_view(step, budget)
    elif step.kind == "plan":
        view["entries"] = [
            {
                "content": safe(str(entry.get("content", "")))[:2000],
                "status": str(entry.get("status", "pending")),
                "priority": str(entry.get("priority", "medium")),
            }
            for entry in step.entries[:200]
        ]
    else:
        text = step.text or ""
        view["body"] = budget.clip(text)
        if step.status == "running" and len(text) > CLIP:
            view["body"]["tail"] = tail(text)
    return view


def tail(text: str) -> str:
    """Return the newest lines of a text whose start alone is sent."""
    return safe(text[-_TAIL:])


def turn_view(turn: TurnRecord, home: Home, handed_over: bool = False) -> TurnView:
    """Return `turn` for the page.

    Args:
        turn: the turn.
        home: where its files went, or are to go.
        handed_over: whether the agent was told of earlier turns with its prompt.
    """
    usage = turn.usage
    return {
        "turn": turn.index,
        "status": turn.status,
        "started": millis(turn.started_at),
        "ended": millis(turn.ended_at) if turn.ended_at else None,
        "stop_reason": turn.stop_reason,
        "usage": {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "total": usage.total_tokens,
            "context_used": usage.context_used,
            "context_size": usage.context_size,
            "cost": usage.cost,
            "currency": usage.currency,
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


def home_of(session: SessionRecord) -> Home:
    """Return where the files of `session` are kept, and how they get there."""
    return session.workspace, session.attachment


def settings_view(offers: Offers) -> list[SettingView] | None:
    """Return what an agent offers for the page; a category without a choice is left out."""
    if not offers.started:
        return None
    return [
        {
            "name": name,
            "current": None if (current := offers.current(name)) is None else safe(current)[:300],
            "choices": [
                {"id": choice.id, "name": safe(choice.name)[:200], "description": safe(choice.description)[:300]}
                for choice in choices[:_CHOICES]
                if choice.id == safe(choice.id)[:300]  # what cannot come back as it was cannot be chosen
            ],
        }
        for name in SETTINGS
        if (choices := offers.choices(name))
    ]


def session_view(session: SessionRecord, root: str, agent: AgentView, missing: MissingView | None) -> SessionView:
    """Return `session` for the page; the agent sees the workspace at `root`."""
    return {
        "id": session.id,
        "title": safe(session.title)[:500] if session.title else None,
        "harness": session.harness,
        "sandbox": session.sandbox,
        "workspace": safe(session.workspace)[:2000],
        "attachment": safe(session.attachment)[:100],
        "remark": safe(session.remark)[:1000],
        "root": safe(root)[:2000],
        "model": session.model,
        "mode": session.mode,
        "effort": session.effort,
        "agent": {"title": safe(agent["title"])[:100], "version": safe(agent["version"])[:60]},
        "missing": missing,
        "status": session.status,
        "awake": session.awake,
        "turns": session.turns,
    }


def handover_view(told: Json) -> HandoverView:
    """Return what an agent was told of earlier turns; its bounds are those of `handover`."""
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


def step_text(step: Step, part: str) -> str:
    """Return the whole text of one part of a step: "body", "input", "blocks.2", "blocks.2.old" or "blocks.2.new"."""
    if part == "body":
        return step.text or ""
    if part == "input":
        return _input_text(step.raw_input)
    name, _, rest = part.partition(".")
    number, _, side = rest.partition(".")
    blocks = _blocks(step)
    if name != "blocks" or not number.isdigit() or int(number) >= len(blocks):
        raise BadValue(f"this step has no part {part!r:.40}")
    block = blocks[int(number)]
    text = block.get({"": "text", "old": "old", "new": "new"}.get(side, ""))
    if not isinstance(text, str):
        raise BadValue(f"part {part!r:.40} of this step is not text")
    return text


def step_image(step: Step, number: int) -> bytes:
    """Return the bytes of the image that is block `number` of a step."""
    blocks = _blocks(step)
    if not 0 <= number < len(blocks) or blocks[number]["type"] != "image":
        raise BadValue(f"this step has no image {number}")
    return base64.b64decode(blocks[number]["data"])


def _tool_view(step: Step, budget: _Budget) -> ToolView:
    command = _command(step.raw_input)
    raw_input = _input_text(step.raw_input)
    return {
        "title": safe(step.title or step.tool_call_id or "Tool call")[:2000],
        "kind": step.tool_kind or "other",
        "command": safe(command)[:CLIP] if command else None,
        "input": budget.clip(raw_input, _INPUT_CLIP) if raw_input else None,
        "blocks": [_block_view(block, budget) for block in _blocks(step)],
        "paths": [safe(str(location.get("path", "")))[:1000] for location in step.locations[:_PATHS]],
        "permission": _permission_view(step.permission) if step.permission else None,
    }


def _permission_view(permission: PermissionState) -> PermissionView:
    return {
        "request": permission.request_id,
        "options": [{"id": o.id, "name": safe(o.name)[:200], "kind": o.kind} for o in permission.options],
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


def _blocks(step: Step) -> list[dict[str, Any]]:
    """Read ACP's tool call content; where an agent sends none, its raw output stands in."""
    command = _command(step.raw_input)
    blocks = [block for item in step.content if not _repeats(block := _block(item), command)]
    if any(block["type"] in ("text", "diff", "image") for block in blocks):
        return blocks
    output = _output_text(step.raw_output)
    return [*blocks, {"type": "text", "text": output}] if output else blocks


def _repeats(block: Mapping[str, Any], command: str | None) -> bool:
    """Whether a block says only the command, which is drawn anyway."""
    return command is not None and block["type"] == "text" and block["text"].strip() in (command, f"$ {command}")


def _block(item: Mapping[str, Any]) -> dict[str, Any]:
    kind = item.get("type")
    if kind == "diff":
        old = item.get("oldText")
        return {
            "type": "diff",
            "path": str(item.get("path", "")),
            "old": None if old is None else str(old),
            "new": str(item.get("newText") or ""),
        }
    if kind == "terminal":
        return {"type": "note", "label": f"Terminal {item.get('terminalId', '')}"}
    content = item.get("content") if kind == "content" else item
    content = content if isinstance(content, Mapping) else {}
    match content.get("type"):
        case "text":
            return {"type": "text", "text": str(content.get("text") or "")}
        case "image" if content.get("mimeType") in _IMAGES and isinstance(content.get("data"), str):
            return {"type": "image", "mime": content["mimeType"], "data": content["data"]}
        case "resource_link":
            return {"type": "note", "label": str(content.get("title") or content.get("name") or content.get("uri"))}
        case "resource" if isinstance(content.get("resource"), Mapping):
            resource = content["resource"]
            if isinstance(resource.get("text"), str):
                return {"type": "text", "text": resource["text"]}
            return {"type": "note", "label": str(resource.get("uri", "resource"))}
        case other:
            return {"type": "note", "label": f"Content of type {other}"}


def _command(raw_input: Any) -> str | None:
    command = raw_input.get("command") if isinstance(raw_input, Mapping) else None
    if isinstance(command, str):
        return command
    if isinstance(command, Sequence) and all(isinstance(word, str) for word in command):
        return " ".join(command)
    return None


def _input_text(raw_input: Any) -> str:
    if raw_input is None or raw_input == {}:
        return ""
    return raw_input if isinstance(raw_input, str) else json.dumps(raw_input, indent=2, ensure_ascii=False, default=str)


def _output_text(raw_output: Any) -> str:
    if isinstance(raw_output, Mapping):
        for key in ("formatted_output", "output", "stdout", "text", "content"):
            if isinstance(raw_output.get(key), str):
                return str(raw_output[key])
    return _input_text(raw_output)
