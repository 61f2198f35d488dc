"""Writes ACP as lines `{"ts", "dir", "msg"}`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from session_widgets._store.formats.contract import WholeSession
from session_widgets._store.formats.writers.answers import iso
from session_widgets.transcript.envelopes import as_object, update_of
from session_widgets.transcript.notes import TurnEnded, TurnStarted
from session_widgets.transcript.records import Event, Json

_DIRECTIONS = {"out": "c2a", "in": "a2c"}


def write(session: WholeSession) -> Iterator[bytes]:
    """Yield the envelopes of both sides; prompts and answers of an import are made from its notes."""
    live = any(event.direction != "note" and event.method == "session/prompt" for event in session.events)
    native = session.session.agent_session_id or session.session.id
    if not live:
        agent = {"name": session.session.harness, "version": session.harness_version or ""}
        begun = session.session.created_at
        asked = {"jsonrpc": "2.0", "id": "initialize", "method": "initialize", "params": {"protocolVersion": 1}}
        result = {"protocolVersion": 1, "agentInfo": agent}
        yield _line(iso(begun), "out", asked)
        yield _line(iso(begun), "in", {"jsonrpc": "2.0", "id": "initialize", "result": result})
        params = {"cwd": session.session.workspace or "/", "mcpServers": []}
        yield _line(iso(begun), "out", {"jsonrpc": "2.0", "id": "new", "method": "session/new", "params": params})
        yield _line(iso(begun), "in", {"jsonrpc": "2.0", "id": "new", "result": {"sessionId": native}})
    for event in session.events:
        if event.direction != "note":
            yield _line(iso(event.ts), event.direction, event.payload)
        elif not live and (made := _made(event, native)):
            yield _line(iso(event.ts), *made)


def joined(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events with chunks of one message joined, so that a secret in pieces is whole."""
    waiting: Event | None = None
    for event in events:
        if waiting is not None and (both := _both(waiting, event)):
            waiting = both
            continue
        if waiting is not None:
            yield waiting
        waiting = event
    if waiting is not None:
        yield waiting


def _both(one: Event, other: Event) -> Event | None:
    """Return two chunks of text of the same message as one event; None if they are none."""
    if one.kind != other.kind or not one.kind.endswith("_chunk") or one.turn != other.turn:
        return None
    first, second = update_of(one.payload), update_of(other.payload)
    said, more = as_object(first.get("content")), as_object(second.get("content"))
    same = {**first, "content": None} == {**second, "content": None}
    if not same or said.get("type") != "text" or more.get("type") != "text":
        return None
    if as_object(one.payload.get("params")).get("sessionId") != as_object(other.payload.get("params")).get("sessionId"):
        return None
    text = f"{said.get('text') or ''}{more.get('text') or ''}"
    params = {**one.payload["params"], "update": {**first, "content": {**said, "text": text}}}
    return replace(one, payload={**one.payload, "params": params})


def _made(event: Event, native: str) -> tuple[str, Json] | None:
    request = f"turn-{event.turn}"
    if event.kind == TurnStarted.kind:
        params = {"sessionId": native, "prompt": list(event.payload.get("prompt") or ())}
        return "out", {"jsonrpc": "2.0", "id": request, "method": "session/prompt", "params": params}
    if event.kind != TurnEnded.kind:
        return None
    status, reason = event.payload.get("status"), event.payload.get("stop_reason")
    if status == "failed":
        error: dict[str, Any] = {"code": -32603, "message": event.payload.get("error") or "The turn failed."}
        return "in", {"jsonrpc": "2.0", "id": request, "error": error}
    stopped = reason or ("cancelled" if status == "cancelled" else "end_turn")
    return "in", {"jsonrpc": "2.0", "id": request, "result": {"stopReason": stopped}}


def _line(at: str, direction: str, message: Json) -> bytes:
    return orjson.dumps({"ts": at, "dir": _DIRECTIONS[direction], "msg": message}) + b"\n"
