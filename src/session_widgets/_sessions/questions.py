"""Questions that the agent asks a person: a form to fill in, or an address to open. No timer answers one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from session_widgets._sessions.agent import Agent
from session_widgets._sessions.journal import Journal, draft, note
from session_widgets._sessions.loop import private_loop
from session_widgets.acp import messages
from session_widgets.acp.questions import METHOD, Action, Question, answer
from session_widgets.errors import BadValue, ProtocolError
from session_widgets.transcript.envelopes import as_text, permission_request_id
from session_widgets.transcript.notes import QuestionAnswered
from session_widgets.transcript.question_form import QuestionField, check_answer, without_secrets
from session_widgets.transcript.records import Event

Spawn = Callable[[Coroutine[Any, Any, Any]], Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question.

    Attributes:
        action: "accept" with `content`, "decline", or "cancel": no answer.
        content: values by field name.
        by: `user`, `user:cell`, or `policy:deny`.
        reason: why no person was asked, or empty.
    """

    action: Action
    content: Mapping[str, Any] | None = None
    by: str = "user"
    reason: str = ""


CANCELLED = Answer("cancel", reason="the turn was cancelled")


@dataclass(frozen=True, slots=True)
class QuestionRequest:
    """An open question of the agent. All its text is the agent's: show it escaped.

    Attributes:
        id: unique over the session's life.
        message: the agent's question.
        mode: "form" asks for `fields`, "url" to open `url`, an address that the agent chose.
        fields: of a form; an empty form asks for a confirmation.
        url: the address, else None.

    Example:
        >>> session.questions[0].accept({"answer": "blue"})
        True
    """

    id: str
    session_id: str
    turn: int
    message: str
    mode: Literal["form", "url"]
    fields: tuple[QuestionField, ...]
    url: str | None
    _answer: Callable[[QuestionRequest, Answer], Awaitable[bool]]

    def accept(self, content: Mapping[str, Any] | None = None) -> bool:
        """Accept. Returns False if the question was already answered.

        Args:
            content: values by field name; nothing for an address that was opened.

        Raises:
            BadValue: a value is missing or invalid for its field.
        """
        return self.answer(Answer("accept", content))

    def decline(self) -> bool:
        """Decline. Returns False if the question was already answered."""
        return self.answer(Answer("decline"))

    def cancel(self) -> bool:
        """Give no answer; the agent continues without one. Returns False if the question was already answered."""
        return self.answer(Answer("cancel"))

    def answer(self, given: Answer) -> bool:
        """Answer with a given answer. Returns False if the question was already answered."""
        return private_loop().run(self.answer_async(given))

    async def answer_async(self, given: Answer) -> bool:
        """Answer from the private loop itself."""
        if given.action == "accept" and self.mode == "form":
            if not isinstance(given.content, Mapping | None):
                raise BadValue(f"content must be values by the fields' names; got {type(given.content).__name__}.")
            given = Answer("accept", check_answer(self.fields, given.content or {}), given.by, given.reason)
        return await self._answer(self, given)


class Questions:
    """The open questions of a session. Lives on the private loop.

    Attributes:
        pending: by id, oldest first.
    """

    def __init__(
        self, journal: Journal, spawn: Spawn, refuses: Callable[[], bool], on_change: Callable[[], None]
    ) -> None:
        """Take a question's dependencies; `refuses` returns whether the session's policy declines all."""
        self.pending: dict[str, QuestionRequest] = {}
        self._journal = journal
        self._spawn = spawn
        self._refuses = refuses
        self._on_change = on_change
        self._open: dict[str, tuple[Agent, Question]] = {}
        self._cancelling = False

    def take_again(self, agent: Agent, events: Iterable[Event], turn: int) -> None:
        """Resume the questions of another process's turn: ask the open ones, send the stored answers again."""
        events = list(events)
        notes = [QuestionAnswered.decode(e.payload) for e in events if e.kind == QuestionAnswered.kind]
        answered = {note.request_id: note for note in notes}
        asked = {e.payload.get("id"): e for e in events if e.method == METHOD and e.direction == "in"}
        for event in events:
            if event.method == METHOD and event.direction == "out":
                said = answered.get(permission_request_id(agent.id, event.payload.get("id")))
                envelope = dict(event.payload)
                if (
                    said is not None and said.secrets
                ):  # secrets were not stored: an agent without the answer has to ask again
                    envelope["result"] = answer("cancel")
                self._spawn(agent.answers.send_again(envelope))
        for id_, event in asked.items():
            if permission_request_id(agent.id, id_) not in answered:
                self._spawn(self.take(agent, dict(event.payload), turn))

    async def take(self, agent: Agent, message: dict[str, Any], turn: int) -> None:
        """Ask a person a stored question of the agent.

        Raises:
            ProtocolError: it cannot be asked; the caller refuses it.
        """
        id_ = permission_request_id(agent.id, message["id"])
        if id_ in self._open:  # both the stream and the store had it
            return
        try:
            asked = Question.parse(message)
        except ProtocolError as error:
            refused = QuestionAnswered(request_id=id_, action="refused", reason=str(error))
            await self._journal.commit([note(refused, turn=turn, source=f"question:{id_}")])
            raise
        request = QuestionRequest(
            id_, self._journal.session_id, turn, asked.message, asked.mode, asked.fields, asked.url, self._answer
        )
        self._open[id_] = agent, asked
        if self._cancelling:
            await self._answer(request, CANCELLED)
        elif self._refuses():
            await self._answer(request, Answer("decline", None, "policy:deny", "the policy rejects everything"))
        else:
            self.pending[id_] = request
            self._on_change()

    def waits(self, request: QuestionRequest) -> bool:
        """Whether a question is still open."""
        return request.id in self.pending

    def stop(self) -> None:
        """Answer the agent's questions from now on with `cancel`, as a cancelled turn must."""
        self._cancelling = True

    async def cancel_all(self) -> None:
        """Answer every question of the turn with `cancel`: open and future ones."""
        self.stop()
        for request in tuple(self.pending.values()):
            await self._answer(request, CANCELLED)

    def forget(self) -> None:
        """Drop the open questions of an ended turn."""
        self.pending.clear()
        self._open.clear()
        self._cancelling = False

    async def _answer(self, request: QuestionRequest, given: Answer) -> bool:
        """Store the answer without secrets, and send it whole. Only the first one counts; later calls return False."""
        if request.id not in self._open:
            return False
        agent, asked = self._open[request.id]
        content = None if given.action != "accept" or request.mode == "url" else dict(given.content or {})
        kept = None if content is None else without_secrets(request.fields, content)
        hidden = [field.name for field in request.fields if field.secret and field.name in (content or {})]
        source = f"question:{request.id}"
        said = QuestionAnswered(
            request_id=request.id,
            action=given.action,
            content=kept,
            secrets=hidden,
            answered_by=given.by,
            reason=given.reason or None,
        )
        answered = note(said, turn=request.turn, source=source)
        stored = messages.result(asked.message_sent, answer(given.action, kept))
        out = draft("out", "response", stored, request.turn, method=METHOD, source=source, source_seq=2)
        written = await self._journal.commit([answered, out])
        self.pending.pop(request.id, None)
        self._open.pop(request.id, None)
        self._on_change()
        envelope = messages.result(asked.message_sent, answer(given.action, content))
        return bool(written) and await agent.answers.send(envelope)


def is_question(message: Mapping[str, Any]) -> bool:
    """Whether a request of the agent is a question."""
    return as_text(message.get("method")) == METHOD
