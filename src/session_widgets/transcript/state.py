"""The state that a turn needs of all earlier events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from session_widgets.printing import one_line
from session_widgets.transcript.envelopes import as_object, as_text, is_of_subagent, update_of
from session_widgets.transcript.notes import (
    AgentStarted,
    AgentStopped,
    Note,
    SandboxStarted,
    SandboxStopped,
    SessionChanged,
    SessionForked,
    SessionOpened,
    SessionSandbox,
    TurnEnded,
    TurnStarted,
    WorkspaceAttached,
    read_note,
)
from session_widgets.transcript.options import AgentOptions
from session_widgets.transcript.records import Event, SessionRecord
from session_widgets.transcript.usage import amount_of, restarts_with_process

TITLE_LIMIT = 200
"""Limit of an agent's title, in characters."""

_CHOICES = ("title", "model", "mode", "effort")
_PLACE = ("harness", "sandbox", "workspace", "attachment")
"""Facts of every session: an empty one in a note changes nothing."""


@dataclass(frozen=True, slots=True)
class FoldState:
    """The state that later turns need of all earlier events.

    Attributes:
        session: None until `session_opened`.
        connection: of the latest `agent_started`; it qualifies the ids of the agent's requests.
        agent: name and version that the agent reported: "OpenCode 1.18.33".
        model: model that the agent reported, by its own id.
        asked_model: id and model of an unanswered `session/set_model`.
        totals: the agent's running totals by currency ("" for none); a turn's cost is their growth.
        outside: costs outside turns: harness, currency, amount.
    """

    session: SessionRecord | None = None
    connection: str = ""
    agent_session_id: str | None = None
    agent: str = ""
    model: str | None = None
    asked_model: tuple[str, str] | None = None
    totals: Mapping[str, Decimal] = field(default_factory=dict)
    outside: tuple[tuple[str, str, Decimal], ...] = ()


def apply_note(state: FoldState, event: Event) -> FoldState:
    """Return the state after a note; only session data changes here."""
    note = read_note(event.kind, event.payload)
    if isinstance(note, AgentStarted):
        state = _agent_started(state, note)
    if state.session is None:
        return replace(state, session=_opened(event, note)) if isinstance(note, SessionOpened) else state
    if isinstance(note, SessionForked):
        return replace(state, session=_forked(state.session, event, note), outside=())
    facts = _facts(state, state.session, event, note)
    model = None if "harness" in facts else state.model
    return replace(state, session=replace(state.session, **facts), model=model) if facts else state


def _facts(state: FoldState, session: SessionRecord, event: Event, note: Note | None) -> dict[str, Any]:
    """Return a note's changes to the session."""
    match note:
        case SessionChanged():
            return _changed(note)
        case SessionSandbox():
            return {"confine": note.confine}
        case WorkspaceAttached():
            return {"mount_report": note.mount_report}
        case SandboxStarted():
            started = {"sandbox_ref": note.ref, "sandbox_running": True, "launch": note.launch}
            return started | ({"status": "idle"} if session.status in {"new", "parked"} else {})
        case SandboxStopped(reason="parked"):
            return {"connection": None, "sandbox_running": False, "status": "parked"}
        case SandboxStopped():
            ended = {"sandbox_ref": None} if note.reason in {"deleted", "gone", "switched", "changed"} else {}
            return {"connection": None, "sandbox_running": False} | ended
        case AgentStarted():
            return {"connection": state.connection, "agent_session_id": state.agent_session_id}
        case AgentStopped() if note.connection == session.connection:
            return {"connection": None}
        case TurnStarted():
            return {"status": "running", "turns": max(session.turns, event.turn or 0)}
        case TurnEnded():
            return {"status": "idle"}
    return {}


def _forked(session: SessionRecord, event: Event, note: SessionForked) -> SessionRecord:
    """Return a copied session: it has no sandbox of its own yet."""
    return replace(
        session,
        workspace=note.workspace,
        attachment=note.attachment,
        mount_report="",
        sandbox_ref=None,
        sandbox_running=False,
        launch=None,
        connection=None,
        status="parked",
        created_at=event.ts,
        forked_from=note.session,
        forked_at_turn=note.turn,
    )


def _changed(note: SessionChanged) -> dict[str, Any]:
    said = note.encode()
    facts = {name: said[name] for name in _CHOICES if name in said}
    facts |= {name: said[name] for name in _PLACE if said.get(name)}
    return facts | ({"title_by_agent": False} if "title" in said else {})


def _agent_started(state: FoldState, note: AgentStarted) -> FoldState:
    session_id, connection, info = note.agent_session_id, note.connection, note.agent_info
    agent = f"{as_text(info.get('name')) or ''} {as_text(info.get('version')) or ''}".strip()
    if session_id != state.agent_session_id or (restarts_with_process(agent) and connection != state.connection):
        state = replace(state, totals={})
    model = AgentOptions(note.config, note.modes, note.models).current("model") or note.model
    return replace(
        state, agent_session_id=session_id, connection=connection, agent=agent, model=model, asked_model=None
    )


def apply_model(state: FoldState, event: Event) -> FoldState:
    """Return the state after an envelope that may report the agent's current model."""
    said = event.payload
    if event.method == "session/set_model":
        if event.direction == "out" and (wanted := as_text(as_object(said.get("params")).get("modelId"))):
            return replace(state, asked_model=(str(said.get("id")), wanted))
        if event.kind == "response" and state.asked_model and state.asked_model[0] == str(said.get("id")):
            return replace(state, model=state.asked_model[1], asked_model=None)
    elif event.kind == "config_option_update" and _is_of_subagent(state, event):
        return state
    elif event.kind == "config_option_update" or (
        event.method == "session/set_config_option" and event.kind == "response"
    ):
        told = update_of(said) if event.kind == "config_option_update" else as_object(said.get("result"))
        return replace(state, model=AgentOptions(told.get("configOptions")).current("model") or state.model)
    return state


def _opened(event: Event, note: SessionOpened) -> SessionRecord:
    return SessionRecord(
        id=event.session_id,
        harness=note.harness,
        sandbox=note.sandbox,
        workspace=note.workspace,
        created_at=event.ts,
        updated_at=event.ts,
        title=note.title,
        model=note.model,
        mode=note.mode,
        effort=note.effort,
        attachment=note.attachment or "directory",
    )


def apply_title(state: FoldState, event: Event) -> FoldState:
    """Return the state after a `session_info_update`: the agent's title applies if the user set none."""
    update, session = update_of(event.payload), state.session
    if _is_of_subagent(state, event):
        return state
    if session is None or "title" not in update or not (session.title is None or session.title_by_agent):
        return state
    title = one_line(as_text(update["title"]) or "", TITLE_LIMIT) or None
    return replace(state, session=replace(session, title=title, title_by_agent=title is not None))


def apply_cost(state: FoldState, event: Event) -> tuple[FoldState, tuple[str, Decimal] | None]:
    """Return the state after a `usage_update`, with currency and growth of the agent's total."""
    if _is_of_subagent(state, event):
        return state, None
    cost = as_object(update_of(event.payload).get("cost"))
    total, currency = amount_of(cost), as_text(cost.get("currency")) or ""
    if total is None:
        return state, None
    before = state.totals.get(currency, Decimal(0))
    grown = total - before if total >= before else total
    return replace(state, totals={**state.totals, currency: total}), (currency, grown)


def apply_cost_outside(state: FoldState, currency: str, grown: Decimal) -> FoldState:
    """Return the state after a cost outside turns."""
    if not grown:
        return state
    harness = state.session.harness if state.session else ""
    spent = {each[:2]: each[2] for each in state.outside}
    spent[harness, currency] = spent.get((harness, currency), Decimal(0)) + grown
    return replace(state, outside=tuple((*key, amount) for key, amount in spent.items()))


def _is_of_subagent(state: FoldState, event: Event) -> bool:
    return event.turn is not None and is_of_subagent(event.payload, state.agent_session_id)
