"""Transcripts in one DuckDB file."""

from __future__ import annotations


def store(path: object = None) -> object:
    """TODO."""


def sessions() -> object:
    """TODO."""
