"""The configuration file of a runner."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import orjson

from session_widgets.runner.account import User
from session_widgets.runner.confinement import Confinement, confinement_of
from session_widgets.runner.doors import DoorsConfig
from session_widgets.runner.limits import Limits


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """The command of an agent; `env` may contain keys and is never shown.

    Attributes:
        keys: names of variables, one of which contains its key; empty if it needs no key.
    """

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    version: str | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """The config file.

    Attributes:
        root: the workspace; no file outside is served.
        state: directory for journals, snapshots and `ready.json`.
        token_sha256: the hash of the token, in hexadecimal digits, for a runner that is not given the token itself.
        port: 0 = any free one.
        user: user id and group id of agents, commands and files; None: the runner's own.
        env: variables of agents and commands, in addition to the runner's own; may contain keys.
        confinement: how agents, commands and terminals are confined; None: not at all.
        claims: whether a session must claim the runner before it works (`PUT /v1/session`), with its agents and `env`.
        harnesses: folder of uploaded harnesses, which agents can read; None: beside `state`.
        doors: the way in and out if the sandbox has no network; None: it has one.
        idle_seconds: exit after this time without requests, agent work and processes; 0 = never.
    """

    root: Path
    state: Path
    nonce: str
    token: str = field(default="", repr=False)
    token_sha256: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    user: User | None = None
    confinement: Confinement | None = None
    claims: bool = False
    harnesses: Path | None = None
    doors: DoorsConfig | None = None
    idle_seconds: float = 1800
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    agents: Mapping[str, AgentCommand] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read the JSON file; raise `ValueError` with a message for the user."""
        if not path.exists():
            raise ValueError(f"there is no {path}: a runner removes it once it is read, so each start needs a new one")
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ValueError(f"{path} holds the token and must be readable by its owner alone: chmod 600 {path}")
        value: dict[str, Any] = orjson.loads(path.read_bytes())
        unknown = set(value) - set(cls.__slots__)
        if unknown:
            raise ValueError(f"unknown settings in {path}: {', '.join(sorted(unknown))}")
        missing = {"root", "state", "nonce"} - set(value)
        missing |= {"token"} - set(value) if "token_sha256" not in value else set()
        if missing:
            raise ValueError(f"missing settings in {path}: {', '.join(sorted(missing))}")
        if not value.get("token") and not value.get("token_sha256"):
            raise ValueError(f"token in {path} must not be empty")
        root = Path(os.path.abspath(value["root"]))  # noqa: PTH100 - keeps a link as the name of the root
        if not root.is_dir():
            raise ValueError(f"root is not a directory: {root}")
        return cls(
            **{
                **value,
                "root": root,
                "state": Path(value["state"]).resolve(),
                "user": _user(value.get("user")),
                "confinement": confinement_of(value.get("confinement")),
                "harnesses": Path(value["harnesses"]).resolve() if value.get("harnesses") else None,
                "doors": DoorsConfig.from_json(value["doors"]) if value.get("doors") else None,
                "agents": agents_of(value.get("agents") or {}),
                "limits": Limits.from_json(value.get("limits") or {}),
            }
        )


def agents_of(value: object) -> dict[str, AgentCommand]:
    """Read launch entries by name; raise `ValueError` for anything else."""
    if not isinstance(value, dict):
        raise ValueError("agents must be an object")
    return {name: _agent(name, entry) for name, entry in value.items()}


def _agent(name: str, entry: object) -> AgentCommand:
    if not isinstance(entry, dict):
        raise ValueError(f"agent {name!r:.80} must be an object")
    command, version = entry.get("command"), entry.get("version")
    env, keys = entry.get("env") or {}, entry.get("keys") or []
    if not is_texts(command) or not command:
        raise ValueError(f"the command of agent {name!r:.80} must be a list of text")
    if not is_text_by_name(env) or not is_texts(keys) or not isinstance(version, str | None):
        raise ValueError(f"agent {name!r:.80} must have env as text by name, keys as a list of text, version as text")
    return AgentCommand(tuple(command), env, version, tuple(keys))


def is_texts(value: object) -> TypeGuard[list[str]]:
    """Whether a JSON value is a list of text."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def is_text_by_name(value: object) -> TypeGuard[dict[str, str]]:
    """Whether a JSON value is an object of text."""
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _user(value: object) -> User | None:
    match value:
        case None:
            return None
        case [int(uid), int(gid)] if uid > 0 and gid >= 0:
            return uid, gid
    raise ValueError(f"user must be a user id other than root's and a group id: {value!r:.40}")
