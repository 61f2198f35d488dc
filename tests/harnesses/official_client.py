"""The official library's own client against the agent: `official_client.py WORKSPACE` prints its results as JSON.

A program of its own, so that the library validates every message in a process without test tools.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import acp
from acp.contrib.session_state import SessionAccumulator
from acp.schema import (
    AllowedOutcome,
    PermissionOption,
    RequestPermissionResponse,
    SessionNotification,
    TextContentBlock,
    ToolCallUpdate,
)

SCRIPT = """\
think first
plan write; run
write hello.py <<EOT
print("hi")
EOT
run python hello.py
read hello.py
wait 0
say done"""


class Client:
    """Accepts everything and folds the updates."""

    def __init__(self) -> None:
        self.sessions: dict[str, SessionAccumulator] = {}
        self.asked = 0

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        accumulator = self.sessions.setdefault(session_id, SessionAccumulator())
        accumulator.apply(SessionNotification(session_id=session_id, update=update))

    async def request_permission(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption], **_: Any
    ) -> RequestPermissionResponse:
        self.asked += 1
        chosen = next(option for option in options if option.kind == "allow_once")
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=chosen.option_id))

    def fold(self, session_id: str) -> dict[str, Any]:
        seen = self.sessions[session_id].snapshot()
        return {
            "text": "".join(chunk.content.text for chunk in seen.agent_messages),
            "thought": "".join(chunk.content.text for chunk in seen.agent_thoughts),
            "user": "".join(chunk.content.text for chunk in seen.user_messages),
            "plan": [entry.status for entry in seen.plan_entries],
            "tools": [[tool.kind, tool.status] for tool in seen.tool_calls.values()],
        }


async def main(workspace: str) -> None:
    command = (sys.executable, "-P", "-m", "session_widgets.demo")
    client = Client()
    async with acp.spawn_agent_process(client, *command, use_unstable_protocol=True) as (agent, _):
        offered = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        session = await agent.new_session(cwd=workspace, mcp_servers=[])
        await agent.set_session_mode(session_id=session.session_id, mode_id="accept_edits")
        await agent.set_config_option(session_id=session.session_id, config_id="effort", value="low")
        answer = await agent.prompt(session_id=session.session_id, prompt=[TextContentBlock(text=SCRIPT)])
    again = Client()
    async with acp.spawn_agent_process(again, *command, use_unstable_protocol=True) as (agent, _):
        await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        listed = await agent.list_sessions(cwd=workspace)
        loaded = await agent.load_session(cwd=workspace, session_id=session.session_id, mcp_servers=[])
    print(
        json.dumps(
            {
                "agent": offered.agent_info.name,
                "modes": [mode.id for mode in session.modes.available_modes],
                "options": [option.id for option in session.config_options],
                "asked": client.asked,
                "stop_reason": answer.stop_reason,
                "usage": answer.usage.model_dump(exclude_none=True),
                "live": client.fold(session.session_id),
                "listed": [info.session_id == session.session_id for info in listed.sessions],
                "replayed": again.fold(session.session_id),
                "mode_after": loaded.modes.current_mode_id,
            }
        )
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main(sys.argv[1]))
