"""Location of SeaweedFS's program."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from session_widgets.errors import MissingDependency


def weed() -> str:
    """Return the path of `weed`: that of this environment, else one on PATH."""
    mine = Path(sysconfig.get_path("scripts")) / "weed"
    if os.access(mine, os.X_OK):
        return str(mine)
    if found := shutil.which("weed"):
        return found
    raise MissingDependency(
        "SeaweedFS's program 'weed' was expected in this environment or on PATH, and is in neither. "
        "Install it: pip install 'session-widgets[s3]'"
    )
