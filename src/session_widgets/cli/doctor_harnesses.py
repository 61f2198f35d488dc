"""`doctor` checks of harnesses, and of the Node.js that most of them need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from session_widgets._harnesses.entries import HARNESSES
from session_widgets._harnesses.installing import Installation
from session_widgets._harnesses.node import NODE_FOR_NPM, find_node
from session_widgets.cli.checks import Check, output


def harness_checks(home: Path) -> Iterator[Check]:
    """Report installed harnesses with their versions; starts only `node --version`."""
    node = find_node(NODE_FOR_NPM)
    if node is None:
        remedy = "to install harnesses and to run some of them: pip install 'session-widgets[node]'"
        yield Check("Node.js", False, f"none of version {NODE_FOR_NPM} or newer", remedy, optional=True)
    else:
        yield Check("Node.js", True, f"{output([node, '--version'])} ({node})")
    for harness in HARNESSES:
        if harness.installs:
            installation = Installation(harness, home)
            there = installation.modules is not None
            found = f"{harness.version} in {installation.path}" if there else f"{harness.version} is not installed"
            remedy = "" if there else f"session-widgets harness install {harness.id}"
            yield Check(harness.title, there, found, remedy, optional=True)
