"""The owner of a turn: recorded with it, named in errors, and checked for life."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from session_widgets.host.daemon import start_of
from session_widgets.transcript.records import Json


def owner() -> Mapping[str, Any]:
    """Describe this process."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "process": _name(),
        "started": start_of(psutil.Process()),
    }


def user() -> str:
    """Name the creator of a sandbox, for its label."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def is_alive(owner: Json | None) -> bool:
    """Whether the process runs; processes on other hosts count as running."""
    if owner is None:
        return False
    if owner.get("host") != socket.gethostname():
        return True
    try:
        process = psutil.Process(int(owner["pid"]))
        return process.status() != psutil.STATUS_ZOMBIE and start_of(process) == owner.get("started")
    except (psutil.Error, KeyError, ValueError):
        return False


def _name() -> str:
    if "ipykernel" in sys.modules:
        return "kernel"
    return Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
