"""Directories that outlive their sandboxes."""

from session_widgets.workspaces.bucket_location import SCHEME
from session_widgets.workspaces.contract import Scan, Workspace
from session_widgets.workspaces.files import ObjectFiles
from session_widgets.workspaces.place import place, remembered

__all__ = ["SCHEME", "ObjectFiles", "Scan", "Workspace", "place", "remembered"]
