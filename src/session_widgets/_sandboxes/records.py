"""The records of sandboxes on this machine: one directory each, with the creation parameters in `sandbox.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from session_widgets._sandboxes.contract import SandboxInfo
from session_widgets.errors import SandboxError, SandboxGone
from session_widgets.host.daemon import locked, read_json
from session_widgets.model import SandboxRef

RECORD = "sandbox.json"
FORM = 1
"""Of the records; a later one is written into them as `form`."""
CONFIG = "config.json"
"""The configuration of a runner, which removes the file after reading it."""
TOKEN = "runner.json"  # noqa: S105 - the name of a file
"""Token and nonce of the latest runner, for the kernels that use it."""


@contextmanager
def alone(place: Path, provider: str) -> Iterator[None]:
    """Let one process at a time start or stop the recorded sandbox; `SandboxGone` if it no longer exists."""
    try:
        with locked(place):
            yield
    except FileNotFoundError as error:
        if place.exists():
            raise
        raise gone(place, provider) from error


def made_of(place: Path, provider: str) -> dict[str, Any]:
    """Read the creation parameters.

    Raises:
        SandboxGone: the sandbox no longer exists.
        SandboxError: a later release made it, whose records have another form.
    """
    made = read_json(place / RECORD)
    if made is None:
        raise gone(place, provider)
    if made.get("form", FORM) > FORM:
        raise SandboxError(
            f"sandbox '{provider}:{place.name}' was made by a newer release of session-widgets: update it here too "
            "(pip install --upgrade session-widgets), and restart the kernel."
        )
    return made


def gone(place: Path, provider: str) -> SandboxGone:
    """Return the error for a sandbox that no longer exists."""
    return SandboxGone(f"sandbox '{provider}:{place.name}' no longer exists on this machine.")


def recorded(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the directory of each recorded sandbox, with its creation parameters."""
    for file in sorted(root.glob(f"*/{RECORD}")):
        if made := read_json(file):
            yield file.parent, made


def info(provider: str, id: str, made: Mapping[str, str], *, running: bool) -> SandboxInfo:
    """Return the facts about a sandbox; `made` contains `session`, `owner` and `created`."""
    return SandboxInfo(
        ref=SandboxRef(provider, id),
        session_id=made["session"],
        owner=made["owner"],
        running=running,
        created_at=datetime.fromisoformat(made["created"]),
        expires_at=None,
    )
