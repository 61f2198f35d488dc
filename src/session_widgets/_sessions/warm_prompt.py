"""A prompt for an agent that is ready: it is stored in the commit that begins its turn, and sent at once."""

from __future__ import annotations

from collections.abc import Sequence

from session_widgets._sessions.agent import Agent
from session_widgets._sessions.journal import draft, note
from session_widgets.acp import Call
from session_widgets.errors import SessionError
from session_widgets.transcript.notes import MemoryRestored
from session_widgets.transcript.records import Draft, Json


def ask(agent: Agent, prompt: Sequence[Json]) -> Call:
    """Return the request with a prompt, after the history that the agent's memory lacks."""
    blocks = ([agent.history] if agent.history else []) + list(prompt)
    return agent.peer.request("session/prompt", {"sessionId": agent.session_id, "prompt": blocks})


def prompt_drafts(agent: Agent, call: Call, turn: int, undelivered: int = 0) -> list[Draft]:
    """Return what is stored before a prompt is sent.

    Args:
        agent: the receiver.
        call: the request.
        turn: its number.
        undelivered: how many agents had exited before they received it. From any process, each can be sent one prompt.
    """
    attempt = f":{undelivered + 1}" if undelivered else ""
    restored = MemoryRestored(tier=agent.tier, handed_over=agent.history is not None)
    source = f"turn:{turn}:prompt{attempt}"
    return [
        note(restored, turn=turn, source=f"turn:{turn}:tier{attempt}"),
        draft("out", "request", call.envelope, turn, method="session/prompt", source=source),
    ]


class WarmPrompt:
    """The prompt of a turn that does not exist yet.

    Args:
        agent: is ready as far as this process knows.
        prompt: the user's content blocks.
        notes: to be stored in the same commit.
        cursor: `seq` of the latest event that this process knows. Others may have changed the session since.
    """

    def __init__(self, agent: Agent, prompt: Sequence[Json], notes: list[Draft], cursor: int) -> None:
        self.agent = agent
        self.call = ask(agent, prompt)
        self.notes = notes
        self._cursor = cursor

    def drafts(self, turn: int, last_seq: int) -> list[Draft]:
        """Return what is stored with the turn; nothing if others have changed the session."""
        return [*self.notes, *prompt_drafts(self.agent, self.call, turn)] if last_seq == self._cursor else []

    def drop(self) -> None:
        """Forget the request: it was not stored."""
        self.agent.peer.fail(self.call.id, SessionError("the prompt was not sent"))
