"""Session updates beside text, plans and tool calls: notices, compactions, named plans, any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from session_widgets.demo.jsonrpc import Json
from session_widgets.demo.reply import Reply
from session_widgets.demo.tools import inside
from session_widgets.errors import BadPath


async def notice(reply: Reply, severity: str, title: str, description: str) -> None:
    """Send a notice; to a client without them, a message."""
    if not reply.client.takes("notice"):
        await reply.say(f"{severity.capitalize()}: {title}" + (f"\n{description}" if description else ""))
        return
    details = {"description": description} if description else {}
    await reply.update({"sessionUpdate": "notice", "severity": severity, "title": title, **details})


async def compact(reply: Reply, summary: str, error: str) -> None:
    """Report a compaction of the context: its beginning, its summary word by word, and its end.

    Args:
        reply: the turn's.
        summary: the text that stays in place of what was said; empty if the compaction fails.
        error: why it fails, else empty.
    """
    if not reply.client.takes("compaction_update"):
        await reply.say("This client takes no compactions.")
        return
    same = {"compactionId": reply.next_id("compaction")}
    await reply.record({"sessionUpdate": "compaction_update", **same, "status": "in_progress"})
    for word in summary.split():
        block = {"type": "text", "text": f"{word} "}
        await reply.update({"sessionUpdate": "compaction_summary_chunk", **same, "content": block})
    end: Json = {"status": "failed", "error": error} if error else {"status": "completed", "summary": [_text(summary)]}
    await reply.record({"sessionUpdate": "compaction_update", **same, **end})


async def plan(reply: Reply, operation: str, id_: str, text: str) -> None:
    """Publish or remove the plan `id_`: entries, a markdown text, or a file of the workspace."""
    if not reply.client.takes("plan_update"):
        await reply.say("This client takes no plan operations.")
        return
    if operation == "drop":
        await reply.record({"sessionUpdate": "plan_removed", "planId": id_})
        return
    shown: Json = {"type": "markdown", "content": text}
    if operation == "items":
        entries = [entry.strip() for entry in text.split(";") if entry.strip()]
        shown = {
            "type": "items",
            "entries": [{"content": entry, "priority": "medium", "status": "pending"} for entry in entries],
        }
    elif operation == "file":
        try:
            shown = {"type": "file", "uri": inside(reply.session.cwd, text).as_uri()}
        except BadPath as error:
            await reply.say(str(error))
            return
    await reply.record({"sessionUpdate": "plan_update", "plan": {**shown, "planId": id_}})


async def send(reply: Reply, update: Mapping[str, Any]) -> None:
    """Send the script's session update unchanged, also if the client has not declared it."""
    await reply.update(dict(update))


def _text(text: str) -> Json:
    return {"type": "text", "text": text}
