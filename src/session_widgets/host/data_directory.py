"""Where session-widgets keeps its data on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def data_directory() -> Path:
    """Return SESSION_WIDGETS_HOME, else this platform's data directory for the user."""
    if home := os.environ.get("SESSION_WIDGETS_HOME"):
        return Path(home).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("session-widgets", appauthor=False))
