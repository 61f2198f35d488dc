"""The official library's models against messages of the agent: reads `[[name, value], ...]`, prints what is wrong.

A program of its own: `acp` is the library here, where tests have a package of that name. A value must be what its model
takes, and hold nothing that the model does not know: the library ignores a misspelled field, or takes a default for it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import TypeAdapter, ValidationError

from acp import schema

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


def problem(name: str, value: Any) -> str | None:
    if name not in MODELS:
        return "there is no model for this"
    adapter = TypeAdapter(MODELS[name])
    try:
        read = adapter.validate_python(value)
    except ValidationError as error:
        return str(error)
    known = adapter.dump_python(read, mode="json", by_alias=True, exclude_unset=True)
    return None if known == value else f"the library understood {json.dumps(known)}"


if __name__ == "__main__":
    found = [(name, value, problem(name, value)) for name, value in json.load(sys.stdin)]
    print(json.dumps([each for each in found if each[2] is not None]))
