"""Calls of tools by the demo agent, and what is stored of them."""

from __future__ import annotations

import sys

SECRET = "value-of-the-secret-1234567890"


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


def answers(turn):
    """What the calls of a turn were answered, as the agent shows them."""
    return [(step.status, step.content[0]["content"]["text"]) for step in turn.steps if step.kind == "tool_call"]


def notes(session):
    return [event for event in session.events() if event.kind == "notebook_tool_called"]


def echo_server(secret):
    program = (
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    if 'id' not in asked: continue\n"
        "    text = f\"it is set to {len(os.environ['OWN_SETTING'])} characters\"\n"
        "    result = {'initialize': {'protocolVersion': '2025-06-18', 'capabilities': {'tools': {}},"
        " 'serverInfo': {'name': 'own', 'version': '1'}},\n"
        "        'tools/list': {'tools': [{'name': 'show', 'inputSchema': {'type': 'object'}}]},\n"
        "        'tools/call': {'content': [{'type': 'text', 'text': text}]}}[asked['method']]\n"
        "    print(json.dumps({'jsonrpc': '2.0', 'id': asked['id'], 'result': result}), flush=True)\n"
    )
    env = [{"name": "OWN_SETTING", "value": secret}]
    return {"name": "own", "command": sys.executable, "args": ["-c", program], "env": env}
