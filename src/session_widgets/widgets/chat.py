"""The conversation with an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import traitlets

from session_widgets.errors import BadValue
from session_widgets.widgets._base import STATIC, SessionWidget
from session_widgets.widgets._parts import step_key

if TYPE_CHECKING:
    from session_widgets._sessions import Session


class Chat(SessionWidget):
    """Show a session's transcript as it grows, ask for permissions, send prompts.

    Args:
        session: the session to show.
        at: the `step_uid` of a step to begin with ("hello/2/14"; "2/14" will do). Default: the newest one.

    Raises:
        BadValue: `at` names no step.

    Example:
        >>> import session_widgets as sw
        >>> sw.Chat(sw.open_session("hello"))  # doctest: +SKIP
    """

    _esm = STATIC / "chat.js"
    _css = STATIC / "chat.css"
    files = False

    at = traitlets.Unicode().tag(sync=True)

    def __init__(self, session: Session, at: str | None = None) -> None:
        super().__init__(session)
        if at is not None:
            self.seek(at)

    def seek(self, at: str) -> None:
        """Bring a step into view, in every view, and mark it.

        Args:
            at: its `step_uid`, or "turn/index".

        Raises:
            BadValue: it names no step.
        """
        key = step_key(at)
        if key is None:
            raise BadValue(f"a step is named by its `step_uid` or 'turn/index'; got {at!r:.200}.")
        self.at = ""  # the same step again is a change, too
        self.at = f"{key[0]}/{key[1]}"
