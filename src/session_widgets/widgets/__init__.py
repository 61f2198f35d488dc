"""Widgets that show a session in a notebook cell."""

from session_widgets.widgets.chat import Chat
from session_widgets.widgets.files import FileBrowser
from session_widgets.widgets.panel import SessionPanel

__all__ = ["Chat", "FileBrowser", "SessionPanel"]
