"""Questions of an agent to a person (`elicitation/create`), and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from session_widgets.errors import ProtocolError
from session_widgets.transcript.envelopes import as_object, as_text
from session_widgets.transcript.question_form import QuestionField, fields_of
from session_widgets.transcript.records import Json

METHOD = "elicitation/create"
Action = Literal["accept", "decline", "cancel"]


@dataclass(frozen=True, slots=True)
class Question:
    """An `elicitation/create` of an agent.

    Attributes:
        message: the agent's question.
        mode: "form" asks for `fields`, "url" to open an address.
        fields: of a form; an empty form asks for a confirmation.
        url: the address, http or https.
        message_sent: the whole envelope, needed for the answer.
    """

    message: str
    mode: Literal["form", "url"]
    fields: tuple[QuestionField, ...]
    url: str | None
    message_sent: Json = field(repr=False)

    @classmethod
    def parse(cls, envelope: Json) -> Question:
        """Read the envelope.

        Raises:
            ProtocolError: the question cannot be answered.
        """
        params = as_object(envelope.get("params"))
        message, mode = as_text(params.get("message")) or "", params.get("mode")
        if mode == "form" and isinstance(params.get("requestedSchema"), Mapping):
            return cls(message, "form", fields_of(params["requestedSchema"]), None, envelope)
        if mode == "url":
            url = as_text(params.get("url")) or ""
            if not _is_web(url):
                raise ProtocolError("the agent asked to open an address that is not http or https")
            return cls(message, "url", (), url, envelope)
        raise ProtocolError("the agent asked a question that is neither a form nor an address")


def answer(action: Action, content: Json | None = None) -> dict[str, Any]:
    """Result that answers a question; `content` belongs to "accept" of a form."""
    return {"action": action} if content is None else {"action": action, "content": dict(content)}


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable() and " " not in url
