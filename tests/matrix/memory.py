"""How an agent received a conversation, according to its model's input, not to any claim."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Messages = Sequence[tuple[str, str]]
"""Role and words, oldest first."""
HISTORY = "session-widgets:history"


def memory_of(messages: Messages, notes: Sequence[str], cut: str = "") -> Literal["nothing", "conversation", "history"]:
    """Return how it knows of the earlier prompts: as a conversation it had, or by the history with the latest prompt.

    Args:
        messages: the input.
        notes: a word of each prompt, the latest one last; each was said once.
        cut: the previous prompt, if it was interrupted: an agent without time to save it receives it as history.
    """
    said = [[at for at, (role, words) in enumerate(messages) if role == "user" and note in words] for note in notes]
    assert [len(times) for times in said] == [1] * len(notes), "each prompt is in the input, exactly once"
    assert said == sorted(said), "in order"
    latest = said[-1][0]
    answers = [at for at, (role, _) in enumerate(messages[:latest]) if role == "assistant"]
    since = answers[-1] + 1 if answers else 0
    handed_over = any(HISTORY in words for _, words in messages[since : latest + 1])
    if answers and handed_over:
        assert history_of(messages[since : latest + 1]) == [cut], "a conversation, and the history of it again"
    if not answers:
        return "history" if handed_over else "nothing"
    return "conversation"


def history_of(messages: Messages) -> list[str]:
    """Return the prompts of the history that was handed over."""
    (words,) = [words for role, words in messages if role == "user" and HISTORY in words]
    history, _ = json.JSONDecoder().raw_decode(words, words.index('{"turns"'))
    return [turn["prompt"] for turn in history["turns"]]


def told_to_demo(state: Path) -> Messages:
    """Return what the demo's newest session file holds."""
    newest = max(state.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    told = []
    for record in map(json.loads, newest.read_text().splitlines()):
        update = record.get("update", {})
        if record["type"] == "prompt":
            told.append(("user", "\n".join(_words(block) for block in record["blocks"])))
        elif update.get("sessionUpdate") == "agent_message_chunk":
            told.append(("assistant", update["content"]["text"]))
    return told


def _words(block: dict) -> str:
    resource = block.get("resource")
    return f"{resource['uri']}\n{resource['text']}" if resource else block["text"]
