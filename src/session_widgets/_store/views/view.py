"""A view with its documentation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """A view of the store.

    Attributes:
        name: in SQL.
        about: what a row is.
        query: SELECT over the tables and over views before it.
        columns: one or several names, separated by commas, and their content in Markdown.
        example: a query.
    """

    name: str
    about: str
    query: str
    columns: tuple[tuple[str, str], ...]
    example: str

    @property
    def names(self) -> list[str]:
        """Names of the documented columns, in order."""
        return [name.strip() for names, _ in self.columns for name in names.split(",")]
