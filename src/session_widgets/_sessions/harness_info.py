"""Harnesses for users: list, missing requirements, installation."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from session_widgets._harnesses import catalog
from session_widgets._harnesses.harness import Harness
from session_widgets.errors import BadValue
from session_widgets.printing import html_table, one_line, text_table
from session_widgets.ticker import Ticker
from session_widgets.transcript.options import Choice

if TYPE_CHECKING:
    from session_widgets._harnesses.installing import Installation

_COLUMNS = ("harness", "title", "version", "installed", "key", "Node.js", "resumes by", "what is missing")
_YES = {True: "yes", False: "no"}


@dataclass(frozen=True, slots=True)
class HarnessInfo:
    """One harness, with the requirements that this machine meets.

    Attributes:
        id: its name in `open_session`.
        title: the name shown to people.
        description: one sentence.
        version: the pinned one.
        installed: whether it is installed on this machine.
        install: installation instructions.
        keys: its key variables, and whether each is set. Empty: it needs none.
        node: oldest supported Node.js, 0 if it needs none.
        has_node: whether this machine has it.
        resumes: how a new process restores its memory: "resume", "load", or "" if unknown.
        options: its choices by "mode", "model" and "effort", from the latest probe with these keys;
            empty before `harnesses(probe=True)`. `Choice.current` is its default.
        problem: why the probe failed, in one line; empty if it succeeded, or without a probe.
    """

    id: str
    title: str
    description: str
    version: str
    installed: bool
    install: str
    keys: Mapping[str, bool]
    node: int
    has_node: bool
    resumes: str
    options: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)
    problem: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The steps before its first start, as text; empty if none."""
        todo = [] if self.installed else [self.install]
        if not self.has_node:
            todo.append("pip install 'session-widgets[node]'")
        if self.keys and not any(self.keys.values()):
            todo.append(f"set {' or '.join(self.keys)}")
        return tuple(todo)


class HarnessList(list[HarnessInfo]):
    """Harnesses; a notebook draws them as a table."""

    def __repr__(self) -> str:
        return text_table(_COLUMNS, [_cells(info) for info in self])

    def _repr_html_(self) -> str:
        return html_table(_COLUMNS, [_cells(info) for info in self])


def harnesses(*, probe: bool = False) -> HarnessList:
    """Return the harnesses that `open_session` knows by name, with the missing requirements of each.

    Models, modes and efforts differ by program: a session knows them once its agent has started, and
    `HarnessInfo.options` after a probe.

    Args:
        probe: whether to probe ready harnesses without a cached result for this version and these keys: each is
            started in a temporary directory and stopped, which takes some seconds. No prompt is sent.

    Example:
        >>> [harness.id for harness in harnesses() if not harness.missing]  # doctest: +SKIP
        ['demo', 'claude']
    """
    found = HarnessList(_look(catalog.get(name)) for name in catalog.names())
    return HarnessList(_asked(found)) if probe else found


def _asked(found: HarnessList) -> Iterator[HarnessInfo]:

    from session_widgets._sessions.probing import ask_options, known_options

    ticker = Ticker()
    try:
        for info in found:
            harness = catalog.get(info.id)
            if info.missing or known_options(harness) is not None:
                yield info
                continue
            ticker.show(f"asking {info.title} what it offers")
            options, problem = ask_options(harness)
            yield replace(info, options=options, problem=problem)
    finally:
        ticker.show(None)


def install_harness(*names: str) -> HarnessList:
    """Install harnesses for this user; installed ones are not changed.

    npm fetches the exact packages of this release, verifies them against its checksums,
    and runs no script of them. Nothing is installed globally, and no administrator rights are needed. A notebook shows
    the progress in one line.

    Args:
        names: "claude", "codex", "opencode", "pi", or others of `harnesses()`.

    Returns:
        The harnesses, with their remaining missing requirements.

    Raises:
        BadValue: the name is unknown, or session-widgets does not install it.
        MissingDependency: Node.js 20 or newer is missing: pip install 'session-widgets[node]'.
        HarnessNotReady: the installation failed; the message has the reason, and no part of it is left.
    """
    if not names:
        raise BadValue("name the harnesses to install: install_harness('claude').")
    ticker = Ticker()
    try:
        for installation in installations(names):
            installation.install(ticker.show)
    finally:
        ticker.show(None)
    return HarnessList(_look(catalog.get(name)) for name in names)


def installations(names: Iterable[str]) -> list[Installation]:
    """Return the installations of harnesses; `BadValue` for one that session-widgets does not install."""
    from session_widgets._harnesses.installing import Installation
    from session_widgets.host.data_directory import data_directory

    chosen = [catalog.get(name) for name in names]
    for harness in chosen:
        if not harness.installs:
            raise BadValue(f"session-widgets does not install {harness.id!r}: {harness.install or 'it is yours'}.")
    return [Installation(harness, data_directory()) for harness in chosen]


def _look(harness: Harness) -> HarnessInfo:
    from session_widgets._harnesses.installing import Installation
    from session_widgets._harnesses.node import find_node
    from session_widgets._sessions.probing import known_options
    from session_widgets.host.data_directory import data_directory

    return HarnessInfo(
        harness.id,
        harness.title,
        harness.description,
        harness.version,
        not harness.installs or Installation(harness, data_directory()).modules is not None,
        harness.install,
        {key: bool(os.environ.get(key)) for key in harness.keys},
        harness.node,
        not harness.node or find_node(harness.node) is not None,
        harness.resumes,
        known_options(harness) or {},
    )


def _cells(info: HarnessInfo) -> tuple[str, ...]:
    keys = ", ".join(key for key, is_set in info.keys.items() if is_set)
    node = f">= {info.node}: {_YES[info.has_node]}" if info.node else "not needed"
    facts = (
        info.id,
        info.title,
        info.version,
        _YES[info.installed],
        keys or ("none set" if info.keys else "not needed"),
    )
    return tuple(one_line(fact, 120) for fact in (*facts, node, info.resumes, "; ".join(info.missing)))
