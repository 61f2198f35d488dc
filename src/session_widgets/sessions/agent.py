"""One agent process, and how it gets its memory back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from session_widgets.acp import AcpConnection, Peer
from session_widgets.sessions.answers import Answers
from session_widgets.transcript.options import AgentOptions
from session_widgets.transcript.records import Json, Tier


class Agent:
    """A connection to one agent process, with what it said about itself."""

    def __init__(self, connection: AcpConnection, peer: Peer) -> None:
        self.connection = connection
        self.peer = peer
        self.answers = Answers(connection)
        self.info: Json = {}
        self.capabilities: Json = {}
        self.session_id = ""
        self.settings = AgentOptions()
        self.model: str | None = None  # of the settings file that the process was started with
        self.offered: str | None = None  # mark of the tools that the process was started with
        self.skills: list[str] = []  # folders of the workspace that it was given
        self.tier: Tier = "warm"  # how it got its memory, until a prompt has reached it
        self.history: dict[str, Any] | None = None  # what it does not remember, until a prompt has carried it
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
        self.settings.apply(result)


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
