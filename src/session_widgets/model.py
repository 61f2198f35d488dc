"""Values of sandboxes and workspaces that several layers share. Frozen, without I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Flag, auto
from typing import Literal

from session_widgets.errors import BadValue

PermissionMode = Literal["ask", "allow_reads", "allow_edits", "allow_all", "deny"]
SANDBOX_LIFETIME = 24 * 3600
"""Seconds after which a sandbox at a cloud parks or ends in any case, unless its options say another time."""


SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def check_session_id(value: object) -> str:
    """Return `value` if it can name a session, else raise `BadValue`."""
    if isinstance(value, str) and SESSION_ID.fullmatch(value):
        return value
    raise BadValue(
        f"session id must be 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-'; got {value!r:.80}. "
        "Choose another id, for example 'my-session'."
    )


class Capability(Flag):
    """Features of a sandbox provider; checked before use."""

    NONE = 0
    PARK_KEEPS_PROCESSES = auto()
    EXTEND = auto()
    ISOLATED = auto()
    FUSE = auto()
    BUCKET = auto()
    PORTS = auto()
    EXTERNAL = auto()
    """A server that another person runs: harnesses and keys are its own, and only our agents in it may be stopped."""
    SHARES_FILES = auto()
    """Its sandboxes work on a directory of this host; the others have a file system of their own."""
    RENTED = auto()
    """Running sandboxes cost money: reading files never starts a parked one."""


@dataclass(frozen=True, slots=True)
class SandboxRef:
    """The storable name of a sandbox: `str(ref)` is "local:3f2a..."."""

    provider: str
    id: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> SandboxRef:
        """Read "provider:id"; raise `BadValue` for anything else."""
        provider, _, id_ = text.partition(":")
        if not provider or not id_:
            raise BadValue(f"a sandbox reference reads 'provider:id', for example 'local:3f2a'; got {text!r:.80}")
        return cls(provider, id_)


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a sandbox, as the programs in it see it.

    Attributes:
        root: absolute path of the workspace.
        python: interpreter with session-widgets.
        node: Node.js; None if it has none.
        path: PATH of agents.
        platform: kernel and processor as npm packages name them, such as "linux-x64".
        harnesses: how an installed harness arrives: "host" at its path on this host, "mounted" or "uploaded" below
            `harness_folder`; "image": the machine has its own, and nothing is passed to it.
        harness_folder: absolute path; "" for "host" and "image".
        cache: a writable directory that may be deleted.
    """

    root: str
    python: str
    node: str | None
    path: str
    platform: str
    harnesses: Literal["host", "mounted", "uploaded", "image"]
    harness_folder: str = ""
    cache: str = "/tmp/cache"  # noqa: S108 - of a container, which nobody else is in


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of a port of a sandbox; `headers` contain the token and must not be logged."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ExecResult:
    """Outcome of a command: exit code (negative: killed by that signal), output as text and as bytes."""

    code: int
    out: str
    err: str
    out_bytes: bytes = field(default=b"", repr=False)
    err_bytes: bytes = field(default=b"", repr=False)
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One entry of a workspace; `path` is relative to it, `size` in bytes, `modified` in UTC (None where unknown)."""

    path: str
    name: str
    type: Literal["file", "directory", "symlink", "other"]
    size: int
    modified: datetime | None
