"""The memory of a session that goes on from an import of its own harness: the import's file."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import Sandbox
from session_widgets._sessions.state import SessionState
from session_widgets.errors import BadPath, LimitExceeded, SessionWidgetsError
from session_widgets.transcript.records import SessionRecord

LARGEST = 64_000_000
"""Bytes of a file that is given to an agent; a larger session comes as a history."""


async def put_memory(state: SessionState, sandbox: Sandbox, harness: Harness) -> str | None:
    """Write the import's file where the harness keeps its sessions, and return its id of it.

    Returns:
        None if the session goes on from no import, or from one of another harness, or this harness has no such file.
    """
    if not harness.memory_file or state.record.forked_from is None:
        return None
    source = await state.journal.ask(state.store.session, state.record.forked_from)
    if source is None or source.status != "imported" or source.harness != harness.id or not source.agent_session_id:
        return None
    data = await state.journal.ask(_exported, state, source, harness.memory_format)
    if data is None:
        return None
    path = f"{harness.state_folder('')}/{_place(harness, source, sandbox.workspace)}".lstrip("/")
    try:
        await sandbox.write(path, data)
    except (BadPath, LimitExceeded):
        return None
    return source.agent_session_id


def _exported(state: SessionState, source: SessionRecord, format: str) -> bytes | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "session")
        try:
            state.store.export(source.id, format, path, redact=False)
        except SessionWidgetsError:
            return None
        return path.read_bytes() if path.stat().st_size <= LARGEST else None


def _place(harness: Harness, source: SessionRecord, workspace: str) -> str:
    at = source.created_at
    return harness.memory_file.format(
        folder=re.sub(r"[^A-Za-z0-9]", "-", workspace),
        id=source.agent_session_id,
        day=f"{at:%Y/%m/%d}",
        time=f"{at:%Y-%m-%dT%H-%M-%S}",
    )
