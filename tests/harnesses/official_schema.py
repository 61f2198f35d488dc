"""The official library's models against messages of the agent: reads `[[name, value], ...]`, prints the errors.

A program of its own, so that the tests do not load the library. A value must be what its model
takes, and hold nothing that the model does not know: the library ignores a misspelled field, or takes a default for it.
Subagents are newer than the library (its schema is 1.23): they are validated with ACP's JSON schema.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from acp import schema
from pydantic import TypeAdapter, ValidationError

MODELS: dict[str, Any] = {
    "initialize": schema.InitializeResponse,
    "session/new": schema.NewSessionResponse,
    "session/load": schema.LoadSessionResponse,
    "session/resume": schema.ResumeSessionResponse,
    "session/list": schema.ListSessionsResponse,
    "session/close": schema.CloseSessionResponse,
    "session/delete": schema.DeleteSessionResponse,
    "session/set_mode": schema.SetSessionModeResponse,
    "session/set_config_option": schema.SetSessionConfigOptionResponse,
    "session/prompt": schema.PromptResponse,
    "session/update": schema.SessionNotification,
    "session/request_permission": schema.RequestPermissionRequest,
    "elicitation/create": schema.CreateElicitationRequest,
    "error": schema.Error,
}


NEWER = {"subagent_update": "SubagentUpdate", "session_message": "SessionMessage"}
SUBAGENTS = json.loads(Path(__file__).with_name("subagents.schema.json").read_text())


def problem(name: str, value: Any) -> str | None:
    kind = value.get("update", {}).get("sessionUpdate") if name == "session/update" else None
    return newer_problem(NEWER[kind], value["update"]) if kind in NEWER else library_problem(name, value)


def newer_problem(name: str, update: dict[str, Any]) -> str | None:
    from jsonschema import Draft202012Validator  # slower to load than all the rest

    unknown = set(update) - {"sessionUpdate", *SUBAGENTS["$defs"][name]["properties"]}
    wrong = Draft202012Validator({**SUBAGENTS, "$ref": f"#/$defs/{name}"}).iter_errors(update)
    return "; ".join([*(f"unknown field {field}" for field in sorted(unknown)), *(e.message for e in wrong)]) or None


@cache
def adapter_of(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(MODELS[name])


def library_problem(name: str, value: Any) -> str | None:
    if name not in MODELS:
        return "there is no model for this"
    adapter = adapter_of(name)
    try:
        read = adapter.validate_python(value)
    except ValidationError as error:
        return str(error)
    known = adapter.dump_python(read, mode="json", by_alias=True, exclude_unset=True)
    return None if known == value else f"the library understood {json.dumps(known)}"


if __name__ == "__main__":
    found = [(name, value, problem(name, value)) for name, value in json.load(sys.stdin)]
    print(json.dumps([each for each in found if each[2] is not None]))
