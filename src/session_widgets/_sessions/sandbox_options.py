"""The options of a session's sandbox, stored with the session: a note in the store, secrets in a file beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from session_widgets._sandboxes import SandboxProvider
from session_widgets._sandboxes.confinement import check_local
from session_widgets._sandboxes.network import OPEN
from session_widgets._sandboxes.options import Sandbox, check_taken
from session_widgets._sessions.journal import note
from session_widgets._store import Store
from session_widgets.errors import BadValue, SandboxError
from session_widgets.host.daemon import read_json, write_private
from session_widgets.model import Capability
from session_widgets.transcript.notes import SessionSandbox
from session_widgets.transcript.records import Draft
from session_widgets.workspaces import Workspace

MOUNTED = "fuse:"
"""The beginning of every attachment that is a mount."""


def sandbox_name(sandbox: str | Sandbox | None) -> str | None:
    """Return the name of a sandbox argument."""
    return sandbox.name if isinstance(sandbox, Sandbox) else sandbox


def check_options(sandbox: str | Sandbox | None, provider: SandboxProvider, workspace: Workspace, home: Path) -> None:
    """Raise `BadValue` if a provider does not accept the options, `MissingDependency` if a program is missing."""
    if isinstance(sandbox, Sandbox):
        check_taken(sandbox, getattr(provider, "options", frozenset()))
        if provider.name == "local":
            check_local(sandbox, workspace.path, home)


def check_attachment(provider: SandboxProvider, workspace: Workspace) -> None:
    """Raise `BadValue` if the workspace is mounted on this host, and the provider's sandboxes are elsewhere."""
    if Capability.SHARES_FILES not in provider.capabilities and workspace.attachment.startswith(MOUNTED):
        raise BadValue(
            f"sandbox={provider.name!r} is elsewhere and does not see a mount of this machine "
            f"(attachment={workspace.attachment!r}). Open the session with attachment='sync'."
        )


class SandboxOptions:
    """The sandbox options of one session. All methods block.

    Args:
        store: with the note.
        session_id: of the session.
    """

    def __init__(self, store: Store, session_id: str) -> None:
        self._store = store
        self._session_id = session_id
        self._file = store.home / "environments" / f"{session_id}.json"

    def keep(self, sandbox: Sandbox) -> Draft | None:
        """Save the values of `env` and return the note to store; None if nothing changed.

        The values of the stored note stay until `tidy`: a kernel may die before the new note is stored.
        """
        before = self._values()
        if self._said() == sandbox.stored() and before == sandbox.env:
            return None
        if sandbox.env:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._file, {**before, **sandbox.env})
        return note(sandbox.stored())

    def copy(self, other: SandboxOptions) -> None:
        """Save the values of another session, whose note was or will be copied."""
        if values := other._values():
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._file, values)

    def tidy(self) -> None:
        """Delete the values that the stored note does not need."""
        before, said = self._values(), self._said()
        wanted = said.env if said is not None else ()
        if not wanted:
            self.remove()
        elif before.keys() > set(wanted):
            write_private(self._file, {name: value for name, value in before.items() if name in wanted})

    def current(self, name: str) -> Sandbox:
        """Return the options of the sandbox of this name.

        Raises:
            SandboxError: a value of its environment, or a mounted path, no longer exists on this machine.
        """
        said = self._said()
        if said is None or said.name != name:
            return Sandbox(name)
        values, wanted = self._values(), said.env
        if missing := [variable for variable in wanted if variable not in values]:
            raise SandboxError(
                f"the sandbox of session {self._session_id!r} was given {', '.join(missing)} in its environment, and "
                f"the values are not on this machine. Give them again: open_session({self._session_id!r}, "
                f"sandbox=Sandbox({name!r}, env={{...}}))"
            )
        try:
            made = Sandbox(
                name,
                image=said.image,
                cpus=said.cpus,
                memory=said.memory,
                mounts=said.mounts,
                gpu=said.gpu,
                setup=tuple(said.setup),
                ports=said.ports,
                idle=said.idle,
                lifetime=said.lifetime,
                network=said.network or OPEN,
                confine=said.confine,
            )
            return replace(made, env={variable: values[variable] for variable in wanted})
        except BadValue as error:
            raise SandboxError(
                f"the sandbox of session {self._session_id!r} cannot be made as it was: {error}"
            ) from error

    def remove(self) -> None:
        """Delete the values."""
        self._file.unlink(missing_ok=True)

    def _said(self) -> SessionSandbox | None:
        return self._store.last_note(self._session_id, SessionSandbox)

    def _values(self) -> dict[str, str]:
        return read_json(self._file) or {}
