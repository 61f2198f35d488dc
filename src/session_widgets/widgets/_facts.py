"""What a page shows of a session beside its steps: header, turns, settings, activity, and the question of a cell."""

from __future__ import annotations

from session_widgets.transcript.sources import EventSource, SharedFold
from session_widgets.widgets._control import SessionControl
from session_widgets.widgets._harness import agent_view
from session_widgets.widgets._text import safe
from session_widgets.widgets._views import (
    CellQuestionView,
    CommandView,
    MissingView,
    SessionView,
    SettingView,
    TurnView,
)
from session_widgets.widgets._wire import (
    cell_question_view,
    commands_view,
    permissions_view,
    session_view,
    settings_view,
    turn_view,
)


class Facts:
    """The facts of one session as views; the caller holds the lock of the fold.

    Args:
        source: the session.
        control: the same session, if it is live.
        shared: its fold in this process.

    Attributes:
        missing: requirements of the harness that were missing at the last look.
        deadline: of the sandbox in use, at the last look.
    """

    def __init__(self, source: EventSource, control: SessionControl | None, shared: SharedFold) -> None:
        self._source = source
        self._control = control
        self._shared = shared
        self.missing: MissingView | None = None
        self.deadline: float | None = None

    def session(self) -> SessionView:
        """Return the content of the header."""
        control, record = self._control, self._shared.fold.session() or self._source.record
        return session_view(
            record,
            record.workspace if control is None else control.root,
            agent_view(control, record.harness),
            self.missing,
            permissions_view("deny" if control is None else control.permissions),
            deleted=control is not None and control.deleted,
            deadline=self.deadline,
        )

    def turn(self, index: int) -> TurnView:
        """Return a turn without its steps."""
        fold = self._shared.fold
        return turn_view(fold.turn(index), fold.home(index), fold.handed_over(index))

    def settings(self) -> list[SettingView] | None:
        """Return the agent's options; None before its first start."""
        return settings_view(self._shared.options)

    def commands(self) -> list[CommandView]:
        """Return the agent's commands."""
        return commands_view(self._shared.options)

    def activity(self) -> str | None:
        """Return the current activity as a short text."""
        text = None if self._control is None else self._control.activity
        return safe(text)[:300] if text else None

    def cell_question(self) -> CellQuestionView | None:
        """Return the current question of a cell."""
        return None if self._control is None else cell_question_view(self._control.page.question)
