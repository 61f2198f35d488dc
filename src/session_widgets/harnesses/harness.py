"""What a harness is: how to start it, what it needs, and where it keeps its memory. Data, no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from session_widgets.errors import BadValue

STATE_FOLDER = ".harness"
HARNESS_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SUGGESTIONS = (
    "Look around and tell me what is in this workspace",
    "Write a small Python script and run it",
    "Make a plan before you change anything",
)
"""What any agent with a model can do."""

Settings = Callable[[Mapping[str, str], str | None], Mapping[str, str]]
"""Takes what the harness is given of the environment, and the wanted model; returns settings files by path."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where programs are inside a sandbox.

    Attributes:
        python: interpreter that has session-widgets.
        node: Node.js, None if there is none.
        modules: the `node_modules` of the harness, None if it is not installed.
        path: PATH of the agent process.
        platform: kernel and processor as npm packages name them, such as "linux-x64".
        cache: a directory that can be written and lost.
    """

    python: str
    node: str | None = None
    modules: str | None = None
    path: str = "/usr/local/bin:/usr/bin:/bin"
    platform: str = "linux-x64"
    cache: str = "/tmp/cache"  # noqa: S108 - of a container, which nobody else is in


@dataclass(frozen=True, slots=True)
class Harness:
    """An agent program that speaks ACP over stdio: one of the catalog, or any other.

    Attributes:
        command: program and arguments; `{python}`, `{node}`, `{modules}` and `{native}` stand for places inside the
            sandbox.
        id: its name in sessions; by default the program's.
        title: the name shown to people; by default the id.
        description: one sentence.
        version: of the program, recorded with each session.
        install: how to get it, in words.
        env: variables of the agent process; `{state}` stands for `state_folder(workspace)`, `{path}` for PATH,
            `{cache}` for a directory that can be lost.
        keys: names of variables of the notebook that hold its key; one of them must be set. Empty: it needs none.
        passes: names of other variables that it is given if the notebook has them.
        node: oldest Node.js that it runs on, 0 if it needs none.
        natives: package with the program itself, by platform; `{native}` stands for it.
        installs: whether `install_harness` gets it.
        settings: makes its settings files.
        resumes: how a new process of it gets its memory back, as was tried: "resume", "load", or "" if nobody knows.
        restart_after_cancel: whether its process has to be replaced after a cancelled or failed prompt.
        portable: whether it works with a memory that it loaded where the workspace has another path than before.
        reads_resources: whether its model is shown the text of a resource in a prompt; what a handover tells is one.
        servers: whether it uses the MCP servers of a session; the notebook's tools are one.
        skills: folder of the workspace that it reads skills from.
        suggestions: prompts that a new session offers to begin with.

    Example:
        >>> Harness(command=("my-agent", "acp")).id
        'my-agent'
    """

    command: Sequence[str]
    id: str = ""
    title: str = ""
    description: str = ""
    version: str = ""
    install: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()
    node: int = 0
    natives: Mapping[str, str] = field(default_factory=dict)
    installs: bool = False
    settings: Settings | None = None
    resumes: str = ""
    restart_after_cancel: bool = False
    portable: bool = True
    reads_resources: bool = True
    servers: bool = True
    suggestions: Sequence[str] = SUGGESTIONS
    skills: str = ".agents/skills"

    def __post_init__(self) -> None:
        if isinstance(self.command, str) or not self.command or not all(isinstance(w, str) for w in self.command):
            raise BadValue(
                f"command must be a list of words, program first: ['my-agent', 'acp']; got {self.command!r:.120}."
            )
        object.__setattr__(self, "command", tuple(self.command))
        if not self.id:
            object.__setattr__(self, "id", self.command[0].rpartition("/")[2])
        if not HARNESS_ID.fullmatch(self.id):
            raise BadValue(f"a harness needs an id of A-Z, a-z, 0-9, '.', '_' and '-'; got {self.id!r:.80}. Pass id=.")
        if not self.title:
            object.__setattr__(self, "title", self.id)

    def state_folder(self, workspace: str) -> str:
        """Return where the harness keeps its own sessions: part of the workspace, so that they move with it."""
        return f"{workspace.rstrip('/')}/{STATE_FOLDER}/{self.id}"

    def entry(self, workspace: str, place: Place, given: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return this harness's entry in the runner's configuration.

        Args:
            workspace: absolute POSIX path of the workspace inside the sandbox.
            place: where programs are inside the sandbox.
            given: the notebook's environment, of which only `keys` and `passes` are taken.

        Returns:
            `{"command": [...], "env": {...}, "version": "...", "keys": [...]}`; no shell takes part.
        """
        fill = {
            "{python}": place.python,
            "{node}": place.node or "node",
            "{modules}": place.modules or "",
            "{native}": self.natives.get(place.platform, ""),
            "{state}": self.state_folder(workspace),
            "{path}": place.path,
            "{cache}": place.cache,
        }
        environment = {name: _filled(value, fill) for name, value in self.env.items()}
        return {
            "command": [_filled(word, fill) for word in self.command],
            "env": environment | self.passed(given or {}),
            "version": self.version,
            "keys": list(self.keys),
        }

    def passed(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of the notebook that this harness is given: by name, and no other."""
        return {name: given[name] for name in (*self.keys, *self.passes) if given.get(name)}


def _filled(text: str, fill: Mapping[str, str]) -> str:
    for name, value in fill.items():
        text = text.replace(name, value)
    return text
