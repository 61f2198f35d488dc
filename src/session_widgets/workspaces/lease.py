"""One writer per session: a lease object beside its prefix, created with `If-None-Match`, changed with `If-Match`.

The holder is an installation on a machine, not a process: kernels that share a store share the sandbox and the
directory too. There is no expiry that a wrong clock could shorten. Errors name the holder, and only `take_over()`
replaces it. The lease's number grows with every change of the holder, also across releases, so that a replaced
holder notices during its turn, at the barrier.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from session_widgets.errors import NotFound, WorkspaceError, WorkspaceTaken
from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.objects import Changed

FOLDER = ".leases"
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Held:
    """The content of the lease object, with its ETag; `free` after a release."""

    token: int
    installation: str
    host: str
    user: str
    since: str
    free: bool
    etag: str

    @property
    def holder(self) -> str:
        """The holder, for people."""
        return f"{self.user} on {self.host} (installation {self.installation[:8]}, since {self.since[:16]})"


class Lease:
    """The right to write one session's objects.

    Args:
        siblings: the prefix above the session's own; the lease is outside the reach of a sandbox.
        installation: id of this data directory.
    """

    def __init__(self, siblings: Prefix, session_id: str, installation: str) -> None:
        self._siblings = siblings
        self._path = f"{FOLDER}/{session_id}.json"
        self._session = session_id
        self._me = (installation, socket.gethostname())
        self._token: int | None = None

    @property
    def place(self) -> tuple[Prefix, str]:
        """The object: the prefix above the session's own, and the path below it."""
        return self._siblings, self._path

    def read(self) -> Held | None:
        """Return the lease's content, None if there never was one."""
        try:
            with self._siblings.reading(self._path) as (body, info, _):
                value: dict[str, Any] = orjson.loads(body.read())
        except NotFound:
            return None
        installation, host, user, since = (str(value.get(name)) for name in ("installation", "host", "user", "since"))
        return Held(int(value.get("token", 0)), installation, host, user, since, bool(value.get("free")), info.etag)

    def is_others(self, held: Held | None) -> bool:
        """Whether another installation holds it."""
        return held is not None and not held.free and (held.installation, held.host) != self._me

    def acquire(self, *, forced: bool = False) -> bool:
        """Acquire it, unless this installation has it; raise `WorkspaceTaken` if another one has, unless `forced`.

        Returns:
            Whether there was a lease before: a bucket that was emptied or recreated has none.

        Raises:
            WorkspaceTaken: another installation holds it.
            WorkspaceError: the store would allow two holders, as a second attempt to create the lease shows.
        """
        for _ in range(ATTEMPTS):
            held = self.read()
            if held is not None and not held.free and not self.is_others(held):
                self._token = held.token
                return True
            if self.is_others(held) and not forced:
                raise self._taken(held)
            if self._write(held):
                if held is None and self._write(None):
                    self.remove()
                    raise WorkspaceError(
                        "the object store ignores the condition If-None-Match, so that two writers of a session could "
                        "not be kept apart. Use a store that honours it.",
                        reason="lease_held",
                    )
                return held is not None
        raise WorkspaceTaken(f"the lease of session {self._session!r} changes hands all the time. Try again.")

    def check(self) -> None:
        """Raise `WorkspaceTaken` if its number changed since `acquire`."""
        held = self.read()
        if self.is_others(held):
            raise self._taken(held)
        if held is None:
            raise WorkspaceTaken(
                f"the lease of session {self._session!r} is no longer in the bucket. Look at the files, send again."
            )
        if held.free or held.token != self._token:
            raise WorkspaceTaken(
                f"session {self._session!r} was used by another installation meanwhile: its lease has the number "
                f"{held.token}, this writer's had {self._token}. Look at the files, send again."
            )

    def release(self) -> None:
        """Release it; does nothing if another installation holds it."""
        held = self.read()
        if held is not None and not held.free and not self.is_others(held):
            self._write(held, free=True)
        self._token = None

    def remove(self) -> None:
        """Delete the lease object: the session is deleted."""
        self._siblings.delete(self._path)
        self._token = None

    def _write(self, before: Held | None, *, free: bool = False) -> bool:
        """Replace its content, if it still equals `before`; a new holder gets a new number."""
        installation, host = self._me
        token = (before.token if before else 0) + (0 if free else 1)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        value = {"token": token, "installation": installation, "host": host, "user": getpass.getuser(), "since": since}
        body = orjson.dumps(value | {"free": free})
        try:
            self._siblings.put(self._path, body, len(body), metadata={}, if_match=before.etag if before else "")
        except Changed:
            return False
        self._token = token
        return True

    def _taken(self, held: Held | None) -> WorkspaceTaken:
        assert held is not None, "somebody has it"
        return WorkspaceTaken(
            f"session {self._session!r} is worked on by {held.holder}. Park it there first; if that cannot be done any "
            "more, call session.take_over(), which makes this the only writer."
        )
