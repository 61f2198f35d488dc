"""The version of ACP that a connection speaks, and what this client declares in it. Another version is another file."""

from __future__ import annotations

from typing import Any

from session_widgets.errors import ProtocolError
from session_widgets.transcript.records import Json

VERSION = 1
CAPABILITIES: Json = {
    "fs": {"readTextFile": False, "writeTextFile": False},
    "terminal": False,
    "elicitation": {"form": {}, "url": {}},
    "session": {"notices": {}, "compaction": {}},
    "plan": {},
    "subagents": {},
}
"""This client lends the agent no file system and no terminal. The last three let it send updates that are optional."""


def initialize_params(release: str) -> dict[str, Any]:
    """Return the parameters of `initialize`; `release` is that of this client."""
    return {
        "protocolVersion": VERSION,
        "clientCapabilities": CAPABILITIES,
        "clientInfo": {"name": "session-widgets", "version": release},
    }


def check_version(result: Json) -> None:
    """Check the version that the answer to `initialize` settles; an agent that names none speaks ours.

    Raises:
        ProtocolError: the agent speaks another one.
    """
    version = result.get("protocolVersion", VERSION)
    if version != VERSION:
        raise ProtocolError(
            f"the agent speaks version {version!r:.20} of ACP, and this release of session-widgets version {VERSION}. "
            "Install another release of the agent, or of session-widgets."
        )
