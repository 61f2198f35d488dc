"""Options of a sandbox beyond its name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from session_widgets._sandboxes.network import OPEN, network_of
from session_widgets.errors import BadValue
from session_widgets.transcript.notes import SessionSandbox

LEAST_MEMORY = 64 << 20
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = "SESSION_WIDGETS_"
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
LEAST_SECONDS, MOST_SECONDS = 60, 366 * 86_400
_TAKEN = ("/workspace", "/run/session-widgets", "/opt/session-widgets", "/opt/harness", "/proc", "/sys", "/dev")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox by name, with options. Accepted wherever the name of a sandbox is.

    Omitted options have the provider's defaults. docs/sandboxes.md says which provider accepts which options.

    Args:
        name: as for `open_session`: "docker", "local", ...
        image: of Docker, with a runner in it: built from `sandbox-image`, or from such an image. Pulled if
            it is missing. At a cloud: an image with Python 3.11 or newer, or the vendor's own name of a template.
        cpus: processors, such as 0.5; 2 by default.
        memory: bytes, or text such as "512m" or "4g"; 4 GB by default, at least 64 MB.
        env: variables for agents and commands, by name. Their values are stored in a file beside the store that only
            your user can read, and in no transcript; the store has their names.
        mounts: directories or files of this machine that the sandbox may read, with their path inside it:
            `{"/data/corpus": "/data"}`. "~" is your home.
        gpu: model of a graphics processor, as the vendor names it: "T4".
        setup: commands that are run once in a new sandbox, as root, before the agent: `["pip install pandas"]`.
        ports: that programs in it will listen on, for `session.endpoint(8000)`.
        idle: seconds, or text such as "15m" or "2h", after which a sandbox without any activity parks itself; 30
            minutes by default, at least one.
        lifetime: seconds, or text such as "4h", after which a cloud parks or ends the sandbox in any case.
        network: what programs in it may reach: "open", "none", or a list with names of hosts ("*.example.com" is every
            name below it) and ranges of IPv4 addresses. An agent reaches its model in any case.
        confine: of "local" on Linux with bubblewrap: whether programs in it see nothing of this machine but the
            workspace and the system's programs, and none of its processes. `mounts` and `network` of "local" need it.

    Raises:
        BadValue: a value is invalid; the message names the field, the expected and the actual value.

    Example:
        >>> session = open_session("parser", sandbox=Sandbox("docker", cpus=1, memory="2g", env={"SEED": "7"}))
    """

    name: str
    image: str | None = None
    cpus: float | None = None
    memory: int | str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: Mapping[str, str] = field(default_factory=dict)
    gpu: str | None = None
    setup: Sequence[str] = ()
    ports: Sequence[int] = ()
    idle: int | str | None = None
    lifetime: int | str | None = None
    network: str | Sequence[str] = OPEN
    confine: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise BadValue(f"name must be that of a sandbox, such as 'docker'; got {self.name!r:.80}.")
        if self.image is not None and (not isinstance(self.image, str) or not re.fullmatch(r"\S+", self.image)):
            raise BadValue(f"image must be the name of a Docker image, such as 'my-sandbox:1'; got {self.image!r:.80}.")
        if self.cpus is not None and not _is_amount(self.cpus):
            raise BadValue(f"cpus must be a number of processors from 0.01, such as 0.5 or 2; got {self.cpus!r:.80}.")
        object.__setattr__(self, "memory", _bytes(self.memory))
        object.__setattr__(self, "env", _variables(self.env))
        object.__setattr__(self, "mounts", _mounts(self.mounts))
        if self.gpu is not None and (not isinstance(self.gpu, str) or not re.fullmatch(r"[\w.:-]{1,60}", self.gpu)):
            raise BadValue(f"gpu must be the name of a model, such as 'T4'; got {self.gpu!r:.80}.")
        object.__setattr__(self, "setup", _commands(self.setup))
        object.__setattr__(self, "ports", _ports(self.ports))
        object.__setattr__(self, "idle", _seconds("idle", self.idle))
        object.__setattr__(self, "lifetime", _seconds("lifetime", self.lifetime))
        object.__setattr__(self, "network", network_of(self.network))
        if not isinstance(self.confine, bool):
            raise BadValue(f"confine must be True or False; got {self.confine!r:.80}.")

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that differ from the provider's defaults."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "name"}
        return tuple(name for name, value in values.items() if (value != OPEN if name == "network" else value))

    @property
    def memory_bytes(self) -> int | None:
        """`memory` as a number."""
        return self.memory if isinstance(self.memory, int) else None

    @property
    def idle_seconds(self) -> int | None:
        """`idle` as a number."""
        return self.idle if isinstance(self.idle, int) else None

    @property
    def lifetime_seconds(self) -> int | None:
        """`lifetime` as a number."""
        return self.lifetime if isinstance(self.lifetime, int) else None

    def json(self) -> dict[str, Any]:
        """Return all options, with the values of `env`. Without `confine` the text is that of earlier releases."""
        values = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        return {name: value for name, value in values.items() if name != "confine" or value}

    def stored(self) -> SessionSandbox:
        """Return the note of the options: of `env` only the names."""
        return SessionSandbox(
            name=self.name,
            image=self.image,
            cpus=self.cpus,
            memory=self.memory_bytes,
            env=tuple(sorted(self.env)),
            mounts=dict(self.mounts),
            gpu=self.gpu,
            setup=tuple(self.setup),
            ports=tuple(self.ports),
            idle=self.idle_seconds,
            lifetime=self.lifetime_seconds,
            network=None if self.network == OPEN else _plain(self.network),
            confine=self.confine,
        )


def check_taken(sandbox: Sandbox, takes: frozenset[str]) -> None:
    """Raise `BadValue` if an option is set that the provider does not accept."""
    if wrong := [name for name in sandbox.given if name not in takes]:
        from session_widgets._sandboxes.registry import providers_with

        can = f"takes {', '.join(f'{name}=' for name in sorted(takes))} alone" if takes else "takes no options"
        having = [f"{name}= is an option of {', '.join(map(repr, providers_with(name))) or 'none'}" for name in wrong]
        raise BadValue(
            f"sandbox {sandbox.name!r} {can}; got {', '.join(f'{name}=' for name in wrong)}. "
            f"Leave that out, or use another sandbox: {'; '.join(having)}."
        )


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0.01


def _bytes(value: object) -> int | None:
    if value is None:
        return None
    size: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())):
        size = int(float(found[1]) * _UNITS[found[2].lower()])
    if size is None or size < LEAST_MEMORY:
        raise BadValue(f"memory must be bytes or text such as '512m' or '4g', at least 64 MB; got {value!r:.80}.")
    return size


def _variables(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise BadValue(f"env must be text by the names of variables; got {type(value).__name__}.")
    for name, text in value.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or name.startswith(_OURS):
            raise BadValue(f"a variable of env has a name such as 'SEED', not '{_OURS}...'; got {name!r:.80}.")
        if not isinstance(text, str) or "\0" in text:  # the value may be a secret and is not shown
            raise BadValue(f"env[{name!r}] must be text without NUL; got {type(text).__name__}. Numbers: str(7).")
    return dict(value)


def _mounts(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise BadValue(f"mounts must be {{'/of/this/machine': '/inside'}}; got {type(value).__name__}.")
    mounts: dict[str, str] = {}
    for host, inside in value.items():
        if not isinstance(host, str | Path) or not isinstance(inside, str | PurePosixPath):
            raise BadValue(f"mounts must be {{'/of/this/machine': '/inside'}}; got {host!r:.60}: {inside!r:.60}.")
        path, place = Path(host).expanduser(), PurePosixPath(inside)
        if not path.is_absolute() or not path.exists():
            raise BadValue(f"mounts: {str(host)!r:.80} must be an absolute path that exists on this machine.")
        if not place.is_absolute() or ".." in place.parts or place == PurePosixPath("/") or _is_taken(place):
            raise BadValue(
                f"mounts: {str(inside)!r:.80} must be an absolute path inside, of its own: not '/', and neither in nor "
                f"above {', '.join(_TAKEN)}. '/data' would do."
            )
        if str(place) in mounts.values():
            raise BadValue(f"mounts: two sources cannot have the same path {str(place)!r:.80}.")
        mounts[str(path)] = str(place)
    return mounts


def _is_taken(place: PurePosixPath) -> bool:
    return any(place.is_relative_to(taken) or PurePosixPath(taken).is_relative_to(place) for taken in _TAKEN)


def _commands(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one.strip() for one in value):
        raise BadValue(f"setup must be a list of commands, such as ['pip install pandas']; got {value!r:.80}.")
    return tuple(value)


def _ports(value: object) -> tuple[int, ...]:
    known = isinstance(value, list | tuple) and all(type(one) is int and 1 <= one <= 65535 for one in value)
    if not known:
        raise BadValue(f"ports must be a list of numbers from 1 to 65535, such as [8000]; got {value!r:.80}.")
    assert isinstance(value, list | tuple)
    return tuple(dict.fromkeys(value))


def _seconds(name: str, value: object) -> int | None:
    if value is None:
        return None
    seconds: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * _SECONDS[found[2]]
    if seconds is None or not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise BadValue(
            f"{name} must be seconds or text such as '15m' or '4h', from a minute to a year; got {value!r:.80}."
        )
    return int(seconds)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
