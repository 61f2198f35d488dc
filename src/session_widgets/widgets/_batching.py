"""Items of bounded size: the text that was added to a step, and batches of changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from session_widgets.transcript.records import Step
from session_widgets.widgets._protocol import MAX_BYTES, MAX_ITEMS, AppendItem, Item
from session_widgets.widgets._text import safe
from session_widgets.widgets._views import CLIP
from session_widgets.widgets._wire import millis, tail


def append_item(step: Step, text: str) -> AppendItem:
    """Return the item for text that was added at the end of a step."""
    whole = step.text or ""
    room = max(0, CLIP - (len(whole) - len(text)))
    item: AppendItem = {
        "type": "append",
        "turn": step.turn,
        "index": step.index,
        "text": safe(text[:room]),
        "length": len(whole),
        "at": millis(step.ended_at),
    }
    if len(whole) > CLIP:
        item["tail"] = tail(whole)
    return item


def in_batches(items: list[Item]) -> Iterator[list[Item]]:
    """Yield the items in lists of bounded number and size."""
    batch: list[Item] = []
    size = 0
    for item in items:
        grown = size_of(item)
        if batch and (len(batch) == MAX_ITEMS or size + grown > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += grown
    if batch:
        yield batch


def size_of(value: Any) -> int:
    """Return the bytes of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode())
