"""What may be sent to an agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from session_widgets.errors import BadValue
from session_widgets.model import Json


def check_prompt(prompt: object) -> list[Json]:
    """Return a prompt as ACP content blocks, or raise `BadValue`."""
    if isinstance(prompt, str):
        if not prompt.strip():
            raise BadValue("the prompt is empty; write what the agent should do.")
        return [{"type": "text", "text": prompt}]
    if isinstance(prompt, Sequence) and prompt and all(isinstance(b, Mapping) and "type" in b for b in prompt):
        return list(prompt)
    raise BadValue(
        "a prompt is text or a list of ACP content blocks such as [{'type': 'text', 'text': 'hello'}]; "
        f"got {prompt!r:.80}."
    )
