"""What a turn needs to know of everything before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from session_widgets.printing import one_line
from session_widgets.transcript.envelopes import as_object, as_text, update_of
from session_widgets.transcript.options import AgentOptions
from session_widgets.transcript.records import Event, SessionRecord
from session_widgets.transcript.usage import amount_of, restarts_with_process

TITLE_LIMIT = 200
"""Characters of a title that an agent gives."""

_CHOICES = ("title", "model", "mode", "effort", "status")
_PLACE = ("harness", "sandbox", "workspace", "attachment")
"""Facts that every session has: a note that leaves one empty says nothing of it."""


@dataclass(frozen=True, slots=True)
class FoldState:
    """What later turns need to know of everything before them.

    Attributes:
        session: None until `session_opened`.
        connection: of the latest `agent_started`; it qualifies the ids of the agent's requests.
        agent: name and version of that agent, as it called itself: "OpenCode 1.18.33".
        model: what that agent said that it uses, in its own words.
        asked_model: id and model of the `session/set_model` that it has not answered.
        totals: the agent's running totals by currency ("" for none), of which a turn's cost is the growth.
        outside: what was spent in no turn: harness, currency, amount.
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
    """Return the state after a note; only the facts about the session matter here."""
    note, kind = event.payload, event.kind
    if kind == "agent_started":
        state = _agent_started(state, event)
    if state.session is None:
        return replace(state, session=_opened(event)) if kind == "session_opened" else state
    facts: dict[str, Any] = {}
    if kind == "session_changed":
        facts = {name: as_text(note[name]) for name in _CHOICES if name in note}
        facts |= {name: text for name in _PLACE if (text := as_text(note.get(name)))}
        if "title" in note:
            facts["title_by_agent"] = False
    elif kind == "workspace_attached":
        facts = {"remark": as_text(note.get("remark")) or ""}
    elif kind == "sandbox_started":
        facts = {"sandbox_ref": as_text(note.get("ref")), "awake": True, "launch": as_text(note.get("launch"))}
        if state.session.status in {"new", "parked"}:
            facts["status"] = "idle"
    elif kind == "sandbox_stopped":
        facts = {"connection": None, "awake": False}
        if as_text(note.get("why")) in {"deleted", "gone", "switched", "changed"}:
            facts["sandbox_ref"] = None
        elif note.get("why") == "parked":
            facts["status"] = "parked"
    elif kind == "agent_started":
        facts = {"connection": state.connection, "agent_session_id": state.agent_session_id}
    elif kind == "agent_stopped" and note.get("connection") == state.session.connection:
        facts = {"connection": None}
    elif kind == "turn_started":
        facts = {"status": "running", "turns": max(state.session.turns, event.turn or 0)}
    elif kind == "turn_ended":
        facts = {"status": "idle"}
    model = None if "harness" in facts else state.model
    return replace(state, session=replace(state.session, **facts), model=model) if facts else state


def _agent_started(state: FoldState, event: Event) -> FoldState:
    note = event.payload
    session_id, connection = as_text(note.get("agent_session_id")), as_text(note.get("connection")) or ""
    info = as_object(note.get("agent_info"))
    agent = f"{as_text(info.get('name')) or ''} {as_text(info.get('version')) or ''}".strip()
    if session_id != state.agent_session_id or (restarts_with_process(agent) and connection != state.connection):
        state = replace(state, totals={})
    offers = AgentOptions(note.get("config"), note.get("modes"), note.get("models"))
    model = offers.current("model") or as_text(note.get("model"))
    return replace(
        state, agent_session_id=session_id, connection=connection, agent=agent, model=model, asked_model=None
    )


def apply_model(state: FoldState, event: Event) -> FoldState:
    """Return the state after an envelope that may say which model the agent uses from now on."""
    said = event.payload
    if event.method == "session/set_model":
        if event.direction == "out" and (wanted := as_text(as_object(said.get("params")).get("modelId"))):
            return replace(state, asked_model=(str(said.get("id")), wanted))
        if event.kind == "response" and state.asked_model and state.asked_model[0] == str(said.get("id")):
            return replace(state, model=state.asked_model[1], asked_model=None)
    elif event.kind == "config_option_update" or (
        event.method == "session/set_config_option" and event.kind == "response"
    ):
        told = update_of(said) if event.kind == "config_option_update" else as_object(said.get("result"))
        return replace(state, model=AgentOptions(told.get("configOptions")).current("model") or state.model)
    return state


def _opened(event: Event) -> SessionRecord:
    note = event.payload
    return SessionRecord(
        id=event.session_id,
        harness=as_text(note.get("harness")) or "",
        sandbox=as_text(note.get("sandbox")) or "",
        workspace=as_text(note.get("workspace")) or "",
        created_at=event.ts,
        updated_at=event.ts,
        title=as_text(note.get("title")),
        model=as_text(note.get("model")),
        mode=as_text(note.get("mode")),
        effort=as_text(note.get("effort")),
        attachment=as_text(note.get("attachment")) or "directory",
    )


def apply_title(state: FoldState, event: Event) -> FoldState:
    """Return the state after a `session_info_update`: an agent may give a title where the user gave none."""
    update, session = update_of(event.payload), state.session
    if session is None or "title" not in update or not (session.title is None or session.title_by_agent):
        return state
    title = one_line(as_text(update["title"]) or "", TITLE_LIMIT) or None
    return replace(state, session=replace(session, title=title, title_by_agent=title is not None))


def apply_cost(state: FoldState, event: Event) -> tuple[FoldState, tuple[str, Decimal] | None]:
    """Return the state after a `usage_update`, and by how much the agent's total in which currency has grown."""
    cost = as_object(update_of(event.payload).get("cost"))
    total, currency = amount_of(cost), as_text(cost.get("currency")) or ""
    if total is None:
        return state, None
    before = state.totals.get(currency, Decimal(0))
    grown = total - before if total >= before else total
    return replace(state, totals={**state.totals, currency: total}), (currency, grown)


def apply_cost_outside(state: FoldState, currency: str, grown: Decimal) -> FoldState:
    """Return the state after a cost that came in no turn."""
    if not grown:
        return state
    harness = state.session.harness if state.session else ""
    spent = {each[:2]: each[2] for each in state.outside}
    spent[harness, currency] = spent.get((harness, currency), Decimal(0)) + grown
    return replace(state, outside=tuple((*key, amount) for key, amount in spent.items()))
