"""Directories that outlive their sandboxes."""

from session_widgets.workspaces.bucket_location import SCHEME
from session_widgets.workspaces.contents import Contents, fork_files, keep_snapshot
from session_widgets.workspaces.contract import Scan, Workspace
from session_widgets.workspaces.file_access import FileAccess
from session_widgets.workspaces.file_tree import FileTree
from session_widgets.workspaces.files import ObjectFiles
from session_widgets.workspaces.place import contents_of, is_used, place, remembered
from session_widgets.workspaces.relayed import forget_records, forget_tree
from session_widgets.workspaces.restoring import restore
from session_widgets.workspaces.snapshot import KeptEntry, Snapshot

__all__ = [
    "SCHEME",
    "Contents",
    "FileAccess",
    "FileTree",
    "KeptEntry",
    "ObjectFiles",
    "Scan",
    "Snapshot",
    "Workspace",
    "contents_of",
    "forget_records",
    "forget_tree",
    "fork_files",
    "is_used",
    "keep_snapshot",
    "place",
    "remembered",
    "restore",
]
