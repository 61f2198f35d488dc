"""HTTP answers that are no success, as errors of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from session_widgets.errors import (
    AgentError,
    AgentExited,
    LimitExceeded,
    ProtocolError,
    SandboxAuth,
    SessionWidgetsError,
    TransportError,
)

_CODE_PREFIX = "urn:sandbox-agent:error:"
_LONGEST_DETAIL = 500


def error_of(response: httpx.Response, *, answering: bool = False) -> SessionWidgetsError:
    """Turn a refusal into an error to raise.

    Args:
        response: read to its end, status 300 or above.
        answering: the request carried an answer to the agent, so a conflict means that another
            client was faster.
    """
    status = response.status_code
    if status in (401, 403):
        return SandboxAuth(f"the runner refused the token (HTTP {status})")
    if status == 413:
        sent = len(response.request.content)
        return LimitExceeded(
            f"the message has {sent:,} bytes, which is more than the runner takes at once. "
            "Write large content to a file of the workspace and link to it."
        )
    problem = _problem(response)
    if problem is None:
        return TransportError(f"something between here and the runner answered HTTP {status}")
    code = str(problem.get("type", "")).removeprefix(_CODE_PREFIX)
    detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")[:_LONGEST_DETAIL]
    if status == 409 and code == "conflict":
        return ProtocolError(f"somebody else answered first: {detail}") if answering else AgentError(detail)
    if status in (404, 409, 410, 502):
        return _agent_exited(problem, detail)
    return AgentError(detail)


def _problem(response: httpx.Response) -> Mapping[str, Any] | None:
    """The body of an `application/problem+json` answer, None for any other."""
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        problem = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    return problem if isinstance(problem, dict) else None


def _agent_exited(problem: Mapping[str, Any], detail: str) -> AgentExited:
    details = problem.get("details")
    details = details if isinstance(details, Mapping) else {}
    code, stderr = details.get("code"), details.get("stderr")
    return AgentExited(
        f"the agent is no longer running: {detail}",
        code=code if isinstance(code, int) else None,
        stderr=stderr if isinstance(stderr, str) else "",
    )
