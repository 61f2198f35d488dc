"""A running box at Modal."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from session_widgets._sandboxes.clouds import inside
from session_widgets._sandboxes.clouds.contract import Done
from session_widgets._sandboxes.clouds.modal_errors import errors
from session_widgets.errors import ExecTimeout, SandboxError, SandboxGone, TransportError
from session_widgets.model import Endpoint

if TYPE_CHECKING:
    import modal

KILL_SECONDS = 10
_START = """
w=; setsid -w true 2>/dev/null && w='setsid -w'
exec $w /bin/sh -c '
echo $$ > "$1"
if [ -e "$1.late" ]; then rm -f "$1" "$1.late"; exit 137; fi
/bin/sh -c "$2" </dev/null 2>&1
code=$?; rm -f "$1"; exit $code
' sh "$1" "$2"
"""
"""Notes the process id of a command."""
_KILL = """
: > "$1.late"
pid=$(cat "$1" 2>/dev/null) || exit 0
kill -9 "-$pid" 2>/dev/null || kill -9 "$pid"
rm -f "$1" "$1.late"
"""
"""Kills a command with its process group, and keeps one from starting that has not started yet."""
_STOP_WRITING = """
for entry in /proc/[0-9]*; do
  [ "$entry" = "/proc/$$" ] && continue
  case "$(tr '\\0' ' ' < "$entry/cmdline" 2>/dev/null)" in *sandbox-fs-tools*"$1"*) kill -9 "${entry#/proc/}" ;; esac
done
"""
_WAIT = """
exec 9>/tmp/.session-widgets.waiting
flock -n 9 || exit 0
while [ -n "$(find /proc -maxdepth 1 -user "$1" -name '[0-9]*' 2>/dev/null)" ]; do sleep "$2"; done
"""


class ModalBox:
    """A running box."""

    def __init__(self, sandbox: modal.Sandbox) -> None:
        self.id = sandbox.object_id
        self._sandbox = sandbox

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """Turn exceptions into ours. The SDK says that a box is not found also if the connection breaks."""
        try:
            with errors():
                yield
        except SandboxGone as error:
            with errors():
                if await self._sandbox.poll.aio() is None:
                    raise TransportError(str(error)) from error
            raise

    async def exec(self, script: str, *, timeout: float) -> Done:
        """Run a script. Modal ends no command by itself, so its process id is noted where a second one finds it."""
        noted = f"/tmp/.session-widgets-{uuid4().hex}"  # noqa: S108 - in the box
        try:
            async with asyncio.timeout(timeout):
                async with self.in_use():
                    return await self._run(_START, noted, script, timeout=math.ceil(timeout) + KILL_SECONDS)
        except TimeoutError as error:
            await self._run_anyway(_KILL, noted)
            raise ExecTimeout(
                f"a command in a sandbox of Modal took longer than {timeout:g} s: {script:.80}"
            ) from error
        except asyncio.CancelledError:
            await self._run_anyway(_KILL, noted)
            raise

    async def _run(self, script: str, *arguments: str, timeout: int) -> Done:
        process = await self._sandbox.exec.aio("/bin/sh", "-c", script, "sh", *arguments, text=False, timeout=timeout)
        out, code = await asyncio.gather(process.stdout.read.aio(), process.wait.aio())
        return Done(code, out.decode(errors="replace"))

    async def _run_anyway(self, script: str, argument: str) -> None:
        """Clean up with a script, also in a cancelled call; nothing is done if the box does not answer."""
        running = asyncio.create_task(self._run(script, argument, timeout=KILL_SECONDS))
        with suppress(Exception):
            await asyncio.wait_for(asyncio.shield(running), KILL_SECONDS)

    async def write(self, path: str, data: bytes) -> None:
        """Replace a file. After a failure the command that the SDK writes with would wait for data for ever."""
        try:
            async with self.in_use():
                await self._sandbox.filesystem.write_bytes.aio(data, path)
        except BaseException:
            await self._run_anyway(_STOP_WRITING, path)
            raise

    async def endpoint(self, port: int) -> Endpoint:
        """Return the address of a port that was named at the creation."""
        async with self.in_use():
            tunnels = await self._sandbox.tunnels.aio()
        if port not in tunnels:
            raise SandboxError(
                f"Modal leads only to the ports that were named at the creation; {port} is not one of "
                f"{', '.join(map(str, sorted(tunnels)))}. Name it: Sandbox('modal', ports=[{port}])."
            )
        tunnel = tunnels[port]
        scheme = "http" if _is_loopback(tunnel.host) else "https"
        return Endpoint(f"{scheme}://{tunnel.host}:{tunnel.port}")

    async def extend(self, idle: int) -> None:
        """Keep the box from being idle as long as agents have processes, also if this kernel dies: a command waits.

        The runner ends their processes when they are idle. Nothing moves the end of the lifetime.
        """
        async with self.in_use():
            await self._sandbox.exec.aio("/bin/sh", "-c", _WAIT, "sh", inside.USER, str(min(15, max(1, idle // 4))))


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.")
