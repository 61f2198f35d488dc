"""The files of a session's workspace."""

from __future__ import annotations

import traitlets

from session_widgets.widgets._base import STATIC, SessionWidget


class FileBrowser(SessionWidget):
    """Show a session's workspace as a tree that follows the agent, with previews, uploads and downloads.

    Args:
        session: the session whose workspace to show.

    Attributes:
        selected: path of the file in the preview, relative to the workspace; "" for none.

    Example:
        >>> import session_widgets as sw
        >>> sw.FileBrowser(sw.open_session("hello"))  # doctest: +SKIP
    """

    _esm = STATIC / "files.js"
    _css = STATIC / "files.css"
    conversation = False
    selected = traitlets.Unicode().tag(sync=True)
