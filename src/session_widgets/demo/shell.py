"""A shell command in its own process group, with its output."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

OUTPUT_BYTES = 256 * 1024  # kept; what comes after is counted and dropped
_SHOW_SECONDS = 0.05
_SHOW_RATE = 160 * 1024  # bytes a second: each showing repeats all of the output, so a long one is shown less often
_GRACE = 0.1  # seconds for output that is still in the pipe when the shell has ended


class Shell:
    """`sh -c COMMAND` as an async context manager; leaving it kills the rest of the process group."""

    def __init__(self, command: str, cwd: Path) -> None:
        self._command = command
        self._cwd = cwd
        self._kept: list[str] = []
        self._kept_bytes = 0
        self._bytes = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def __aenter__(self) -> Self:
        ours, theirs = os.pipe()  # our own: asyncio's would let wait() hang while a background process holds it
        try:
            self._process = await asyncio.create_subprocess_exec(
                "sh",
                "-c",
                self._command,
                cwd=self._cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                process_group=0,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._ended = asyncio.create_task(self._process.wait())
        self._reader = asyncio.create_task(self._read(ours))
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.cancel()
        await asyncio.wait({self._reader, self._ended})

    async def output(self) -> AsyncIterator[str]:
        """Yield all that was printed so far, whenever it has grown, until the shell ends."""
        shown = 0
        while not self._ended.done():
            pause = max(_SHOW_SECONDS, self._kept_bytes / _SHOW_RATE)
            await asyncio.wait({self._ended}, timeout=pause)
            if shown != self._kept_bytes:
                shown = self._kept_bytes
                yield self.text()
        await asyncio.wait({self._reader}, timeout=_GRACE)

    async def wait(self) -> int:
        """Return the exit code; negative: killed by that signal."""
        return await asyncio.shield(self._ended)

    def text(self) -> str:
        """Return what was printed, with a note where it was cut."""
        dropped = self._bytes - self._kept_bytes
        return "".join(self._kept) + (f"\n[{dropped} more bytes]" if dropped else "")

    async def _read(self, descriptor: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        try:
            while data := await reader.read(65536):
                self._bytes += len(data)
                kept = data[: OUTPUT_BYTES - self._kept_bytes]
                self._kept_bytes += len(kept)
                self._kept.append(self._decoder.decode(kept))
        finally:
            transport.close()
