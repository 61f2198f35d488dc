"""Widgets that show a session in a notebook cell, or several side by side, or search them."""

from session_widgets.widgets.chat import Chat
from session_widgets.widgets.compare import Compare
from session_widgets.widgets.files import FileBrowser
from session_widgets.widgets.panel import SessionPanel
from session_widgets.widgets.replay import Replay
from session_widgets.widgets.search import Search

__all__ = ["Chat", "Compare", "FileBrowser", "Replay", "Search", "SessionPanel"]
