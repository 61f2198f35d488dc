"""Chat and files side by side: the view of a session in a cell."""

from __future__ import annotations

import traitlets

from session_widgets.widgets._base import STATIC
from session_widgets.widgets.chat import Chat


class SessionPanel(Chat):
    """Show a session: the conversation on the left, its files on the right, a divider between them.

    Args:
        session: the session to show.

    Attributes:
        selected: path of the file in the preview, relative to the workspace; "" for none.
        divider: the conversation's share of the width, 0.25 to 0.8; 0.62 at first.

    Example:
        >>> import session_widgets as sw
        >>> sw.SessionPanel(sw.open_session("hello"))  # doctest: +SKIP
    """

    _esm = STATIC / "panel.js"
    _css = STATIC / "panel.css"
    files = True
    selected = traitlets.Unicode().tag(sync=True)
    divider = traitlets.Float(0.62, min=0.25, max=0.8).tag(sync=True)
