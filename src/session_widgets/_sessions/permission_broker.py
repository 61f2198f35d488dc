"""Requests of the agent: permissions through the policy, all others refused."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from session_widgets._sessions.agent import Agent
from session_widgets._sessions.announced import AnnouncedCalls
from session_widgets._sessions.answers import ForeignAnswer
from session_widgets._sessions.cell import FrontendState, ask, must_ask_here
from session_widgets._sessions.cell_form import ask_question
from session_widgets._sessions.journal import Journal, draft, note
from session_widgets._sessions.loop import in_thread, private_loop
from session_widgets._sessions.permissions import Decision, PermissionRequest, Policy, decide
from session_widgets._sessions.questions import Questions, is_question
from session_widgets.acp import messages
from session_widgets.acp.permissions import PermissionRequest as Asked
from session_widgets.acp.permissions import cancelled, selected
from session_widgets.errors import ProtocolError, StoreError
from session_widgets.transcript.envelopes import as_object, as_text, permission_request_id, update_of
from session_widgets.transcript.notes import PermissionDecision
from session_widgets.transcript.records import Draft, Event, Json

CANCELLED = Decision(None, "user", "the turn was cancelled")

Spawn = Callable[[Coroutine[Any, Any, Any]], Any]


class PermissionBroker:
    """The open permission requests of a session. Lives on the private loop.

    Attributes:
        policy: answers first; open requests wait in `pending`.
        page: state of the page that shows this session.
        questions: of the agent to a person.
        approved_modes: modes that a person approved in the running turn.
    """

    def __init__(self, journal: Journal, policy: Policy, spawn: Spawn, on_change: Callable[[], None]) -> None:
        self.policy = policy
        self.pending: dict[str, PermissionRequest] = {}
        self.page = FrontendState()
        self.questions = Questions(journal, spawn, lambda: self.policy == "deny", on_change)
        self.approved_modes: set[str] = set()
        self._journal = journal
        self._spawn = spawn
        self._on_change = on_change
        self._open: dict[str, tuple[PermissionRequest, Agent, Asked]] = {}  # also while the policy function runs
        self._announced = AnnouncedCalls()
        self._cancelling = False

    @property
    def waits(self) -> bool:
        """Whether a person has to answer."""
        return bool(self.pending or self.questions.pending)

    def take_update(self, update: Json) -> None:
        """Keep the content of a stored update of a tool call, for a later request."""
        self._announced.take_update(update)

    def take(self, agent: Agent, message: dict[str, Any], turn: int | None) -> None:
        """Answer a stored request of the agent, or ask a person."""
        self._spawn(self._take(agent, message, turn))

    def take_again(self, agent: Agent, events: Iterable[Event], turn: int) -> None:
        """Resume the requests of another process's turn: ask the open ones, send the stored answers again."""
        events = list(events)
        self.questions.take_again(agent, events, turn)
        decided = {PermissionDecision.decode(e.payload).request_id for e in events if e.kind == PermissionDecision.kind}
        for event in events:
            if event.direction == "in" and event.method == "session/update":
                self.take_update(update_of(event.payload))
            if event.method != "session/request_permission":
                continue
            if event.direction == "out":
                self._spawn(agent.answers.send_again(dict(event.payload)))
            elif permission_request_id(agent.id, event.payload.get("id")) not in decided:
                self.take(agent, dict(event.payload), turn)

    def set_policy(self, policy: Policy) -> None:
        """Use another policy from now on, and notify the pages; from any thread."""
        self.policy = policy
        self.page.tell()

    def stop(self) -> None:
        """Answer the agent's requests from now on with `cancelled`, as a cancelled turn must."""
        self._cancelling = True
        self.questions.stop()

    async def cancel_all(self) -> None:
        """Answer every request of the turn with `cancelled`: open and future ones."""
        self.stop()
        for request, _, _ in tuple(self._open.values()):
            await self._answer(request, CANCELLED)
        await self.questions.cancel_all()

    def forget(self) -> None:
        """Drop the open requests of an ended turn."""
        self.pending.clear()
        self._open.clear()
        self.approved_modes.clear()
        self._announced.clear()
        self.questions.forget()
        self._cancelling = False
        self._on_change()

    def answer_here(self) -> None:
        """Ask open requests in the cell, if no click can arrive while the calling thread blocks."""
        if must_ask_here(self.page, awaiting=False):
            for request in tuple(self.pending.values()):
                if (decision := ask(request, self.page, partial(self._waits, request))) is not None:
                    request.answer(decision)
            for question in tuple(self.questions.pending.values()):
                if (answer := ask_question(question, self.page, partial(self.questions.waits, question))) is not None:
                    question.answer(answer)

    async def answer_here_async(self) -> None:
        """Ask open requests in the cell, if no click can arrive although the caller awaits."""
        if must_ask_here(self.page, awaiting=True):
            for request in tuple(self.pending.values()):
                if (decision := ask(request, self.page, partial(self._waits, request))) is not None:
                    await private_loop().aio(request.answer_async(decision))
            for question in tuple(self.questions.pending.values()):
                if (answer := ask_question(question, self.page, partial(self.questions.waits, question))) is not None:
                    await private_loop().aio(question.answer_async(answer))

    def _waits(self, request: PermissionRequest) -> bool:
        return request.id in self.pending

    async def _take(self, agent: Agent, message: dict[str, Any], turn: int | None) -> None:
        method = message["method"]
        if is_question(message) and turn is not None:
            try:
                await self.questions.take(agent, message, turn)
            except ProtocolError as error:
                await self._refuse(agent, message, turn, messages.INVALID_PARAMS, str(error))
            return
        if method != "session/request_permission" or turn is None:
            text = f"session-widgets offers no {method} here: the agent's own machine has its files and terminals"
            await self._refuse(agent, message, turn, messages.METHOD_NOT_FOUND, text)
            return
        try:
            asked = Asked.parse(message)
            asked = replace(asked, tool_call=self._announced.complete(asked.tool_call))
        except ProtocolError as error:
            await self._refuse(agent, message, turn, messages.INVALID_PARAMS, str(error))
            return
        request = PermissionRequest(
            id=permission_request_id(agent.id, message["id"]),
            session_id=self._journal.session_id,
            turn=turn,
            title=asked.title,
            tool_kind=asked.tool_kind,
            tool_call=asked.tool_call,
            options=asked.options,
            _answer=self._answer,
        )
        if request.id in self._open:  # both the stream and the store had it
            return
        self._open[request.id] = (request, agent, asked)
        with suppress(StoreError):  # without a stored answer a person has to decide
            if (decision := await self._decide(request)) is not None:
                await self._answer(request, decision)
        if request.id in self._open:  # the turn may have ended while the function ran
            self.pending[request.id] = request
            self._on_change()

    async def _decide(self, request: PermissionRequest) -> Decision | None:
        if self._cancelling:
            return CANCELLED
        if callable(self.policy):
            return await in_thread(decide, self.policy, request)
        return decide(self.policy, request)

    async def _answer(self, request: PermissionRequest, decision: Decision) -> bool:
        """Store the decision and send it. Only the first stored one counts; later calls return False."""
        if request.id not in self._open:
            return False
        _, agent, asked = self._open[request.id]
        option = decision.option
        envelope = messages.result(asked.message, cancelled() if option is None else selected(option))
        source = f"permission:{request.id}"
        said = PermissionDecision(
            request_id=request.id,
            outcome="cancelled" if option is None else "selected",
            option_id=option.id if option else None,
            option_kind=option.kind if option else None,
            decided_by=decision.by,
            reason=decision.reason or None,
        )
        decided = note(said, turn=request.turn, source=source)
        written = await self._journal.commit([decided, _out(envelope, request.turn, source)])
        self.pending.pop(request.id, None)
        self._open.pop(request.id, None)
        if written and option is not None and _approves_mode(request, decision):
            self.approved_modes.add(option.id)
        self._on_change()
        return bool(written) and await agent.answers.send(envelope)

    async def check(self, agent: Agent, message: dict[str, Any], turn: int | None) -> None:
        """Handle the runner's notice of a delivered answer.

        Raises:
            ForeignAnswer: this session has not given that answer. A permission's decision is then stored.
        """
        told = as_object(message.get("params"))
        request_id = permission_request_id(agent.id, told.get("id"))
        journal = self._journal
        stored = partial(journal.ask, journal.store.sent_answer, journal.session_id, request_id)
        if await agent.answers.are_ours(told, stored):
            return
        outcome = as_object(told.get("outcome"))
        option_id = as_text(outcome.get("optionId"))
        request, _, _ = self._open.pop(request_id, (None, None, None))
        option = next((one for one in request.options if one.id == option_id), None) if request else None
        if outcome:
            said = PermissionDecision(
                request_id=request_id,
                outcome="selected" if outcome.get("outcome") == "selected" else "cancelled",
                option_id=option_id,
                option_kind=option.kind if option else None,
                decided_by="elsewhere",
                reason="the agent got this answer from something that is not this session",
            )
            await self._journal.commit([note(said, turn=turn, source=f"permission:{request_id}")])
        self.pending.pop(request_id, None)
        self._on_change()
        raise ForeignAnswer(
            f"a request of the agent{f' ({request.title!r:.80})' if request else ''} was answered"
            f"{f' with {option_id!r:.40}' if option_id else ''} by something that is not this session: by the agent "
            "itself, which can do so where its sandbox isolates nothing, or by another client of its runner. The agent "
            "was ended"
        )

    async def _refuse(self, agent: Agent, message: dict[str, Any], turn: int | None, code: int, text: str) -> None:
        envelope = messages.error(message, code, text)
        request_id = permission_request_id(agent.id, message["id"])
        refusal = draft("out", "error", envelope, turn, method=message["method"], source=f"refusal:{request_id}")
        await self._journal.commit([refusal])
        await agent.answers.send(envelope)


def _approves_mode(request: PermissionRequest, decision: Decision) -> bool:
    """Whether a person, or their function, approved another mode: such options are named by the mode."""
    by, option = decision.by.partition(":")[0], decision.option
    allows = option is not None and option.kind.startswith("allow")
    return allows and request.tool_kind == "switch_mode" and by in {"user", "function"}


def _out(envelope: dict[str, Any], turn: int, source: str) -> Draft:
    method = "session/request_permission"
    return draft("out", "response", envelope, turn, method=method, source=source, source_seq=2)
