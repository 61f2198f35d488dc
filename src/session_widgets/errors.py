"""Every error that session_widgets raises deliberately.

```
SessionWidgetsError
├── BadValue (ValueError)             an argument has an unexpected value
│   └── BadPath                       a path is absolute, leaves the workspace, or cannot exist
├── MissingDependency (ImportError)   an optional package or program is not installed
├── SessionError
│   ├── SessionConflict               the id exists with another harness or sandbox
│   ├── SessionBusy                   a turn is running
│   ├── SessionGone                   the session was deleted
│   └── FilesNotKept                  the files of a turn's end were not kept, or no longer
├── AgentError
│   ├── AgentExited                   the agent process ended; holds its exit code and stderr tail
│   ├── HarnessNotReady               it is not installed, or its key is missing; the message names the remedy
│   ├── AgentFailed                   the agent answered with a JSON-RPC error
│   └── ProtocolError                 an envelope, stream or number that ACP does not allow
├── SandboxError
│   ├── SandboxAuth                   the provider refused the credentials
│   ├── SandboxGone                   it no longer exists: the only reason to make a new one
│   ├── SandboxNotRunning             it exists but is parked
│   ├── SandboxBusy                   rate limited; `retry_after` in seconds
│   ├── SandboxQuota                  the account's limit is reached
│   ├── ExecTimeout (TimeoutError)    a command ran longer than its timeout
│   ├── NotFound (FileNotFoundError)  no such file in the workspace
│   ├── LimitExceeded                 a bound was hit; the message names the limit to raise
│   └── TransportError                the connection broke; the outcome is unknown
├── WorkspaceError                    the durable side of a workspace failed; `reason` is one of `Reason`
│   ├── WorkspaceConflict             both sides changed a file; both versions are kept
│   ├── WorkspaceTaken                another installation is the writer; take over explicitly
│   └── NotDurable                    the barrier could not verify that the workspace is saved
└── StoreError
    ├── StoreBusy (TimeoutError)      another process holds the DuckDB file
    └── StoreVersion                  the file was written by a newer release
```

A non-zero exit code is a result, not an error.
"""

from __future__ import annotations

from typing import Literal


class SessionWidgetsError(Exception):
    """Base of every error of this package."""


class BadValue(SessionWidgetsError, ValueError):
    """An argument has an unexpected value."""


class BadPath(BadValue):
    """A path is absolute, leaves the workspace, or cannot exist."""


class MissingDependency(SessionWidgetsError, ImportError):
    """An optional package or program is not installed."""


class SessionError(SessionWidgetsError):
    """A session cannot do what the call requested."""


class SessionConflict(SessionError):
    """The session id exists with another harness or sandbox."""


class SessionBusy(SessionError):
    """Another turn is running on this session."""


class SessionGone(SessionError):
    """The session was deleted."""


class FilesNotKept(SessionError):
    """The files at the end of a turn were not kept, or were deleted since to make room."""


class AgentError(SessionWidgetsError):
    """The agent or the connection to it failed."""


class AgentExited(AgentError):
    """The agent process exited while it was needed; `unsent` if the message certainly did not reach it."""

    def __init__(self, message: str, *, code: int | None = None, stderr: str = "", unsent: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.stderr = stderr
        self.unsent = unsent


class HarnessNotReady(AgentError):
    """The harness cannot be started: it is not installed, or its key is missing."""


class AgentFailed(AgentError):
    """The agent answered a request with a JSON-RPC error."""

    def __init__(self, message: str, *, code: int | None = None, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class ProtocolError(AgentError):
    """A message arrived that ACP or its transport does not allow."""


class SandboxError(SessionWidgetsError):
    """A sandbox or its provider failed."""


class SandboxAuth(SandboxError):
    """The provider refused the credentials."""


class SandboxGone(SandboxError):
    """The sandbox no longer exists."""


class SandboxNotRunning(SandboxError):
    """The sandbox exists but is parked."""


class SandboxBusy(SandboxError):
    """The provider is rate limiting; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SandboxQuota(SandboxError):
    """A limit of the provider's account is reached."""


class ExecTimeout(SandboxError, TimeoutError):
    """A command ran longer than its timeout and was killed."""


class NotFound(SandboxError, FileNotFoundError):
    """No such file or directory in the workspace."""


class LimitExceeded(SandboxError):
    """A configured bound was hit; the message names the limit to raise."""


class TransportError(SandboxError):
    """The connection broke; the outcome on the other side is unknown, unless nothing was sent (`unsent`)."""

    def __init__(self, message: str, *, unsent: bool = False) -> None:
        super().__init__(message)
        self.unsent = unsent


Reason = Literal[
    "unreachable",
    "refused",
    "missing",
    "expired",
    "clock",
    "conflict",
    "lease_held",
    "changing",
    "mismatch",
    "name",
    "mount",
    "disk",
    "tool",
    "interrupted",
]
"""Why a workspace is not safe: the object store does not answer · refuses the credentials · has no such bucket · the
credentials have expired · the clocks differ · both sides changed a file · another writer holds the lease · files keep
changing · the durable side differs from the sandbox · a name that cannot be saved there · the mount
failed · a disk is full · a required program is not installed · the user interrupted it."""


class WorkspaceError(SessionWidgetsError):
    """The durable side of a workspace failed."""

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class WorkspaceConflict(WorkspaceError):
    """A file was changed on both sides; both versions are kept."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="conflict")


class WorkspaceTaken(WorkspaceError):
    """Another installation is the writer of this workspace."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="lease_held")


class NotDurable(WorkspaceError):
    """The barrier could not verify that the workspace is on durable storage."""


class StoreError(SessionWidgetsError):
    """The transcript store failed."""


class StoreBusy(StoreError, TimeoutError):
    """Another process holds the DuckDB file; the message names it."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class StoreVersion(StoreError):
    """The store was written by a newer release, or by an older one and cannot be upgraded."""
