"""One agent process, and how it gets its memory back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from session_widgets.acp import AcpConnection, Peer
from session_widgets.errors import BadValue
from session_widgets.model import Json, TurnRecord

HISTORY_URI = "session-widgets:history"
HISTORY_CHARACTERS = 100_000

CATEGORIES = {"model": "model", "mode": "mode", "effort": "thought_level"}


class Agent:
    """A connection to one agent process, with what it said about itself."""

    def __init__(self, connection: AcpConnection, peer: Peer) -> None:
        self.connection = connection
        self.peer = peer
        self.info: Json = {}
        self.capabilities: Json = {}
        self.session_id = ""
        self.config: Sequence[Json] = ()
        self.modes: Json = {}
        self.dead: Exception | None = None

    @property
    def id(self) -> str:
        """The connection's id: the `source` of everything that arrives on it."""
        return self.connection.server_id

    def offers(self, name: str) -> bool:
        """Whether `session/<name>` is among the agent's capabilities."""
        if name == "load":
            return bool(self.capabilities.get("loadSession"))
        return (self.capabilities.get("sessionCapabilities") or {}).get(name) is not None

    def take_setup(self, result: Json) -> None:
        """Remember the options that a `session/new`, `load` or `resume` answered with."""
        self.config = result.get("configOptions") or self.config
        self.modes = result.get("modes") or self.modes

    def setting(self, name: str, value: str) -> tuple[str, dict[str, Any]] | None:
        """Return the request that sets model, mode or effort, or None if it is set already.

        Raises:
            BadValue: the agent has no such setting, or not this value.
        """
        for option in self.config:
            if option.get("category") == CATEGORIES[name]:
                values = [choice.get("value") for choice in _choices(option)]
                _check(name, value, values)
                if option.get("currentValue") == value:
                    return None
                params = {"sessionId": self.session_id, "configId": option["id"], "value": value}
                return "session/set_config_option", params
        if name == "mode" and self.modes:
            _check(name, value, [mode.get("id") for mode in self.modes.get("availableModes") or ()])
            if self.modes.get("currentModeId") == value:
                return None
            return "session/set_mode", {"sessionId": self.session_id, "modeId": value}
        raise BadValue(f"this agent has no setting for {name}; open the session without {name}={value!r:.80}.")


def _choices(option: Json) -> Sequence[Json]:
    """Return the values of a select option; groups are flattened."""
    flat: list[Json] = []
    for choice in option.get("options") or ():
        flat += choice["options"] if isinstance(choice.get("options"), list) else [choice]
    return flat


def _check(name: str, value: str, values: Sequence[object]) -> None:
    if value not in values:
        known = ", ".join(repr(known) for known in values)
        raise BadValue(f"{name} must be one of {known} for this agent; got {value!r:.80}.")


def history_block(turns: Sequence[TurnRecord], *, embedded: bool) -> dict[str, Any] | None:
    """Return earlier turns as a content block that is marked as history, never as the user's words.

    Whole turns, the newest kept, at most `HISTORY_CHARACTERS` characters; None if there is nothing to tell.
    """
    kept: list[dict[str, str]] = []
    room = HISTORY_CHARACTERS
    for turn in reversed(turns):
        entry = {"prompt": prompt_text(turn.prompt), "answer": turn.text}
        room -= len(entry["prompt"]) + len(entry["answer"])
        if room < 0 and kept:
            break
        kept.insert(0, entry)
    if not kept:
        return None
    text = orjson.dumps({"turns": kept}).decode()
    if embedded:
        return {"type": "resource", "resource": {"uri": HISTORY_URI, "mimeType": "application/json", "text": text}}
    return {"type": "text", "text": f"<{HISTORY_URI}>\n{text}\n</{HISTORY_URI}>"}


def prompt_text(blocks: Sequence[Json]) -> str:
    """Return the text blocks of a prompt, joined."""
    return "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def replayed_prompts(updates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the user's words in a `session/load` replay, one string a message."""
    prompts: list[str] = []
    open_id: object = None
    previous = ""
    for update in updates:
        kind = update.get("sessionUpdate", "")
        if kind == "user_message_chunk":
            text = str((update.get("content") or {}).get("text", ""))
            if previous == kind and update.get("messageId") == open_id:
                prompts[-1] += text
            else:
                prompts.append(text)
            open_id = update.get("messageId")
        previous = kind
    return prompts
