"""Alignment of sessions on normalised actions."""

from __future__ import annotations

from session_widgets.analysis.alignment.alignment import Alignment, Divergences, StoredRun, align, check_ids, read_run
from session_widgets.analysis.alignment.divergence import Divergence
from session_widgets.analysis.alignment.edited_files import edited_files

__all__ = [
    "Alignment",
    "Divergence",
    "Divergences",
    "StoredRun",
    "align",
    "check_ids",
    "edited_files",
    "read_run",
]
