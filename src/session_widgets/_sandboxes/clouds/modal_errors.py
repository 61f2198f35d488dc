"""The exceptions of Modal's SDK as ours, each with its remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from session_widgets._sandboxes.clouds.contract import BoxSpec, said, translated
from session_widgets._sandboxes.clouds.limits import SHOWN
from session_widgets.errors import (
    BadValue,
    ExecTimeout,
    SandboxAuth,
    SandboxBusy,
    SandboxError,
    SandboxGone,
    SandboxQuota,
    SessionWidgetsError,
)

TITLE = "Modal"
VARIABLES = "MODAL_TOKEN_ID and MODAL_TOKEN_SECRET"
REMEDY = "'modal token new' stores one, with an account of https://modal.com."
_ENVIRONMENT = re.compile(r"(?i)environment \S* ?not found")
_LIMIT = re.compile(r"(?i)(?<!rate )limit|quota|budget|spend|billing|payment")


@contextmanager
def errors(making: BoxSpec | None = None) -> Iterator[None]:
    """Turn the SDK's exceptions into ours.

    Args:
        making: the box that a call is to make; then nothing that is missing is the box itself.
    """
    with translated(TITLE, lambda error: _ours(error, making)):
        yield


def _ours(error: Exception, making: BoxSpec | None) -> SessionWidgetsError | None:
    from modal import exception as theirs

    text = said(error)
    match error:
        case theirs.AuthError() | theirs.PermissionDeniedError():
            return SandboxAuth(f"Modal refuses the token: check {VARIABLES}. {REMEDY} ({text})")
        case theirs.ResourceExhaustedError() if _LIMIT.search(text):
            return SandboxQuota(f"Modal: a limit of the account is reached: {text}. {SHOWN}")
        case theirs.ResourceExhaustedError():
            return SandboxBusy(f"Modal is busy, try again later: {text}")
        case theirs.ImageBuildError():
            image = repr(making.image) if making else "of the sandbox"
            return SandboxError(f"Modal cannot build the image {image}; it needs Python 3.11 and pip on PATH. {text}")
        case theirs.NotFoundError() if _ENVIRONMENT.search(text):
            return SandboxError(f"Modal: {text}. MODAL_ENVIRONMENT names one of 'modal environment list'.")
        case theirs.ConflictError() | theirs.NotFoundError() if making is None:
            return SandboxGone(f"the sandbox at Modal no longer exists: {text}")
        case theirs.ExecTimeoutError():
            return ExecTimeout(f"a command in a sandbox of Modal took too long: {text}")
        case theirs.InvalidError():
            return BadValue(f"Modal refuses an option of this sandbox: {text}")
        case theirs.UnimplementedError() | theirs.VersionError():
            return SandboxError(f"Modal and its SDK differ: pip install --upgrade 'session-widgets[modal]'. {text}")
        case theirs.NotFoundError() | theirs.SandboxFilesystemError() | theirs.RemoteError():
            return SandboxError(f"Modal: {text}")
    return None
