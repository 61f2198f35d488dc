"""One writer per session: a lease object beside its prefix, made with `If-None-Match`, passed on with `If-Match`.

The writer is an installation on a machine, not a process: kernels that share a store share the sandbox and the
directory too. There is no expiry that a wrong clock could shorten. Who holds it is told, and may be pushed out by
`take_over()` alone; the number in the lease grows each time, so that who was pushed out notices before it writes.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from session_widgets.errors import NotFound, WorkspaceTaken
from session_widgets.workspaces.bucket import Changed, Prefix

FOLDER = ".leases"
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Held:
    """What the lease object says, and the ETag it says it under."""

    token: int
    installation: str
    host: str
    user: str
    since: str
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
        """Return who holds it, None if nobody does."""
        try:
            with self._siblings.reading(self._path) as (body, info, _):
                value: dict[str, Any] = orjson.loads(body.read())
        except NotFound:
            return None
        installation, host, user, since = (str(value.get(name)) for name in ("installation", "host", "user", "since"))
        return Held(int(value.get("token", 0)), installation, host, user, since, info.etag)

    def is_mine(self, held: Held) -> bool:
        """Whether this installation holds it."""
        return (held.installation, held.host) == self._me

    def acquire(self) -> None:
        """Take it if nobody has it; raise `WorkspaceTaken` if another installation has."""
        for _ in range(ATTEMPTS):
            held = self.read()
            if held is not None:
                self._check_mine(held)
                self._token = held.token
                return
            if self._write(1, ""):
                return
        raise WorkspaceTaken(f"the lease of session {self._session!r} changes hands all the time. Try again.")

    def take_over(self) -> None:
        """Take it from whoever has it."""
        for _ in range(ATTEMPTS):
            held = self.read()
            if held is not None and self.is_mine(held):
                self._token = held.token
                return
            if self._write(1 if held is None else held.token + 1, "" if held is None else held.etag):
                return
        raise WorkspaceTaken(f"the lease of session {self._session!r} changes hands all the time. Try again.")

    def check(self) -> None:
        """Raise `WorkspaceTaken` unless this installation still has it, under the number it acquired."""
        held = self.read()
        if held is None:
            raise WorkspaceTaken(
                f"the lease of session {self._session!r} was removed by somebody. Look at the files, then send again."
            )
        self._check_mine(held)
        if held.token != self._token:
            raise WorkspaceTaken(
                f"session {self._session!r} was worked on elsewhere in between (lease {held.token}, ours was "
                f"{self._token}). Look at the files, then send again."
            )

    def release(self) -> None:
        """Give it back; nothing happens if another has it."""
        held = self.read()
        if held is not None and self.is_mine(held):
            try:
                self._siblings.delete(self._path, if_match=held.etag)
            except Changed:
                return
        self._token = None

    def _write(self, token: int, if_match: str) -> bool:
        installation, host = self._me
        since = datetime.now(UTC).isoformat(timespec="seconds")
        value = {"token": token, "installation": installation, "host": host, "user": getpass.getuser(), "since": since}
        body = orjson.dumps(value)
        try:
            self._siblings.put(self._path, body, len(body), metadata={}, if_match=if_match)
        except Changed:
            return False
        self._token = token
        return True

    def _check_mine(self, held: Held) -> None:
        if not self.is_mine(held):
            raise WorkspaceTaken(
                f"session {self._session!r} is worked on by {held.holder}. Park it there first; if that is not "
                "possible any more, call session.take_over(), which makes this the only writer."
            )
