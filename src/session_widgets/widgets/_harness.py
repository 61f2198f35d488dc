"""The harness for the page, and its missing requirements."""

from __future__ import annotations

from session_widgets.widgets._control import SessionControl
from session_widgets.widgets._views import AgentView, MissingView


def agent_view(control: SessionControl | None, id: str) -> AgentView:
    """Return the harness's title, version and suggestions; of a stored session only its id."""
    if control is None:
        return {"title": id, "version": "", "suggestions": []}
    harness = control.harness
    return {"title": harness.title, "version": harness.version, "suggestions": list(harness.suggestions)}


def missing_view(control: SessionControl | None) -> MissingView | None:
    """Return the missing requirements of the harness: names of keys, never their values."""
    missing = control.missing if control is not None else None
    return (
        {"install": missing.install, "keys": list(missing.keys)}
        if missing and (missing.install or missing.keys)
        else None
    )
