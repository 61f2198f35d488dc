"""A mutant's change as text that does not depend on line numbers."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

ERRORS = ("Error", "Exception", "Warning")
SQL = re.compile(r"\s*(select|insert|update|delete|truncate|use|detach|checkpoint) ")
"""Statements in which DuckDB does not look at the case, unless they hold a text."""
LOGGERS = {"log", "logger", "logging", "warnings"}


class Change(NamedTuple):
    """One small fault in one function."""

    file: str
    """Under `src/session_widgets`."""
    function: str
    before: str
    after: str
    left_out: bool
    """Whether it changes the words of an error or of a log line, or the case of SQL, and nothing else."""

    @property
    def name(self) -> str:
        """Its name in `survivors.toml`, below that of its file."""
        return f"{self.function}: {self.before} -> {self.after}"


def change(file: str, function: str, before: str, after: str, errors: set[str]) -> Change:
    """Compare the source of a function with that of its mutant.

    Args:
        file: where it stands, under `src/session_widgets`.
        function: its name, with that of its class.
        before: its source.
        after: the mutant's.
        errors: names of what is raised; a text with a space in it that is given to them is a message.
    """
    old, new = ([line.strip() for line in text.splitlines()] for text in (before, after))
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    lost, added = " ".join(old), " ".join(new)
    return Change(file, function, lost, added, _is_left_out(before, after, errors))


def _is_left_out(before: str, after: str, errors: set[str]) -> bool:
    old, new = (list(_with_parents(ast.parse(textwrap.dedent(text)))) for text in (before, after))
    if len(old) != len(new):
        return False
    differing = [
        (one, other, parents) for (one, parents), (other, _) in zip(old, new, strict=True) if _own(one) != _own(other)
    ]
    if len(differing) != 1:
        return False
    one, other, parents = differing[0]
    words, others = _words(one), _words(other)
    if not words or not others:
        return False
    if SQL.match(words) and "'" not in words:
        return words.lower() == others.lower()
    return any(isinstance(parent, ast.Raise | ast.Assert) or _is_told(parent, errors) for parent in parents)


def _words(node: ast.AST) -> str:
    """Return a text of several words; "" for anything else."""
    return (
        node.value
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()
        else ""
    )


def _is_told(node: ast.AST, errors: set[str]) -> bool:
    """Whether this makes an error, or writes to a log."""
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name in errors or name.endswith(ERRORS)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name))):
            return name.lower() in LOGGERS
        case _:
            return False


def _with_parents(node: ast.AST, above: tuple[ast.AST, ...] = ()) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    yield node, above
    for child in ast.iter_child_nodes(node):
        yield from _with_parents(child, (*above, node))


def _own(node: ast.AST) -> tuple[object, ...]:
    """What a node is without its children."""
    values = [value for _, value in ast.iter_fields(node) if not isinstance(value, ast.AST | list)]
    return (type(node), *((type(value), value) for value in values))
