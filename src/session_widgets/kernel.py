"""The kernel of the notebook in which this code runs."""

from __future__ import annotations

import sys
from typing import Any

LOSES_REQUESTS = "loses a request now and then, and its cell stays at [*] (ipython/ipykernel#1554)"
"""Said of an ipykernel for which `loses_requests` is true; its replies take the wake-up of what comes meanwhile."""
REMEDY = "pip install 'ipykernel>=7.4', and restart the kernel"


def current_kernel() -> Any:
    """Return the ipykernel that runs this code, or None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def ipykernel_release() -> tuple[int, int]:
    """Return major and minor number of the ipykernel that runs this code."""
    major, minor, *_ = sys.modules["ipykernel"].version_info
    return int(major), int(minor)


def loses_requests(release: tuple[int, int]) -> bool:
    """Whether this release of ipykernel has the defect of its issue 1554, in any notebook."""
    return (7, 0) <= release < (7, 4)
