"""The contract's checks on few boxes: those that are not about a box's life use one that is there already."""

from session_widgets._sandboxes.conformance import OF_LIFE, SharingSubject

__all__ = ["OF_LIFE", "SharingSubject"]
