"""A sandbox on a sandbox-agent server that shares no file with this machine."""

from __future__ import annotations

import asyncio

from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets._sandboxes.sandbox_agent_files import SandboxAgentFiles
from session_widgets._sandboxes.sandbox_agent_processes import SandboxAgentProcesses
from session_widgets.errors import SandboxError
from session_widgets.model import Endpoint, SandboxRef


class ElsewhereClient(SandboxAgentProcesses):
    """`RunnerClient` for sandbox-agent, whose requests for files a program there answers."""

    def __init__(self, endpoint: Endpoint, folder: str) -> None:
        self._files = SandboxAgentFiles(endpoint, folder)
        super().__init__(endpoint, f"{folder}/workspace", self._files)

    async def _put_input(self, stdin: bytes | None) -> str:
        return "" if stdin is None else await asyncio.to_thread(self._files.put_input, stdin)


class ElsewhereSandbox:
    """A folder on the machine of a sandbox-agent server.

    Args:
        ref: its reference.
        endpoint: the server.
        folder: absolute; the workspace is in it.
    """

    def __init__(self, ref: SandboxRef, endpoint: Endpoint, folder: str) -> None:
        self.ref = ref
        self.workspace = f"{folder}/workspace"
        self.runner = ElsewhereClient(endpoint, folder)
        self.exec = self.runner.exec
        self.read = self.runner.read
        self.write = self.runner.write
        self._folder = folder

    async def endpoint(self, port: int | None = None) -> Endpoint:
        """Return the server's endpoint; it forwards no other port."""
        if port is None:
            return self.runner.endpoint
        raise SandboxError(f"sandbox-agent forwards no port; port {port} was asked for.")

    def tree(self) -> RunnerTree:
        """Return the workspace as a file tree."""
        endpoint = self.runner.endpoint
        files = SandboxAgentFiles(endpoint, self._folder)
        return RunnerTree(endpoint, self.workspace, int(self.ref.id, 16), files)

    async def extend(self, seconds: float) -> None:
        """It never stops by itself."""

    async def aclose(self) -> None:
        """Close the connections; the server keeps running."""
        await self.runner.aclose()
