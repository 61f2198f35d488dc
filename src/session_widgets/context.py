"""What a turn needs to know of everything before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from session_widgets.envelopes import as_object, as_text, update_of
from session_widgets.model import Event, SessionRecord
from session_widgets.text import one_line

COST_LIMIT = 1e9
"""A cost beyond this, in whatever currency, is taken for nonsense."""

TITLE_LIMIT = 200
"""Characters of a title that an agent gives."""

_CHOICES = ("title", "model", "mode", "effort", "status")
_PLACE = ("harness", "sandbox", "workspace", "attachment")
"""Facts that every session has: a note that leaves one empty says nothing of it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What later turns need to know of everything before them.

    Attributes:
        session: None until `session_opened`.
        connection: of the latest `agent_started`; it qualifies the ids of the agent's requests.
        cost: the agent's running total, of which a turn's cost is the growth.
    """

    session: SessionRecord | None = None
    connection: str = ""
    agent_session_id: str | None = None
    cost: Decimal | None = None
    currency: str | None = None


def apply_note(context: Context, event: Event) -> Context:
    """Return the context after a note; only the facts about the session matter here."""
    note, kind = event.payload, event.kind
    if kind == "agent_started":
        agent = as_text(note.get("agent_session_id"))
        if agent != context.agent_session_id:
            context = replace(context, agent_session_id=agent, cost=None, currency=None)
        context = replace(context, connection=as_text(note.get("connection")) or "")
    if context.session is None:
        return replace(context, session=_opened(event)) if kind == "session_opened" else context
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
        if context.session.status in {"new", "parked"}:
            facts["status"] = "idle"
    elif kind == "sandbox_stopped":
        facts = {"connection": None, "awake": False}
        if as_text(note.get("why")) in {"deleted", "gone", "switched", "changed"}:
            facts["sandbox_ref"] = None
        elif note.get("why") == "parked":
            facts["status"] = "parked"
    elif kind == "agent_started":
        facts = {"connection": context.connection, "agent_session_id": context.agent_session_id}
    elif kind == "agent_stopped" and note.get("connection") == context.session.connection:
        facts = {"connection": None}
    elif kind == "turn_started":
        facts = {"status": "running", "turns": max(context.session.turns, event.turn or 0)}
    elif kind == "turn_ended":
        facts = {"status": "idle"}
    return replace(context, session=replace(context.session, **facts)) if facts else context


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


def take_title(context: Context, event: Event) -> Context:
    """Return the context after a `session_info_update`: an agent may give a title where the user gave none."""
    update, session = update_of(event.payload), context.session
    if session is None or "title" not in update or not (session.title is None or session.title_by_agent):
        return context
    title = one_line(as_text(update["title"]) or "", TITLE_LIMIT) or None
    return replace(context, session=replace(session, title=title, title_by_agent=title is not None))


def spend(context: Context, event: Event) -> tuple[Context, Decimal | None]:
    """Return the context after a `usage_update`, and by how much the agent's running total has grown."""
    cost = as_object(update_of(event.payload).get("cost"))
    amount = cost.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < COST_LIMIT:
        return context, None
    total, currency = Decimal(str(amount)), as_text(cost.get("currency"))
    grown = total
    if context.cost is not None and context.currency == currency and total >= context.cost:
        grown -= context.cost
    return replace(context, cost=total, currency=currency), grown
