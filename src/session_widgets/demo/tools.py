"""The agent's tools: files, commands and waiting."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from session_widgets.demo.mcp import call_tool
from session_widgets.demo.reply import Reply
from session_widgets.demo.shell import Shell
from session_widgets.demo.toolcall import diff_content, text_content, tool_call
from session_widgets.errors import BadPath

SHOWN_BYTES = 256 * 1024  # of a file
_CUT = f"\n[cut at {SHOWN_BYTES} bytes]"
_TICK = 1.0  # seconds between two updates


def inside(root: Path, text: str) -> Path:
    """Return the file that `text` names in the workspace `root`; symlinks are followed.

    Raises:
        BadPath: it is outside, or cannot exist.
    """
    try:
        home = root.resolve()
        return root / (root / text).resolve().relative_to(home)
    except (ValueError, OSError, RuntimeError):  # outside or NUL; too long; a loop of symlinks
        raise BadPath(f"{text!r:.200} is no path inside the workspace") from None


def show(path: Path) -> tuple[str, bool]:
    """Return a regular file's text and whether that is all: after `SHOWN_BYTES` comes a note instead."""
    if not path.is_file():
        raise BadPath(f"{path.name!r:.200} is not a file" if path.exists() else f"there is no file {path.name!r:.200}")
    with path.open("rb") as file:
        data = file.read(SHOWN_BYTES + 1)
    whole = len(data) <= SHOWN_BYTES
    return data[:SHOWN_BYTES].decode(errors="replace") + ("" if whole else _CUT), whole


async def write(reply: Reply, path: str, text: str) -> bool:
    """Write a file, atomically, with its parents; return whether it was written."""
    async with tool_call(reply, "write", "edit", f"Write {path}", {"path": path, "content": text}) as call:
        target = inside(reply.session.cwd, path)
        old = show(target)[0] if target.exists() else None
        await call.open(path=str(target), content=diff_content(str(target), old, text))
        await call.permit(free_modes=("accept_edits", "full_access"))
        await call.begin()
        _replace(inside(reply.session.cwd, path), text.encode())  # looked up again: time has passed
        await call.finish("completed", raw_output={"bytes": len(text.encode()), "created": old is None})
    return call.status == "completed"


async def read(reply: Reply, path: str) -> str | None:
    """Read a file; return its text, None if that failed."""
    text = None
    async with tool_call(reply, "read", "read", f"Read {path}", {"path": path}) as call:
        target = inside(reply.session.cwd, path)
        await call.open(path=str(target))
        await call.begin()
        text, _ = show(target)
        await call.finish("completed", content=text_content(text), raw_output={"bytes": target.stat().st_size})
    return text


async def listing(reply: Reply) -> list[str]:
    """List the top of the workspace: sorted names, folders with a slash, hidden ones left out."""
    found: list[str] = []
    async with tool_call(reply, "list", "search", "List the workspace", {"path": "."}) as call:
        await call.open(path=str(reply.session.cwd))
        await call.begin()
        with os.scandir(reply.session.cwd) as entries:
            found = sorted(
                os.fsencode(entry.name).decode(errors="replace") + "/" * entry.is_dir()
                for entry in entries
                if not entry.name.startswith(".")
            )
        await call.finish("completed", content=text_content("\n".join(found)), raw_output={"entries": len(found)})
    return found


async def run(reply: Reply, command: str) -> None:
    """Run a shell command in the workspace and show what it prints."""
    async with tool_call(reply, "run", "execute", command, {"command": command, "cwd": str(reply.session.cwd)}) as call:
        await call.open(content=text_content(f"$ {command}"))
        await call.permit(free_modes=("full_access",))
        await call.begin()
        async with Shell(command, reply.session.cwd) as shell:
            async for output in shell.output():
                await call.progress(text_content(output))
            code = await shell.wait()
        await call.finish(
            "failed" if code else "completed", content=text_content(shell.text()), raw_output={"exitCode": code}
        )


async def wait(reply: Reply, seconds: float) -> None:
    """Wait, with an update each second."""
    async with tool_call(reply, "wait", "other", f"Wait {seconds:g} s", {"seconds": seconds}) as call:
        await call.open()
        await call.begin()
        start = time.monotonic()
        while (left := start + seconds - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _TICK))
            await call.progress(text_content(f"{min(time.monotonic() - start, seconds):.0f} of {seconds:g} s"))
        await call.finish("completed")


async def call(reply: Reply, name: str, arguments: dict[str, Any]) -> None:
    """Call a tool of the session's MCP servers."""
    async with tool_call(reply, name, "other", f"Call {name}", arguments) as call:
        await call.open()
        await call.permit(free_modes=("full_access",))
        await call.begin()
        result = await call_tool(reply.session.servers, str(reply.session.cwd), name, arguments)
        text = "".join(str(block.get("text", f"[{block.get('type')}]")) for block in result.get("content") or ())
        status: Literal["completed", "failed"] = "failed" if result.get("isError") else "completed"
        await call.finish(status, content=text_content(text), raw_output=result)


def _replace(target: Path, data: bytes) -> None:
    if target.exists() and not target.is_file():
        raise BadPath(f"{target.name!r:.200} is not a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".demo-")
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(data)
            os.fchmod(descriptor, mode)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
