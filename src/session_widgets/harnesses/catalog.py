"""The harnesses of this release, as data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from session_widgets.errors import BadValue
from session_widgets.version import __version__

STATE_FOLDER = ".harness"
LATER = ("claude", "codex", "opencode", "pi")


@dataclass(frozen=True, slots=True)
class Harness:
    """An agent program that speaks ACP over stdio.

    Attributes:
        id: the name given to `open_session(harness=...)`.
        title: the name shown to people.
        description: one sentence.
        argv: the command; `{python}` stands for the sandbox's interpreter.
        env: variables of the agent process; `{state}` stands for `state_folder(workspace)`.
        install: how to get it.
        version: of the program, recorded with each session.
    """

    id: str
    title: str
    description: str
    argv: tuple[str, ...]
    install: str
    version: str
    env: Mapping[str, str] = field(default_factory=dict)

    def state_folder(self, workspace: str) -> str:
        """Return where the harness keeps its own sessions: part of the workspace, so that they move with it."""
        return f"{workspace.rstrip('/')}/{STATE_FOLDER}/{self.id}"

    def command(self, workspace: str, *, python: str = sys.executable) -> dict[str, Any]:
        """Return this harness's entry in the runner's configuration.

        Args:
            workspace: absolute POSIX path of the workspace inside the sandbox.
            python: interpreter inside the sandbox; by default the running one.

        Returns:
            `{"command": [...], "env": {...}, "version": "..."}`; no shell takes part.

        Example:
            >>> get("demo").command("/workspace", python="python3")["env"]
            {'DEMO_STATE_DIR': '/workspace/.harness/demo'}
        """
        places = {"{python}": python, "{state}": self.state_folder(workspace)}
        return {
            "command": [places.get(word, word) for word in self.argv],
            "env": {name: places.get(value, value) for name, value in self.env.items()},
            "version": self.version,
        }


_HARNESSES = {
    harness.id: harness
    for harness in (
        Harness(
            id="demo",
            title="Demo",
            description="A real ACP agent without a model: it follows a small script, or looks around and takes notes.",
            argv=("{python}", "-P", "-m", "session_widgets.harnesses.demo"),  # -P: workspace files are no modules
            env={"DEMO_STATE_DIR": "{state}"},
            install="comes with session-widgets",
            version=__version__,
        ),
    )
}


def names() -> list[str]:
    """Return the ids of the harnesses that can be started."""
    return list(_HARNESSES)


def get(name: str) -> Harness:
    """Return a harness by id.

    Raises:
        BadValue: there is none; the message lists what exists and how to get it.
    """
    harness = _HARNESSES.get(name) if isinstance(name, str) else None
    if harness:
        return harness
    what = f"harness {name!r} is not in this release" if name in LATER else f"there is no harness {name!r:.80}"
    choices = "; ".join(f"{each.id!r} ({each.install})" for each in _HARNESSES.values())
    raise BadValue(f"{what}. Choose one of: {choices}.")
