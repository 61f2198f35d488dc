"""Alignment of sessions on normalised actions."""

from __future__ import annotations

from session_widgets.analysis.alignment.alignment import Alignment, Divergences, align
from session_widgets.analysis.alignment.divergence import Divergence

__all__ = ["Alignment", "Divergence", "Divergences", "align"]
