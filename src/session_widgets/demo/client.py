"""Requests and notifications about the session: questions, modes, its title, its commands."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from session_widgets.demo.jsonrpc import RequestError
from session_widgets.demo.reply import Reply
from session_widgets.demo.toolcall import Refused, text_content, tool_call


async def question(reply: Reply, params: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Ask the user by ACP's elicitation, and say the answer; None without one."""
    mode = params.get("mode")
    if mode not in reply.client.questions:
        await reply.say(f"This client takes no questions by {mode}.")
        return None
    try:
        answer = await reply.request("elicitation/create", dict(params))
    except RequestError as error:
        await reply.say(f"My question was refused: {error}")
        return None
    match answer:
        case {"action": "accept"}:
            content = answer.get("content") or {}
            await reply.say(f"You answered: {json.dumps(content, ensure_ascii=False)}")
            return content if isinstance(content, Mapping) else None
        case {"action": "decline"}:
            await reply.say("You declined to answer.")
        case _:
            await reply.say("You left my question open.")
    return None


async def go_to(reply: Reply, mode: str, *, asks: bool) -> None:
    """Change the mode, like agents that leave a plan; optionally without a request."""
    memory = reply.session.memory
    before = memory.settings
    async with tool_call(reply, "switch_mode", "switch_mode", f"Go to mode {mode}", {"mode": mode}) as call:
        settings = before.changed("mode", mode)
        await call.open()
        if asks:
            options = (
                {"optionId": mode, "name": f"Yes, go to {mode}", "kind": "allow_once"},
                {"optionId": before.mode, "name": f"No, stay in {before.mode}", "kind": "reject_once"},
            )
            if not (await call.ask(options)).startswith("allow"):
                raise Refused("The user rejected it.")
        memory.choose(settings)
        await reply.update({"sessionUpdate": "current_mode_update", "currentModeId": mode})
        await reply.update({"sessionUpdate": "config_option_update", "configOptions": settings.config_options()})
        await call.finish("completed", content=text_content(f"The mode is {mode} now."))


async def title(reply: Reply, text: str) -> None:
    """Set the session's title."""
    await reply.update({"sessionUpdate": "session_info_update", "title": text})


async def offer(reply: Reply, names: tuple[str, ...]) -> None:
    """Publish the slash commands; `name:hint` is one that takes input."""
    parts = [name.partition(":") for name in names]
    commands = [
        {"name": name, "description": f"The command {name}", **({"input": {"hint": hint}} if hint else {})}
        for name, _, hint in parts
    ]
    await reply.update({"sessionUpdate": "available_commands_update", "availableCommands": commands})


def be_deaf() -> NoReturn:
    """Ignore all input from now on: this process's one loop stops, and SIGTERM is ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(3600)
