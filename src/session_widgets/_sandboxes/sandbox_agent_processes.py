"""Agents and processes of a sandbox-agent 0.4 server, which has none of our extensions."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets.errors import BadPath, ExecTimeout, SandboxError, TransportError
from session_widgets.model import Endpoint, ExecResult

LONGEST_PAUSE = 0.2  # seconds
DRAINED_WITHIN = 2.0  # seconds
QUIET = 0.15  # seconds
LONGEST_END = 64 << 10  # bytes
INSIDE = """
if [ -n "$2" ]; then exec <"$2"; rm -f -- "$2"; else exec </dev/null; fi
/bin/sh -c "$1"; code=$?
printf %s "$3"; printf %s "$3" >&2
exit $code
"""
"""Runs a command with its input from a file, and marks the end of both outputs: the server reports the exit before
it has read the output."""


class SandboxAgentProcesses(RunnerClient):
    """`RunnerClient` for sandbox-agent, but for its files. The arguments are the same."""

    def __init__(self, endpoint: Endpoint, workspace: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        super().__init__(endpoint, workspace, transport)
        self._alive: set[str] = set()

    async def connections(self) -> list[str]:
        """Return the ids of the live agent connections; the server also lists dead ones.

        Each id is checked once: later the reader of its messages receives its end.
        """
        listed = await super().connections()
        unknown = [id for id in listed if id not in self._alive]
        lives = await asyncio.gather(*(self._lives(id) for id in unknown))
        self._alive |= {id for id, alive in zip(unknown, lives, strict=True) if alive}
        return [id for id in listed if id in self._alive]

    async def _lives(self, id: str) -> bool:
        """Whether the last of an agent's messages, which the server repeats, is not its exit."""
        held = b""
        timeout = httpx.Timeout(5, read=QUIET)
        headers = {"accept": "text/event-stream"}
        try:
            async with self._http.stream(
                "GET", f"/v1/acp/{quote(id, safe='')}", headers=headers, timeout=timeout
            ) as answer:
                async for piece in answer.aiter_raw():
                    held = held[-LONGEST_END:] + piece
        except httpx.ReadTimeout:
            pass
        except httpx.HTTPError as error:
            raise TransportError(f"the connection to sandbox-agent broke: {error!r:.200}") from error
        with suppress(orjson.JSONDecodeError, AttributeError):
            last = held.rstrip().rpartition(b"data:")[2]
            return bool(orjson.loads(last).get("method") != "_adapter/agent_exited")
        return True

    # Processes

    async def exec(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float | None = 60,
    ) -> ExecResult:
        """Run `command` with `sh -c`; see `Sandbox.exec`. An exit by signal has the code 128 plus its number.

        `processes/run` is not used: it decodes the output, and neither its timeout nor a disconnected client kills the
        children of the command.
        """
        mark = f"<{secrets.token_hex(16)}>"
        given = await self._put_input(stdin)
        body = {
            "command": "setsid",
            "args": ["/bin/sh", "-c", INSIDE, "sh", command, given, mark],
            "cwd": self._absolute(cwd or ""),
            "env": dict(env or {}),
        }
        started = orjson.loads((await self._call("POST", "/v1/processes", json=body)).content)
        try:
            async with asyncio.timeout(timeout):
                return await self._result(started["id"], mark.encode())
        except TimeoutError as error:
            raise ExecTimeout(
                f"{command!r:.200} ran longer than {timeout:g} s and was killed. Pass a larger timeout= or None."
            ) from error
        finally:
            await asyncio.shield(asyncio.ensure_future(self._end(started)))

    async def _put_input(self, stdin: bytes | None) -> str:
        """Store the input of a command and return its path; "" without one."""
        raise NotImplementedError

    async def _result(self, id: str, mark: bytes) -> ExecResult:
        process, loop = await self._exit(id), asyncio.get_running_loop()
        deadline = loop.time() + DRAINED_WITHIN
        while True:
            logs = orjson.loads((await self._call("GET", f"/v1/processes/{id}/logs")).content)["entries"]
            out, err = _joined(logs, "stdout"), _joined(logs, "stderr")
            if (mark in out and mark in err) or loop.time() > deadline:
                break
            await asyncio.sleep(0.005)
        out, err = out.partition(mark)[0], err.partition(mark)[0]
        code = process.get("exitCode")
        return ExecResult(
            code=-9 if code is None else code,  # the server does not report the signal
            out=out.decode(errors="replace"),
            err=err.decode(errors="replace"),
            out_bytes=out,
            err_bytes=err,
            truncated=bool(logs) and logs[0]["sequence"] != 1,
        )

    async def _exit(self, id: str) -> dict[str, Any]:
        """Wait until a process has exited: the stream of its logs does not tell."""
        pause = 0.002
        while (process := await self._process(id))["status"] == "running":
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return process

    async def _process(self, id: str) -> dict[str, Any]:
        process: dict[str, Any] = orjson.loads((await self._call("GET", f"/v1/processes/{id}")).content)
        return process

    async def _end(self, started: Mapping[str, Any]) -> None:
        """Kill a command with all its children, unless it has exited, and remove it from the server."""
        with suppress(SandboxError, BadPath):
            if (await self._process(started["id"]))["status"] == "running":
                await self._sh('kill -s KILL -- "-$1"', str(started["pid"]))
                await self._exit(started["id"])
            await self._call("DELETE", f"/v1/processes/{started['id']}")

    async def _sh(self, script: str, *arguments: str) -> int:
        """Run one of our short scripts and return its exit code."""
        body = {"command": "/bin/sh", "args": ["-c", script, "sh", *arguments]}
        answer = orjson.loads((await self._call("POST", "/v1/processes/run", json=body, wait=None)).content)
        code: int = answer["exitCode"]
        return code


def _joined(entries: list[dict[str, Any]], stream: str) -> bytes:
    return b"".join(b64decode(entry["data"]) for entry in entries if entry["stream"] == stream)
