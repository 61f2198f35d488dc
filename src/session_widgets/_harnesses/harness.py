"""Description of a harness: command, requirements, and location of its memory. Data, no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from session_widgets.errors import BadValue

STATE_FOLDER = ".harness"
HARNESS_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SUGGESTIONS = (
    "Look around and tell me what is in this workspace",
    "Write a small Python script and run it",
    "Make a plan before you change anything",
)
"""Prompts for any agent with a model."""

Settings = Callable[[Mapping[str, str], str | None], Mapping[str, str]]
"""Receives the harness's variables and the wanted model; returns settings files by path."""


@dataclass(frozen=True, slots=True)
class RuntimePaths:
    """Paths of programs inside a sandbox.

    Attributes:
        python: interpreter with session-widgets.
        node: Node.js, None if it is missing.
        modules: the `node_modules` of the harness, None if it is not installed.
        path: PATH of the agent process.
        platform: kernel and processor as npm packages name them, such as "linux-x64".
        cache: a writable directory that may be deleted.
    """

    python: str
    node: str | None = None
    modules: str | None = None
    path: str = "/usr/local/bin:/usr/bin:/bin"
    platform: str = "linux-x64"
    cache: str = "/tmp/cache"  # noqa: S108 - of a container, which nobody else is in


@dataclass(frozen=True, slots=True)
class Harness:
    """An agent program that speaks ACP over stdio: from the catalog, or your own.

    Attributes:
        command: program and arguments; paths inside the sandbox replace `{python}`, `{node}`, `{modules}` and
            `{native}`.
        id: its name in sessions; by default the program's.
        title: the name shown to people; by default the id.
        description: one sentence.
        version: of the program, recorded with each session.
        install: installation instructions, as text.
        env: variables of the agent process; `{state}` is replaced by `state_folder(workspace)`, `{path}` by PATH,
            `{cache}` by a directory that may be deleted.
        keys: names of the notebook's variables for its key; one of them must be set. Empty: it needs none.
        env_passthrough: names of other variables that it receives if the notebook has them.
        hosts: of its model's API, by the key that leads there; "" is for no key. "*." stands for every name below. A
            sandbox with a restricted network reaches them, too.
        base_url: name of the variable with another address of that API, which replaces `hosts` if it is set.
        node: oldest supported Node.js, 0 if it needs none.
        platform_packages: package with the native program, by platform; `{native}` is replaced by it.
        installs: whether `install_harness` can install it.
        settings: makes its settings files.
        resumes: how a new process restores its memory, as tested: "resume", "load", or "" if unknown.
        restart_after_cancel: whether its process must be replaced after a cancelled or failed prompt.
        portable: whether it works with a loaded memory when the path of the workspace has changed.
        reads_resources: whether its model sees the text of a resource in a prompt; the handover history is a resource.
        supports_mcp: whether it supports the session's MCP servers; the notebook's tools are one.
        skills: folder of the workspace for its skills.
        suggestions: first prompts that a new session suggests.
        memory_file: its file of a session, below `state_folder(workspace)`: `{folder}` is the path of the workspace
            with "-" for all but letters and digits, `{id}` its own id, `{day}` and `{time}` when the session began.
        memory_format: the format of that file, as `Store.export` names it.

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
    env_passthrough: tuple[str, ...] = ()
    hosts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    base_url: str = ""
    node: int = 0
    platform_packages: Mapping[str, str] = field(default_factory=dict)
    installs: bool = False
    settings: Settings | None = None
    resumes: str = ""
    restart_after_cancel: bool = False
    portable: bool = True
    reads_resources: bool = True
    supports_mcp: bool = True
    suggestions: Sequence[str] = SUGGESTIONS
    skills: str = ".agents/skills"
    memory_file: str = ""
    memory_format: str = ""

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
        """Return the folder of the harness's own sessions: part of the workspace, so that they move with it."""
        return f"{workspace.rstrip('/')}/{STATE_FOLDER}/{self.id}"

    def entry(self, workspace: str, place: RuntimePaths, given: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return this harness's entry in the runner's configuration.

        Args:
            workspace: absolute POSIX path of the workspace inside the sandbox.
            place: paths of programs inside the sandbox.
            given: the notebook's environment, from which only `keys` and `env_passthrough` are used.

        Returns:
            `{"command": [...], "env": {...}, "version": "...", "keys": [...]}`; it runs without a shell.
        """
        fill = {
            "{python}": place.python,
            "{node}": place.node or "node",
            "{modules}": place.modules or "",
            "{native}": self.platform_packages.get(place.platform, ""),
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
        """Return the notebook's variables for this harness: only those that it names."""
        return {name: given[name] for name in (*self.keys, *self.env_passthrough) if given.get(name)}

    def model_hosts(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """Return the addresses of its model's API, "name" (its port is 443) or "name:port".

        Args:
            env: of the agent process.
        """
        if url := env.get(self.base_url):
            return _address(url)
        named = [host for key, hosts in self.hosts.items() if not key or env.get(key) for host in hosts]
        return tuple(dict.fromkeys(named))


def _address(url: str) -> tuple[str, ...]:
    """Return where an API is; nothing if the address is none, or one of IPv6."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return ()
    if not host or ":" in host:
        return ()
    return (f"{host}:{port or (80 if parts.scheme == 'http' else 443)}",)


def _filled(text: str, fill: Mapping[str, str]) -> str:
    for name, value in fill.items():
        text = text.replace(name, value)
    return text
