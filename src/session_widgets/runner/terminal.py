"""A pseudo terminal and its process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable, Mapping, Sequence

from session_widgets.runner.children import Child, Children

READ_BYTES = 64 << 10
DEFAULT_SIZE = (80, 24)

# A session leader that opens a terminal gets it as its controlling terminal; so the shell opens it, and no code
# has to run between fork and exec.
_ON_TERMINAL = 'exec "$@" 0<>"$0" 1>&0 2>&0'


class Terminal:
    """The master side. Output goes to `on_data`; `silent` is set after the last output."""

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        self._on_data = on_data
        self._loop = asyncio.get_running_loop()
        self._master, self._slave = os.openpty()
        self._input: asyncio.WriteTransport | None = None
        self.silent = asyncio.Event()
        self.resize(*DEFAULT_SIZE)

    async def spawn(self, children: Children, argv: Sequence[str], *, cwd: str, env: Mapping[str, str]) -> Child:
        """Start `argv` on the terminal; raise `OSError` or `ValueError` if that is not possible."""
        os.set_blocking(self._master, False)
        opening = ["/bin/sh", "-c", _ON_TERMINAL, os.ttyname(self._slave)]
        terminal_env = {"TERM": "xterm-256color", **env}
        child = await children.spawn(
            argv, lambda *_: None, cwd=cwd, env=terminal_env, output=asyncio.subprocess.DEVNULL, terminal=opening
        )
        pipe = os.fdopen(os.dup(self._master), "wb", 0)
        transport, _ = await self._loop.connect_write_pipe(asyncio.BaseProtocol, pipe)
        self._input = transport
        self._loop.add_reader(self._master, self._read)
        return child

    @property
    def unread(self) -> int:
        """Bytes of input that the terminal has not read yet."""
        return self._input.get_write_buffer_size() if self._input else 0

    def write(self, data: bytes) -> None:
        """Write `data` as input."""
        assert self._input is not None
        self._input.write(data)

    def resize(self, cols: int, rows: int) -> None:
        """Set the size in characters; the process receives SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def hang_up(self) -> None:
        """Close our copy of the slave side, so that the output ends with the last process on it."""
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def close(self) -> None:
        """Close the terminal."""
        self.hang_up()
        if self._input:
            self._input.abort()
        if self._master >= 0:
            self._loop.remove_reader(self._master)
            os.close(self._master)
            self._master = -1

    def _read(self) -> None:
        try:
            data = os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process closed it
            data = b""
        if data:
            self._on_data(data)
        else:
            self._loop.remove_reader(self._master)
            self.silent.set()
