"""Directories that outlive their sandboxes."""

from session_widgets.workspaces.local import LocalWorkspace

__all__ = ["LocalWorkspace"]
