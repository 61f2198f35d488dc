"""HTTP error responses as errors of this package."""

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
    SandboxGone,
    SandboxNotRunning,
    SessionWidgetsError,
    TransportError,
)
from session_widgets.printing import printable

_CODE_PREFIX = "urn:sandbox-agent:error:"
_LONGEST_DETAIL = 500


def error_of(response: httpx.Response, *, answering: bool = False) -> SessionWidgetsError:
    """Turn an error response into an exception.

    Args:
        response: read to its end, status 300 or above.
        answering: the request carried an answer to the agent, so a conflict means that another
            client answered first.
    """
    status = response.status_code
    problem = _problem(response)
    if status in (401, 403):
        return SandboxAuth(f"the runner refused the token (HTTP {status})")
    if status == 413:
        return too_large(len(response.request.content), _detail(problem) if problem else "")
    if problem is None:
        return TransportError(f"something between here and the runner answered HTTP {status}")
    detail = _detail(problem)
    match _code(problem):
        case "limit_exceeded":
            return LimitExceeded(detail)
        case "stopping":
            return TransportError(detail, unsent=True)
        case "sandbox_gone":
            return SandboxGone(detail)
        case "sandbox_parked":
            return SandboxNotRunning(detail)
        case "gone":
            return ProtocolError(f"the runner dropped messages that were never read here: {detail}")
        case "conflict" if answering:
            return ProtocolError(f"another client answered first: {detail}")
        case "session_not_found" | "agent_process_exited":
            return AgentExited(f"the agent is no longer running: {detail}", unsent=problem.get("accepted") is False)
        case "stream_error" if status == 502:
            return AgentExited(f"the agent is no longer running: {detail}")
    return AgentError(detail)


def too_large(size: int, why: str) -> LimitExceeded:
    """A message of `size` bytes that the runner refuses; `why` is its own reason, if it gave one."""
    return LimitExceeded(
        f"the message has {size:,} bytes, which is more than the runner accepts{f' ({why})' if why else ''}. "
        "Write large content to a file of the workspace and link to it."
    )


def _problem(response: httpx.Response) -> Mapping[str, Any] | None:
    """The body of an `application/problem+json` response, None for any other."""
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        problem = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    return problem if isinstance(problem, dict) else None


def _code(problem: Mapping[str, Any]) -> str:
    return str(problem.get("type", "")).removeprefix(_CODE_PREFIX)


def _detail(problem: Mapping[str, Any]) -> str:
    return printable(str(problem.get("detail") or problem.get("title") or "no reason given")[:_LONGEST_DETAIL])
