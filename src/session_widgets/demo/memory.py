"""The agent's memory: one JSON-lines file a session.

Records, in the order of their writing:
    session   id, cwd
    settings  mode, model, effort
    prompt    blocks: ACP content blocks of one turn's prompt
    update    update: an ACP session update; a message's or thought's chunks are one record
    end       stop_reason

An append is one write and an fsync. A line cut off by a crash is skipped when the file is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from session_widgets.demo.settings import Settings

HISTORY_URI = "session-widgets:history"
_TITLE = 80  # characters


class Memory:
    """One session's file with its derived state.

    Attributes:
        prompts: the text of every earlier prompt, oldest first; those of a replayed history included.
        words: number of words of both sides.
        turns: number of prompts in this session itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = Settings()
        self.prompts: list[str] = []
        self.words = 0
        self.turns = 0
        for record in self.records():
            self._take(record)

    @classmethod
    def create(cls, folder: Path, session_id: str, cwd: str) -> Memory:
        """Start the file of a new session."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        memory = cls(folder / f"{session_id}.jsonl")
        memory.append({"type": "session", "id": session_id, "cwd": cwd})
        return memory

    def append(self, *records: dict[str, Any]) -> None:
        """Write records durably."""
        data = b"".join(orjson.dumps(record) + b"\n" for record in records)
        with open(self.path, "ab+", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            size = file.tell()
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                file.write(b"\n")
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        for record in records:
            self._take(record)

    def choose(self, settings: Settings) -> None:
        """Store a change of settings."""
        self.append({"type": "settings", **asdict(settings)})

    def records(self) -> Iterator[dict[str, Any]]:
        """Read the file."""
        return _read(self.path)

    def replay(self) -> Iterator[dict[str, Any]]:
        """Yield the session as updates: prompts, messages, thoughts, plans and closed tool calls."""
        open_calls: dict[str, None] = {}
        for record in self.records():
            if record["type"] in ("prompt", "end"):
                yield from _closings(open_calls)
            for block in record.get("blocks", ()):
                yield {"sessionUpdate": "user_message_chunk", "content": block}
            if update := record.get("update"):
                if call := update.get("toolCallId"):
                    open_calls[call] = None
                    if update.get("status") in ("completed", "failed"):
                        del open_calls[call]
                yield update
        yield from _closings(open_calls)

    def _take(self, record: dict[str, Any]) -> None:
        match record:
            case {"type": "settings"}:
                self.settings = Settings(record["mode"], record["model"], record["effort"])
            case {"type": "prompt", "blocks": blocks}:
                for turn in history(blocks) or ():  # it contains earlier turns, which are not remembered yet
                    self.prompts.append(turn["prompt"])
                    self.words += count_words(turn["prompt"]) + count_words(turn["answer"])
                self.prompts.append(prompt_text(blocks))
                self.words += count_words(self.prompts[-1])
                self.turns += 1
            case {"type": "update", "update": {"content": {"text": str(text)}}}:
                self.words += count_words(text)


def stored_sessions(folder: Path, cwd: str | None) -> list[dict[str, Any]]:
    """Return ACP's `SessionInfo` of every session in `folder` (with that `cwd`, if given), newest first."""
    found = []
    for path in folder.glob("*.jsonl"):
        try:
            info = _session_info(path)
        except (KeyError, TypeError, AttributeError, StopIteration):
            continue  # the workspace is anyone's: this file is not ours
        if cwd is None or info["cwd"] == cwd:
            found.append(info)
    return sorted(found, key=lambda info: info["updatedAt"], reverse=True)


def prompt_text(blocks: list[dict[str, Any]]) -> str:
    """Return the user's own words in a prompt."""
    return "\n".join(block["text"] for block in blocks if block.get("type") == "text")


def history(blocks: list[dict[str, Any]]) -> list[dict[str, str]] | None:
    """Return the turns of the replayed history in a prompt; None without a readable one."""
    for block in blocks:
        resource = block["resource"] if block.get("type") == "resource" else {}
        if not str(resource.get("uri", "")).startswith(HISTORY_URI):
            continue
        try:
            turns = orjson.loads(resource["text"])["turns"]
            return [{"prompt": str(turn["prompt"]), "answer": str(turn["answer"])} for turn in turns]
        except (KeyError, TypeError, orjson.JSONDecodeError):
            return None
    return None


def count_words(text: str) -> int:
    """Count as the demo models do: a token is a word."""
    return len(text.split())


def _session_info(path: Path) -> dict[str, Any]:
    records = _read(path)
    head = next(records)
    if head["type"] != "session" or head["id"] != path.stem or not isinstance(head["cwd"], str):
        raise TypeError(path)
    first = next((prompt_text(record["blocks"]) for record in records if record["type"] == "prompt"), "")
    info = {
        "sessionId": path.stem,
        "cwd": head["cwd"],
        "updatedAt": datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="microseconds"),
    }
    if title := " ".join(first.split())[:_TITLE]:
        info["title"] = title
    return info


def _closings(open_calls: dict[str, None]) -> Iterator[dict[str, Any]]:
    for call in open_calls:
        yield {
            "sessionUpdate": "tool_call_update",
            "toolCallId": call,
            "status": "failed",
            "content": [{"type": "content", "content": {"type": "text", "text": "Interrupted."}}],
        }
    open_calls.clear()


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(record, dict) and "type" in record:
                yield record
