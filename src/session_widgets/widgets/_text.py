"""Text that can be sent to the page."""

from __future__ import annotations


def safe(text: str) -> str:
    """Return `text` without lone surrogates, which JSON over a socket cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
