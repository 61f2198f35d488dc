"""The agent program as the page shows it, and what keeps it from starting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_widgets.widgets._protocol import AgentView, MissingView

if TYPE_CHECKING:
    from session_widgets.sessions import Session


def agent_view(session: Session) -> AgentView:
    """Return the harness's title and version, and what it suggests to begin with."""
    harness = session._harness
    return {"title": harness.title, "version": harness.version, "suggestions": list(harness.suggestions)}


def missing_view(session: Session) -> MissingView | None:
    """Return what the harness lacks: names of keys, never their values."""
    lack = session._lack
    return {"install": lack.install, "keys": list(lack.keys)} if lack.install or lack.keys else None
