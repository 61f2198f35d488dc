"""What `setup=` means at every provider: each command runs once, as root, in its own shell, before the agent exists."""

from __future__ import annotations

from session_widgets.errors import SandboxError

SETUP_SECONDS = 1800
"""For each command."""
TAIL = 2_000
WRITABLE = "find /opt/venv ! -type l ! -perm -o+w -exec chmod a+rwX {} + 2>/dev/null"
"""Lets agents change what root has installed for their Python."""


def doing(number: int, count: int, command: str) -> str:
    """Return what people read while a command runs."""
    return f"Setting up the sandbox, {number} of {count}: {command:.80}"


def failed(command: str, code: int, output: str) -> SandboxError:
    """Return the error of a command that has failed."""
    return SandboxError(f"setup: {command!r:.200} failed with code {code}:\n{output[-TAIL:]}")


def too_slow(command: str, output: str = "") -> SandboxError:
    """Return the error of a command that was ended."""
    said = f" Its output ended:\n{output[-TAIL:]}" if output else ""
    return SandboxError(
        f"setup: {command!r:.200} was ended after {SETUP_SECONDS // 60} minutes. Make an image with it instead: "
        f"image='my-sandbox:1'.{said}"
    )
