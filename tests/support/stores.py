"""Closing of stores: each that stays open keeps some 15 MB and a thread."""

from __future__ import annotations

from pathlib import Path

from session_widgets._store import database


def close_below(folder: Path) -> None:
    """Close the stores of this process in a folder."""
    for store in [store for store in database._open.values() if store.path.is_relative_to(folder)]:
        store.close()
