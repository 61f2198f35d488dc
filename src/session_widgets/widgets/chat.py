"""The conversation with an agent."""

from __future__ import annotations

from session_widgets.widgets._base import STATIC, SessionWidget


class Chat(SessionWidget):
    """Show a session's transcript as it grows, ask for permissions, send prompts.

    Args:
        session: the session to show.

    Example:
        >>> import session_widgets as sw
        >>> sw.Chat(sw.open_session("hello"))  # doctest: +SKIP
    """

    _esm = STATIC / "chat.js"
    _css = STATIC / "chat.css"
    files = False
