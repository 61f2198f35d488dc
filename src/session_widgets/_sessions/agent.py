"""One agent process, and how it regained its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from session_widgets._sessions.answers import Answers
from session_widgets.acp import AcpConnection, Peer
from session_widgets.transcript.options import AgentOptions
from session_widgets.transcript.records import Json, Tier


class Agent:
    """A connection to one agent process, with its capabilities and options."""

    def __init__(self, connection: AcpConnection, peer: Peer) -> None:
        self.connection = connection
        self.peer = peer
        self.answers = Answers(connection)
        self.info: Json = {}
        self.capabilities: Json = {}
        self.session_id = ""
        self.settings = AgentOptions()
        self.model: str | None = None  # of its settings file at the start
        self.offered: str | None = None  # fingerprint of its tools at the start
        self.skills: list[str] = []  # its folders in the workspace
        self.tier: Tier = "warm"  # how it regained its memory, until a prompt has reached it
        self.history: dict[str, Any] | None = None  # the turns missing in its memory, until a prompt has carried them
        self.alone = False  # whether agents of killed kernels were stopped since this one is ours
        self.changes: Json = {}  # the latest report of changed files: `snapshot`, `changes`
        self.dead: Exception | None = None
        self.end_stored = False  # whether `agent_stopped` is stored

    @property
    def id(self) -> str:
        """The connection's id: the `source` of every event that arrives on it."""
        return self.connection.server_id

    def offers(self, name: str) -> bool:
        """Whether `session/<name>` is among the agent's capabilities."""
        if name == "load":
            return bool(self.capabilities.get("loadSession"))
        return (self.capabilities.get("sessionCapabilities") or {}).get(name) is not None

    def take_setup(self, result: Json) -> None:
        """Apply the options in the response to `session/new`, `load` or `resume`."""
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
