"""What may be sent to an agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from session_widgets.errors import BadValue
from session_widgets.model import Json


def check_prompt(prompt: object) -> list[Json]:
    """Return a prompt as ACP content blocks, or raise `BadValue`."""
    if isinstance(prompt, str):
        if not prompt.strip():
            raise BadValue("the prompt is empty; write what the agent should do.")
        return _sendable([{"type": "text", "text": prompt}])
    if isinstance(prompt, Sequence) and prompt and all(isinstance(b, Mapping) and "type" in b for b in prompt):
        return _sendable([dict(block) for block in prompt])
    raise BadValue(
        "a prompt is text or a list of ACP content blocks such as [{'type': 'text', 'text': 'hello'}]; "
        f"got {prompt!r:.80}."
    )


def check_timeout(timeout: object) -> float | None:
    """Return a timeout in seconds, or raise `BadValue`."""
    if timeout is None or (isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout >= 0):
        return timeout
    raise BadValue(f"timeout must be seconds, 0 or more, or None; got {timeout!r:.80}.")


def check_key(key: object) -> str | None:
    """Return an idempotency key if it can be one, or raise `BadValue`."""
    if key is None or (isinstance(key, str) and key):
        return key
    raise BadValue(f"idempotency_key must be text that names this prompt, or None; got {key!r:.80}.")


def _sendable(blocks: list[Json]) -> list[Json]:
    try:
        orjson.dumps(blocks)
    except TypeError as error:
        raise BadValue(f"a prompt must be JSON, its text Unicode without lone surrogates: {error}.") from None
    return blocks
