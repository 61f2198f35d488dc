"""The release, as recorded with each session."""

__version__ = "0.1.0"
