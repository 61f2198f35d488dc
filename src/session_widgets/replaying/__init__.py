"""A session at any moment, from its events: steps, plan, commands, files, and the time line. No I/O."""

from __future__ import annotations

from session_widgets.replaying.files import FileState, Kept, KeptAll
from session_widgets.replaying.marks import MARKS, Mark
from session_widgets.replaying.recording import Moment, Recording

__all__ = ["MARKS", "FileState", "Kept", "KeptAll", "Mark", "Moment", "Recording"]
