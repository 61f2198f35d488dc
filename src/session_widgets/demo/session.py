"""An open session of the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from session_widgets.demo.jsonrpc import Json
from session_widgets.demo.memory import Memory

Answer = Literal["allow", "reject"]


@dataclass
class Session:
    """An open session; `servers` are its MCP servers, `standing_answers` the user's "always" by kind of tool."""

    id: str
    cwd: Path
    memory: Memory
    servers: Sequence[Json] = ()
    standing_answers: dict[str, Answer] = field(default_factory=dict)
    running: asyncio.Task[str] | None = None
