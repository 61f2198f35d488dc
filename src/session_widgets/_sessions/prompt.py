"""Validation of prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from session_widgets.errors import BadValue
from session_widgets.transcript.records import Json

_FIELDS = {
    "text": ("text",),
    "image": ("data", "mimeType"),
    "audio": ("data", "mimeType"),
    "resource_link": ("name", "uri"),
}
"""ACP's requirements for a content block, as text; `data` is base64."""
_CAPABILITIES = {"image": "image", "audio": "audio", "resource": "embeddedContext"}
"""The agent's capability for each kind of block."""


def check_prompt(prompt: object) -> list[Json]:
    """Return a prompt as ACP content blocks, or raise `BadValue`."""
    if isinstance(prompt, str):
        if not prompt.strip():
            raise BadValue("the prompt is empty; write what the agent should do.")
        return _sendable([{"type": "text", "text": prompt}])
    if isinstance(prompt, Sequence) and prompt and all(isinstance(b, Mapping) and "type" in b for b in prompt):
        return _sendable([_block(block) for block in prompt])
    raise BadValue(
        "a prompt is text or a list of ACP content blocks such as [{'type': 'text', 'text': 'hello'}]; "
        f"got {prompt!r:.80}."
    )


def check_taken(prompt: Sequence[Json], title: str, capabilities: Json) -> None:
    """Raise `BadValue` if the agent `title` does not support a block of the prompt."""
    takes = capabilities.get("promptCapabilities") or {}
    for block in prompt:
        kind = block["type"]
        if kind in _CAPABILITIES and not takes.get(_CAPABILITIES[kind]):
            raise BadValue(
                f"{title} takes no {kind} in a prompt. Put it into the workspace, for example with "
                "session.files.upload(), and name the file in the prompt."
            )


def check_timeout(timeout: object) -> float | None:
    """Return a timeout in seconds, or raise `BadValue`."""
    if timeout is None or (isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout >= 0):
        return timeout
    raise BadValue(f"timeout must be seconds, 0 or more, or None; got {timeout!r:.80}.")


def check_key(key: object) -> str | None:
    """Return a valid idempotency key, or raise `BadValue`."""
    if key is None or (isinstance(key, str) and key):
        return key
    raise BadValue(f"idempotency_key must be text that names this prompt, or None; got {key!r:.80}.")


def _block(block: Mapping[str, object]) -> Json:
    for name in _FIELDS.get(str(block["type"]), ()):
        if not isinstance(block.get(name), str):
            hint = ", in base64" if name == "data" else ""
            needed = f"needs {name!r}, as text{hint}"
            raise BadValue(f"a block of type {block['type']!r} in a prompt {needed}; got {block!r:.80}.")
    return dict(block)


def _sendable(blocks: list[Json]) -> list[Json]:
    try:
        orjson.dumps(blocks)
    except TypeError as error:
        raise BadValue(f"a prompt must be JSON, its text Unicode without lone surrogates: {error}.") from None
    return blocks
