"""`session-widgets runner`: offer this machine to a notebook on another one."""

from __future__ import annotations

import os
import secrets
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn

from session_widgets.errors import BadValue

TOKEN = "token"  # noqa: S105 - the name of a file


def serve(folder: Path, host: str, port: int) -> NoReturn:
    """Become the runner of a directory, after printing its address. Its files are below `workspace` there.

    Raises:
        BadValue: the directory is neither new nor empty nor that of an earlier runner, or the address is invalid.
    """
    from session_widgets._sandboxes.contract import RUNNER_LIMITS
    from session_widgets._sandboxes.local import inherited_environment
    from session_widgets.host.daemon import write_private

    is_local = _is_loopback(host)
    if not 1 <= port <= 65535:
        raise BadValue(f"--port must be from 1 to 65535; got {port}.")
    token = _token(folder)
    for name in ("workspace", "state"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    config = folder / "config.json"
    given = {"root": str(folder / "workspace"), "state": str(folder / "state"), "host": host, "port": port}
    more = {"token": token, "nonce": secrets.token_hex(16), "claims": True, "idle_seconds": 0, "limits": RUNNER_LIMITS}
    write_private(config, given | more)
    place = f"[{host}]" if ":" in host else host
    lines = [f"runner  http://{place}:{port}", f"token   {folder / TOKEN}", f"files   {folder / 'workspace'}", ""]
    if is_local:
        lines += [
            f"tunnel from the notebook's machine:  ssh -N -L {port}:127.0.0.1:{port} THIS-MACHINE",
            f'in the notebook:  sw.open_session("a", sandbox="runner:http://127.0.0.1:{port}", token="...")',
        ]
    else:
        lines += ["The connection is not encrypted: let a TLS proxy or a tunnel stand before this address."]
    print("\n".join(lines), flush=True)  # noqa: T201 - the answer
    argv = [sys.executable, "-P", "-m", "session_widgets.runner", "--config", str(config)]
    os.execve(sys.executable, argv, inherited_environment())  # noqa: S606 - our own program


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError as error:
        raise BadValue(f"--host must be an address of this machine, such as 127.0.0.1; got {host!r:.80}.") from error


def _token(folder: Path) -> str:
    """Return the token of the directory, chosen at its first use."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / TOKEN
    if file.exists():
        return file.read_text().strip()
    if any(folder.iterdir()):
        raise BadValue(f"{folder} holds files that are not a runner's. Name a new directory.")
    token = secrets.token_urlsafe(32)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        target.write(f"{token}\n")
    return token
