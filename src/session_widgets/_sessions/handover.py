"""The history for an agent without the session's memory: marked as history, never as the user's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from session_widgets.transcript.envelopes import as_object, as_text, block_text
from session_widgets.transcript.records import Json, Step, TurnRecord

HISTORY_URI = "session-widgets:history"
_MARKED = re.compile(rf"<{HISTORY_URI}>\n(.*)\n</{HISTORY_URI}>", re.DOTALL)
HISTORY_CHARACTERS = 100_000
"""Limit of the whole history; the newest turns are kept."""
TEXT_CHARACTERS = 20_000
"""Limit of one prompt or answer; its beginning and its end are kept."""
RESULT_CHARACTERS = 400
TITLE_CHARACTERS = 200
MOST_TOOLS = 40
MOST_FILES = 100

StepsOf = Callable[[TurnRecord], Sequence[Step]]


def history_block(turns: Sequence[TurnRecord], steps_of: StepsOf, embedded: bool) -> dict[str, Any] | None:
    """Return earlier turns as a content block: complete ones, the newest kept; None without a turn.

    Args:
        turns: those of the agent, oldest first.
        steps_of: returns a turn's steps.
        embedded: whether the agent supports embedded resources; otherwise the history is marked text.
    """
    kept: list[dict[str, Any]] = []
    room = HISTORY_CHARACTERS
    for turn in reversed(turns):
        entry = _told(turn, steps_of(turn))
        room -= len(orjson.dumps(entry).decode())
        if room < 0 and kept:
            break
        kept.insert(0, entry)
    if not kept:
        return None
    told: dict[str, Any] = {"turns": kept}
    if len(kept) < len(turns):
        told["earlier turns left out"] = len(turns) - len(kept)
    text = orjson.dumps(told).decode()
    if embedded:
        return {"type": "resource", "resource": {"uri": HISTORY_URI, "mimeType": "application/json", "text": text}}
    return {"type": "text", "text": f"<{HISTORY_URI}>\n{text}\n</{HISTORY_URI}>"}


def handed_over(prompt: Sequence[Json]) -> Json | None:
    """Return the content of `history_block` in a prompt as it was sent; None without one."""
    block = prompt[0] if prompt else {}
    resource = as_object(block.get("resource"))
    told = as_text(resource.get("text")) if resource.get("uri") == HISTORY_URI else None
    if marked := _MARKED.fullmatch(as_text(block.get("text")) or ""):
        told = marked[1]
    return as_object(orjson.loads(told)) if told else None


def prompt_text(blocks: Sequence[Json]) -> str:
    """Return the text blocks of a prompt, joined."""
    return "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _told(turn: TurnRecord, steps: Sequence[Step]) -> dict[str, Any]:
    prompt = "\n".join(block_text(block) for block in turn.prompt)
    entry: dict[str, Any] = {"prompt": _middle_cut(prompt), "answer": _middle_cut(turn.text)}
    if turn.status != "completed":
        entry["ended"] = turn.status
    tools = [_tool(step) for step in steps if step.kind == "tool_call"]
    if tools:
        entry["tools"] = tools[-MOST_TOOLS:]
    if len(tools) > MOST_TOOLS:
        entry["earlier tools left out"] = len(tools) - MOST_TOOLS
    if turn.files:
        entry["files"] = [f"{file.change} {file.path[:TITLE_CHARACTERS]}" for file in turn.files[:MOST_FILES]]
    return entry


def _tool(step: Step) -> dict[str, str]:
    told = {"title": (step.title or step.tool_kind or "tool")[:TITLE_CHARACTERS], "status": step.status}
    if result := _result(step):
        told["result"] = result if len(result) <= RESULT_CHARACTERS else result[: RESULT_CHARACTERS - 1] + "…"
    return told


def _result(step: Step) -> str:
    """Return the text of a tool call's result."""
    said = [_content_text(block) for block in step.content]
    shown = "\n".join(filter(None, said)).strip()
    if shown or step.raw_output is None:
        return shown
    return as_text(step.raw_output) or orjson.dumps(step.raw_output, default=str).decode()


def _content_text(block: Json) -> str:
    if block.get("type") == "diff":
        return f"changed {as_text(block.get('path')) or ''}"
    inner = as_object(block.get("content"))
    return block_text(inner) if inner else ""


def _middle_cut(text: str) -> str:
    if len(text) <= TEXT_CHARACTERS:
        return text
    half = TEXT_CHARACTERS // 2
    return f"{text[:half]}\n[{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"
