"""The machine that this program runs on."""

from __future__ import annotations

import platform
import sys

_CPUS = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def this_platform() -> str:
    """Return this machine's platform as npm packages name it, such as "linux-x64"."""
    return f"{sys.platform}-{processor()}"


def processor() -> str:
    """Return this machine's processor as npm packages name it, such as "x64"."""
    return _CPUS.get(platform.machine().lower(), platform.machine().lower())
