"""What an adapter of a cloud provides. `provider.py` does the rest, once for all of them.

A vendor rents out *boxes*: machines with root, found again by labels. An adapter translates these few calls into those
of the vendor's SDK, which it imports inside of its functions. It retries nothing that may have had an effect, and its
errors are those of `session_widgets.errors` (`translated`). An SDK lives on the loop that calls these methods.

An adapter is a module with a class for this, and the function of its entry point:

    def provider(home: Path) -> CloudProvider:
        return CloudProvider(home, E2B())
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets.errors import MissingDependency, SandboxAuth, SessionWidgetsError, TransportError
from session_widgets.model import Capability, Endpoint

Network = str | tuple[str, ...]
"""What programs in a box may reach: "open" (everything), "none", or the names of hosts."""

_SECRET = re.compile(r"(?i)\b(bearer\s+|e2b_|dtn_|ak-|as-)[\w.~+/-]{8,}=*")


@dataclass(frozen=True, slots=True)
class BoxSpec:
    """A new box.

    Attributes:
        labels: to find it by; names and values are ASCII, at most 63 characters.
        image: name of an image of a registry; None: the vendor's default with Python 3.11 or newer.
        cpus: processors; None: the vendor's default.
        memory: bytes; None: the vendor's default.
        gpu: name of a model of the vendor's; None: no GPU.
        ports: that `Box.endpoint` is asked for.
        idle: seconds after which the vendor parks it, or ends it if it cannot park, unless it is extended.
        lifetime: seconds after which this happens in any case.
        network: what it may reach.
        built: what a `Builder` has returned, to be used instead of `image`.
    """

    labels: Mapping[str, str]
    ports: tuple[int, ...]
    idle: int
    lifetime: int
    image: str | None = None
    cpus: float | None = None
    memory: int | None = None
    gpu: str | None = None
    network: Network = "open"
    built: str | None = None


@dataclass(frozen=True, slots=True)
class BoxInfo:
    """One box in a listing; `expires` is when the vendor parks or ends it, if it is known."""

    id: str
    labels: Mapping[str, str]
    running: bool
    created: datetime
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended: its exit code, and stdout followed by or mixed with stderr."""

    code: int
    out: str


class Box(Protocol):
    """A running box.

    Attributes:
        id: the vendor's name of it; after `attach` it may be another one than was asked for.
    """

    id: str

    async def exec(self, script: str, *, timeout: float) -> Done:
        """Run a script with `/bin/sh -c`, as root, in any directory.

        What it starts in the background with its output redirected goes on after it.

        Args:
            script: at most 32 KiB.
            timeout: seconds, after which `ExecTimeout` is raised.
        """

    async def write(self, path: str, data: bytes) -> None:
        """Create a file in `/tmp`, of any owner. `data` has up to 64 MB, and no secret."""

    async def endpoint(self, port: int) -> Endpoint:
        """Return the address of a port, with the headers that the vendor's proxy needs.

        The headers may be valid for a while only; `provider.py` asks again after `attach`.
        """

    async def extend(self, idle: int) -> None:
        """Start the idle time again, with `idle` seconds. No-op where requests do so, or nothing can."""


class Vendor(Protocol):
    """A cloud. Constructing one makes no request.

    Attributes:
        name: of the provider: "e2b".
        title: for people: "E2B".
        capabilities: `Capability.EXTEND`, if `Box.extend` has an effect, `Capability.PARK_KEEPS_PROCESSES`, if a parked
            box continues where it stopped, and so on.
        options: fields of `Sandbox` that a new box can have.
        remedy: how a user gets an account and a key: part of the messages about a missing key.
        boxes: how many may run at a time in a new account.
    """

    name: str
    title: str
    capabilities: Capability
    options: frozenset[str]
    remedy: str
    boxes: int

    def check(self) -> None:
        """Raise `MissingDependency` without the SDK, and `SandboxAuth` without a key. Makes no request."""

    async def create(self, spec: BoxSpec) -> Box:
        """Create a box and return it once `exec` works. It is labelled from the first moment.

        A cancelled or failed call may leave a box behind: `provider.py` finds it by its labels.
        """

    async def attach(self, id: str, spec: BoxSpec) -> Box:
        """Return a running box: reconnect, resume or start it, with `spec.idle` seconds until it is parked.

        Args:
            id: of the box, or the id that `park` returned.
            spec: the one of its creation, for a vendor whose parked boxes are made again.

        Raises:
            SandboxGone: it does not exist any more. Nothing else means that.
        """

    async def park(self, id: str, record: Callable[[str], None]) -> str:
        """Put it into the cheapest state that keeps its files, and return the id for `attach`. Idempotent.

        Args:
            id: of the box.
            record: stores another id for `attach`; called before the box of the earlier id is ended.
        """

    async def destroy(self, id: str) -> bool:
        """Remove a box with its files, or what `park` made of one. Idempotent: False if it did not exist."""

    def list(self, labels: Mapping[str, str]) -> AsyncIterator[BoxInfo]:
        """Yield running and parked boxes that have all these labels."""

    async def aclose(self) -> None:
        """Close the connections."""


class Builder(Protocol):
    """A vendor's way to make images. Without one, `setup` runs in each new box, and its image is the vendor's."""

    def name(self, recipe: Recipe, spec: BoxSpec) -> str | None:
        """Return the name of an image, which is a hash of all that decides about it; None if it cannot be built."""

    async def find(self, name: str) -> str | None:
        """Return what `BoxSpec.built` takes, if an image of this name is complete."""

    async def build(self, name: str, recipe: Recipe, spec: BoxSpec, log: Callable[[str], None]) -> str:
        """Build an image, also after an attempt that failed or was cut off, and return what `BoxSpec.built` takes.

        Args:
            name: of the image.
            recipe: what it contains.
            spec: of the first box, for a vendor whose images have a size.
            log: receives each line of the output.

        Raises:
            SandboxError: a command failed: this very class, and no subclass of it.
        """


Translate = Callable[[Exception], SessionWidgetsError | None]


@contextmanager
def translated(title: str, translate: Translate) -> Iterator[None]:
    """Turn exceptions of an SDK into ours; one that `translate` does not know is a `TransportError`.

    Args:
        title: of the vendor.
        translate: returns our error of an exception, or None.
    """
    try:
        yield
    except SessionWidgetsError:
        raise
    except Exception as error:
        raise translate(error) or TransportError(f"{title}: {said(error)}") from error


def said(error: BaseException) -> str:
    """Return the kind and the text of an exception on one line, without what looks like a key."""
    text = " ".join(_SECRET.sub(r"\1...", str(error)).split())
    return f"{type(error).__name__}: {text:.300}" if text else type(error).__name__


def missing_sdk(name: str, title: str) -> MissingDependency:
    """Return the error for an SDK that is not installed."""
    return MissingDependency(f"sandbox={name!r} needs the SDK of {title}: pip install 'session-widgets[{name}]'")


def missing_key(name: str, variables: str, remedy: str) -> SandboxAuth:
    """Return the error for a key that is not set."""
    return SandboxAuth(f"sandbox={name!r} needs a key: set {variables}. {remedy}")
