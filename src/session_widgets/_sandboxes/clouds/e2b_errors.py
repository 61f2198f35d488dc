"""The exceptions of E2B's SDK as ours, each with its remedy."""

from __future__ import annotations

from contextlib import AbstractContextManager

from session_widgets._sandboxes.clouds.contract import said, translated
from session_widgets._sandboxes.clouds.limits import SHOWN, slower
from session_widgets.errors import (
    SandboxAuth,
    SandboxBusy,
    SandboxError,
    SandboxGone,
    SandboxNotRunning,
    SandboxQuota,
    SessionWidgetsError,
    TransportError,
)

TITLE = "E2B"
KEY = "E2B_API_KEY"
REMEDY = "https://e2b.dev/dashboard has one for every account."
REFUSED, NOT_FOUND = 400, 404


def errors() -> AbstractContextManager[None]:
    """Turn the SDK's exceptions into ours."""
    return translated(TITLE, translate)


def translate(error: Exception) -> SessionWidgetsError | None:
    """Return our error of one of the SDK's; None for one that it does not document."""
    import e2b
    from e2b.exceptions import ServiceBusyException, TemplateException

    text = said(error).partition(": ")[2]
    match error:
        case e2b.AuthenticationException():
            return SandboxAuth(f"E2B refused the key of {KEY}. {REMEDY}")
        case e2b.SandboxNotFoundException():
            return SandboxGone(f"E2B does not have the sandbox any more: {text}")
        case e2b.RateLimitException() if "concurrent" in text or "limit of" in text:
            return SandboxQuota(f"a limit of the E2B account is reached: {text}. {SHOWN}")
        case e2b.RateLimitException():
            return SandboxBusy(f"E2B is rate limiting: {text} {slower('e2b')}")
        case ServiceBusyException():
            return SandboxBusy(f"E2B has no capacity now: {text}")
        case e2b.SandboxNotRunningException():
            return SandboxNotRunning(f"the sandbox at E2B is paused or has ended: {text}")
        case e2b.NotEnoughSpaceException():
            return SandboxError(f"the disk of the sandbox at E2B is full: {text}")
        case e2b.SandboxException() if error.status_code == REFUSED and "timeout" in text.lower():
            return SandboxError(f"E2B refuses the time of idle=: {text}. Every plan allows idle='30m'.")
        case TemplateException() | e2b.InvalidArgumentException():
            return SandboxError(f"E2B refused: {text}")
        case e2b.TimeoutException():
            return TransportError(f"E2B did not answer in time: {text}")
        case e2b.SandboxException() if (error.status_code or 500) < 500:
            return SandboxError(f"E2B: {text}")
    return None
