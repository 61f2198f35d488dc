"""Counts the tokens of session files by itself: it imports nothing of session-widgets, and `test_tokens.py` compares.

One model call is one id of the provider over all files, with the maximum of each figure; of Codex the growth of the
cumulative totals counts, without the part that a fork copied. `python recount.py DIRECTORY` prints JSON, a row a file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CLASSES = ("uncached", "read", "written", "written_5m", "written_1h", "output", "reasoning")


def values(path):
    """The JSON values of the lines, without malformed ones; a file that is one document is one value."""
    text = path.read_text(errors="replace")
    try:
        return [json.loads(text)]
    except ValueError:
        pass
    found = []
    for line in text.split("\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [value for value in found if isinstance(value, dict)]


def claude(records):
    for record in records:
        message = record.get("message")
        if record.get("type") == "assistant" and message.get("model") != "<synthetic>":
            usage = message.get("usage") or {}
            lives = usage.get("cache_creation") or {}
            yield (
                message["id"],
                {
                    "uncached": usage.get("input_tokens"),
                    "read": usage.get("cache_read_input_tokens"),
                    "written": usage.get("cache_creation_input_tokens"),
                    "written_5m": lives.get("ephemeral_5m_input_tokens"),
                    "written_1h": lives.get("ephemeral_1h_input_tokens"),
                    "output": usage.get("output_tokens"),
                },
            )


def codex(records):
    root, before, seen = "", None, ()
    for number, record in enumerate(records):
        payload = record.get("payload") or {}
        if record.get("type") == "session_meta":
            root = payload.get("forked_from_id") or payload["id"] if number == 0 else payload["id"]
        info = payload.get("info") or {}
        if payload.get("type") == "token_count" and info.get("total_token_usage"):
            names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
            total, last = (
                [info.get(key, {}).get(name, 0) for name in names] for key in ("total_token_usage", "last_token_usage")
            )
            if total == before:
                continue
            shrunk = before is None or any(new < old for new, old in zip(total, before, strict=True))
            grown = (
                (last if any(last) else total)
                if shrunk
                else [new - old for new, old in zip(total, before, strict=True)]
            )
            before, seen = total, (*seen, *total)
            if any(grown):
                yield (
                    (root, seen),
                    {"uncached": grown[0] - grown[1], "read": grown[1], "output": grown[2], "reasoning": grown[3]},
                )


def pi(records):
    for record in records:
        message = record.get("message") or {}
        if usage := message.get("usage"):
            key = message.get("responseId") or (message["timestamp"], message["model"], *map(str, usage.values()))
            yield (
                key,
                {
                    "uncached": usage["input"],
                    "read": usage["cacheRead"],
                    "written": usage["cacheWrite"],
                    "output": usage["output"],
                },
            )


def opencode(records):
    parts = [part for record in records for message in record.get("messages", ()) for part in message["parts"]]
    for part in [*parts, *(record["part"] for record in records if "part" in record)]:
        if part["type"] == "step-finish":
            tokens, cache = part["tokens"], part["tokens"]["cache"]
            output = tokens["output"] + tokens["reasoning"]
            yield (
                part["id"],
                {
                    "uncached": tokens["input"],
                    "read": cache["read"],
                    "written": cache["write"],
                    "output": output,
                    "reasoning": tokens["reasoning"],
                },
            )


def gemini(records):
    for record in records:
        if tokens := record.get("tokens"):
            yield (
                record["id"],
                {
                    "uncached": tokens["input"] - tokens["cached"],
                    "read": tokens["cached"],
                    "output": tokens["output"] + tokens["thoughts"],
                    "reasoning": tokens["thoughts"],
                },
            )


def qwen(records):
    for record in records:
        if usage := record.get("usageMetadata"):
            cached, thoughts = usage["cachedContentTokenCount"], usage["thoughtsTokenCount"]
            yield (
                record["uuid"],
                {
                    "uncached": usage["promptTokenCount"] - cached,
                    "read": cached,
                    "output": usage["candidatesTokenCount"] + thoughts,
                    "reasoning": thoughts,
                },
            )


def copilot(records):
    for record in records:
        if record.get("type") == "session.usage_record":
            usage = record["data"]["usage"]
            read, written = usage["cacheReadTokens"], usage["cacheWriteTokens"]
            uncached = usage["inputTokens"] - read - written
            yield (
                usage["apiCallId"],
                {"uncached": uncached, "read": read, "written": written, "output": usage["outputTokens"]},
            )


READERS = {
    "copilot": copilot,
    "claude_code": claude,
    "codex": codex,
    "pi": pi,
    "opencode": opencode,
    "gemini": gemini,
    "qwen": qwen,
}


def recount(root):
    """Sums by top folder, over all files in it: {folder: {"calls": n, class: tokens}}."""
    sums = {}
    for path in sorted(root.rglob("*.json*")):
        parts = path.relative_to(root).parts[:-1]
        folder = "/".join(parts[:2] if parts[:1] == ("formats_handmade",) else parts[:1])
        reader = next((read for name, read in READERS.items() if folder.rpartition("/")[2].startswith(name)), None)
        for key, usage in reader(values(path)) if reader else ():
            calls = sums.setdefault(folder, {}).setdefault(key, dict.fromkeys(CLASSES))
            for name, count in usage.items():
                calls[name] = max((each for each in (calls[name], count) if each is not None), default=None)
    total = lambda calls, name: sum(call[name] or 0 for call in calls.values())  # noqa: E731
    return {
        folder: {"calls": len(calls), **{name: total(calls, name) for name in CLASSES}}
        for folder, calls in sums.items()
    }


if __name__ == "__main__":
    print(json.dumps(recount(Path(sys.argv[1])), indent=2))
