"""The client's part of the path jail; the runner's part follows no link out of the workspace."""

from __future__ import annotations

from session_widgets.errors import BadPath


def check_path(path: str, *, root: bool = False) -> str:
    """Return a workspace path in normal form, or raise `BadPath`.

    Args:
        path: relative, with "/" between names; "" and "." are the workspace itself.
        root: whether the workspace itself is allowed.
    """
    if not isinstance(path, str):
        raise BadPath(f"a workspace path is text such as 'src/a.py'; got {type(path).__name__}.")
    shown = f"{path!r:.120}"
    if "\0" in path:
        raise BadPath(f"a workspace path cannot hold a NUL character; got {shown}.")
    if path.startswith(("/", "~")):
        raise BadPath(f"a workspace path is relative to the workspace; got {shown}. Leave the leading part out.")
    names = [name for name in path.split("/") if name not in {"", "."}]
    if ".." in names:
        raise BadPath(f"a workspace path cannot leave the workspace with '..'; got {shown}.")
    if not names and not root:
        raise BadPath(f"a path inside the workspace was expected; got {shown}.")
    return "/".join(names)
