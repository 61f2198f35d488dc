"""Checks of this machine, with a remedy for each problem."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator

from session_widgets._harnesses.entries import HARNESSES
from session_widgets._sandboxes.confinement import REMEDY, check_here
from session_widgets._store import store
from session_widgets.cli.checks import Check, output, program
from session_widgets.cli.doctor_docker import docker_checks
from session_widgets.cli.doctor_harnesses import harness_checks
from session_widgets.cli.doctor_storage import mount_checks, store_checks
from session_widgets.errors import MissingDependency, SessionWidgetsError
from session_widgets.host.data_directory import data_directory
from session_widgets.kernel import LOSES_REQUESTS, loses_requests
from session_widgets.kernel import REMEDY as REMEDY_OF_KERNEL

KEYS = {
    "ANTHROPIC_API_KEY": "models of Anthropic",
    "OPENAI_API_KEY": "models of OpenAI",
    "GEMINI_API_KEY": "models of Google",
}
LEAST_FREE_GB = 1.0


def checks() -> Iterator[Check]:
    """Run all checks. They send only one request, to each configured object store."""
    yield _python()
    yield Check("session-widgets", True, importlib.metadata.version("session-widgets"))
    yield _store()
    yield _disk()
    yield lab_check()
    yield from docker_checks()
    yield confinement_check()
    yield from mount_checks()
    yield from store_checks(store().home)
    yield from harness_checks(data_directory())
    yield program(
        "browser",
        ("chromium", "chromium-browser", "google-chrome", "firefox"),
        "to see notebooks on this machine: install Chromium or Firefox",
        optional=True,
    )
    for key, use in KEYS.items():
        yield _key(key, use)


def confinement_check() -> Check:
    """Return whether a local sandbox can be confined."""
    name = "confined local"
    try:
        _, bwrap = check_here()
    except MissingDependency as error:
        return Check(name, False, "not available", str(error), optional=True)
    if output([bwrap, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "echo", "yes"]) is None:
        return Check(name, False, f"the kernel refuses namespaces ({bwrap})", REMEDY, optional=True)
    return Check(name, True, f"{output([bwrap, '--version'])} ({bwrap})")


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()} ({sys.executable})"
    if sys.platform == "win32":
        return Check("Python", False, found, "the local sandbox needs Linux or macOS: use WSL")
    return Check("Python", sys.version_info >= (3, 11), found, "" if sys.version_info >= (3, 11) else "3.11 or newer")


def _store() -> Check:
    version = importlib.metadata.version("duckdb")
    try:
        book = store()
        (count,) = book.sql("select count(*) from v_sessions").fetchall()[0]
    except SessionWidgetsError as error:
        return Check("DuckDB store", False, f"DuckDB {version}", str(error))
    return Check("DuckDB store", True, f"{count} sessions in {book.path} (DuckDB {version})")


def _disk() -> Check:
    place = next(folder for folder in (store().path, *store().path.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    enough = free >= LEAST_FREE_GB
    remedy = "" if enough else "make room, or point SESSION_WIDGETS_HOME to another disk"
    return Check("disk", enough, f"{free:.1f} GB free at {place}", remedy)


def lab_check() -> Check:
    """Return whether JupyterLab is installed, with an ipykernel that answers each request."""
    try:
        lab = importlib.metadata.version("jupyterlab")
    except importlib.metadata.PackageNotFoundError:
        return Check("JupyterLab", False, "not installed here", "pip install 'session-widgets[lab]'")
    kernel = importlib.metadata.version("ipykernel")
    major, minor = map(int, re.findall(r"\d+", kernel)[:2])
    if loses_requests((major, minor)):
        return Check("JupyterLab", False, f"{lab}; ipykernel {kernel} {LOSES_REQUESTS}", REMEDY_OF_KERNEL)
    return Check("JupyterLab", True, f"{lab}, ipykernel {kernel}")


def _key(key: str, use: str) -> Check:
    present = bool(os.environ.get(key))
    needed = ", ".join(harness.id for harness in HARNESSES if key in harness.keys)
    remedy = f"export {key}=... for {use}; one of the keys that are good for {needed}"
    return Check(key, present, "present" if present else "absent", "" if present else remedy, optional=True)
