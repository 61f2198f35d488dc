"""Run coding agents from a notebook, and keep every transcript as data."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from session_widgets import errors
from session_widgets._sessions import display
from session_widgets._store import hits
from session_widgets.version import __version__

if TYPE_CHECKING:
    from session_widgets import analysis
    from session_widgets._harnesses.harness import Harness
    from session_widgets._sandboxes.options import Sandbox
    from session_widgets._sessions import (
        PermissionRequest,
        QuestionRequest,
        Session,
        Turn,
        TurnLimits,
        local_s3,
        open_session,
    )
    from session_widgets._sessions.harness_info import harnesses, install_harness
    from session_widgets._sessions.sandbox_info import sandbox_providers, sandboxes
    from session_widgets._store import Store, search, sessions, store
    from session_widgets.model import ExecResult, FileInfo
    from session_widgets.transcript.records import Event, FileChange, Step, Usage
    from session_widgets.transcript.transcript import Transcript
    from session_widgets.widgets import Chat, Compare, FileBrowser, Replay, Search, SessionPanel

_HOMES = {
    "Event": "transcript.records",
    "ExecResult": "model",
    "FileChange": "transcript.records",
    "FileInfo": "model",
    "Harness": "_harnesses.harness",
    "Step": "transcript.records",
    "Usage": "transcript.records",
    "PermissionRequest": "_sessions",
    "Sandbox": "_sandboxes.options",
    "QuestionRequest": "_sessions",
    "Session": "_sessions",
    "Transcript": "transcript.transcript",
    "Turn": "_sessions",
    "TurnLimits": "_sessions",
    "harnesses": "_sessions.harness_info",
    "install_harness": "_sessions.harness_info",
    "local_s3": "_sessions",
    "sandbox_providers": "_sessions.sandbox_info",
    "sandboxes": "_sessions.sandbox_info",
    "open_session": "_sessions",
    "Store": "_store",
    "search": "_store",
    "sessions": "_store",
    "store": "_store",
    "Chat": "widgets",
    "Compare": "widgets",
    "FileBrowser": "widgets",
    "Replay": "widgets",
    "Search": "widgets",
    "SessionPanel": "widgets",
    "analysis": "analysis",
}

__all__ = [
    "Chat",
    "Compare",
    "Event",
    "ExecResult",
    "FileBrowser",
    "FileChange",
    "FileInfo",
    "Harness",
    "PermissionRequest",
    "QuestionRequest",
    "Replay",
    "Sandbox",
    "Search",
    "Session",
    "SessionPanel",
    "Step",
    "Store",
    "Transcript",
    "Turn",
    "TurnLimits",
    "Usage",
    "__version__",
    "analysis",
    "errors",
    "harnesses",
    "install_harness",
    "local_s3",
    "open_session",
    "sandbox_providers",
    "sandboxes",
    "search",
    "sessions",
    "store",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that `import session_widgets` stays fast."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'session_widgets' has no attribute {name!r}")
    module = import_module(f"session_widgets.{home}")
    value = module if home == name else getattr(module, name)
    globals()[name] = value
    return value


def _draw_panel(session: Session) -> None:
    from session_widgets.widgets import SessionPanel

    if session._panel is None or session._panel.comm is None:
        session._panel = SessionPanel(session)
    session._panel._ipython_display_()


display.draw = _draw_panel


def _draw_sandboxes(found: Any) -> None:
    from session_widgets.widgets.sandboxes import SandboxTable

    SandboxTable(found)._ipython_display_()


display.draw_sandboxes = _draw_sandboxes


def _replay(store: Store, session_id: str, at: str) -> Replay:
    from session_widgets.widgets import Replay

    return Replay(session_id, at, store=store)


hits.replay = _replay


def __dir__() -> list[str]:
    return __all__
