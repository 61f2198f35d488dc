"""The user's own MCP servers, in ACP's format: validation, and redaction for the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from session_widgets._harnesses.harness import Harness
from session_widgets.errors import BadValue
from session_widgets.transcript.records import Json

NOTEBOOK = "notebook"
REDACTED = "[redacted]"


def check_servers(value: object) -> tuple[Json, ...]:
    """Return MCP servers in ACP's format; raise `BadValue` for invalid ones."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise BadValue(f"mcp_servers must be a list of servers; got {value!r:.80}.")
    servers = tuple(_checked(server) for server in value)
    names = [server["name"] for server in servers]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadValue(f"two of mcp_servers are called {twice!r:.80}.")
    return servers


def _checked(server: object) -> dict[str, Any]:
    if not isinstance(server, Mapping) or not isinstance(server.get("name"), str) or not server["name"]:
        raise BadValue("each of mcp_servers must be an object with a name.")
    name, kind = server["name"], server.get("type", "stdio")
    if name == NOTEBOOK:
        raise BadValue(f"{NOTEBOOK!r} is the name of the notebook's own tools; call the server something else.")
    if kind not in {"stdio", "http", "sse"}:
        raise BadValue(f"mcp_servers: the type of {name!r:.80} must be 'stdio', 'http' or 'sse'; got {kind!r:.80}.")
    pairs, place, words = ("env", "command", ("args",)) if kind == "stdio" else ("headers", "url", ())
    made = {**({} if kind == "stdio" else {"type": kind}), "name": name, place: server.get(place), pairs: []}
    if not isinstance(made[place], str) or not made[place]:
        raise BadValue(f"mcp_servers: {name!r:.80} needs {place!r}, as text.")
    for key in words:
        made[key] = server.get(key, [])
        if not isinstance(made[key], list) or not all(isinstance(word, str) for word in made[key]):
            raise BadValue(f"mcp_servers: {key!r} of {name!r:.80} must be a list of text.")
    made[pairs] = server.get(pairs, [])
    if not isinstance(made[pairs], list) or not all(_is_pair(pair) for pair in made[pairs]):
        raise BadValue(f"mcp_servers: {pairs!r} of {name!r:.80} must be a list of {{'name': ..., 'value': ...}}.")
    if unknown := sorted(set(server) - {*made, "type"}):
        raise BadValue(f"mcp_servers: {name!r:.80} has {unknown[0]!r:.80}, which {kind} servers have not.")
    return deepcopy(made)


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, Mapping)
        and set(pair) == {"name", "value"}
        and all(isinstance(part, str) for part in pair.values())
    )


def check_harness(harness: Harness) -> None:
    """Raise `BadValue` for a harness that supports no MCP servers, and ignores given ones."""
    if not harness.supports_mcp:
        raise BadValue(
            f"{harness.title} {harness.version} uses no MCP servers, so neither tools= nor mcp_servers= reach it. "
            "Use another harness, or let it run a program of yours in the workspace."
        )


def check_supported(servers: Sequence[Json], capabilities: Json) -> None:
    """Raise `BadValue` if the agent cannot use one of the servers."""
    can = capabilities.get("mcpCapabilities") or {}
    for server in servers:
        if (kind := server.get("type")) is not None and not can.get(kind):
            raise BadValue(
                f"this agent cannot use the MCP server {server['name']!r:.80}: it takes none of type {kind!r}. "
                "Open the session without it, or use one that is started by a command."
            )


def storable(params: Json) -> Json:
    """Return the parameters of a request without secrets: values of variables and headers."""
    servers = params.get("mcpServers")
    if not servers:
        return params
    kept = [
        {key: [{**pair, "value": REDACTED} for pair in value] if key in {"env", "headers"} else value
         for key, value in server.items()}
        for server in servers
    ]  # fmt: skip
    return {**params, "mcpServers": kept}
