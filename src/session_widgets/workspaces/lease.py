"""One writer per session: a lease object beside its prefix, made with `If-None-Match`, passed on with `If-Match`.

The writer is an installation on a machine, not a process: kernels that share a store share the sandbox and the
directory too. There is no expiry that a wrong clock could shorten. Who holds it is told, and may be pushed out by
`take_over()` alone. The number in the lease grows with every change of hands, also over releases, so that who was
pushed out in mid-turn notices at the barrier.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from session_widgets.errors import NotFound, WorkspaceError, WorkspaceTaken
from session_widgets.workspaces.bucket import Changed, Prefix

FOLDER = ".leases"
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Held:
    """What the lease object says, and the ETag it says it under; `free` when it was given back."""

    token: int
    installation: str
    host: str
    user: str
    since: str
    free: bool
    etag: str

    @property
    def holder(self) -> str:
        """Who that is, for people."""
        return f"{self.user} on {self.host} (installation {self.installation[:8]}, since {self.since[:16]})"


class Lease:
    """The right to write one session's objects.

    Args:
        siblings: the prefix that holds the session's own; the lease lies outside of what a sandbox can reach.
        installation: names this data directory.
    """

    def __init__(self, siblings: Prefix, session_id: str, installation: str) -> None:
        self._siblings = siblings
        self._path = f"{FOLDER}/{session_id}.json"
        self._session = session_id
        self._me = (installation, socket.gethostname())
        self._token: int | None = None

    def read(self) -> Held | None:
        """Return what it says, None if nobody ever had it."""
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
        """Take it, unless this installation has it; raise `WorkspaceTaken` if another one has, unless `forced`.

        Returns:
            Whether anybody ever had it: a bucket that was emptied or made anew knows of no lease either.

        Raises:
            WorkspaceTaken: another installation has it.
            WorkspaceError: the store would let two have it, as a second try to make it shows.
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
                        reason="taken",
                    )
                return held is not None
        raise WorkspaceTaken(f"the lease of session {self._session!r} changes hands all the time. Try again.")

    def check(self) -> None:
        """Raise `WorkspaceTaken` unless it did not change hands since `acquire`."""
        held = self.read()
        if self.is_others(held):
            raise self._taken(held)
        if held is None:
            raise WorkspaceTaken(
                f"the lease of session {self._session!r} is no longer in the bucket. Look at the files, send again."
            )
        if held.free or held.token != self._token:
            raise WorkspaceTaken(
                f"session {self._session!r} was worked on by somebody else meanwhile: its lease has the number "
                f"{held.token}, this writer's had {self._token}. Look at the files, send again."
            )

    def release(self) -> None:
        """Give it back; nothing happens if another has it."""
        held = self.read()
        if held is not None and not held.free and not self.is_others(held):
            self._write(held, free=True)
        self._token = None

    def remove(self) -> None:
        """Remove the lease object itself: the session is no more."""
        self._siblings.delete(self._path)
        self._token = None

    def _write(self, before: Held | None, *, free: bool = False) -> bool:
        """Replace what it says, if it still says what it said `before`; a new holder gets a new number."""
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
