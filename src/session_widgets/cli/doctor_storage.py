"""`doctor` checks of workspaces in buckets: mounts, object stores, and the clock."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from session_widgets.cli.checks import Check, output
from session_widgets.errors import MissingDependency, WorkspaceError
from session_widgets.workspaces.clients import client_config
from session_widgets.workspaces.connect import connect, explain
from session_widgets.workspaces.explain import SKEW_SECONDS, clock_skew
from session_widgets.workspaces.local_s3 import LocalS3
from session_widgets.workspaces.mounts import DRIVERS, Abilities
from session_widgets.workspaces.mounts.drivers import others_allowed
from session_widgets.workspaces.weed import weed

FUSE = Path("/dev/fuse")
WITHOUT = "the attachment 'sync' needs none of it"
EVERYTHING = Abilities(*[True] * 9)
MEASURED = {"s3fs": replace(EVERYTHING, hard_link=False), "weed": EVERYTHING}
"""Capabilities that the probe found on a bucket of SeaweedFS."""
REMARKS = {
    "s3fs": "any object store; slow with many small files",
    "weed": "SeaweedFS alone, through its filer",
    "geesefs": "any object store; by its own word no hard links, and symbolic links come back as empty files",
}
VERSIONS = {"weed": "version"}
ANY = "any-bucket"
"""Replaces the bucket's name in errors that apply to all buckets."""
SETTINGS = (
    "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)  # fmt: skip
SETTINGS_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}


def mount_checks() -> Iterator[Check]:
    """Report whether buckets can be mounted here, with which programs, and the capabilities of each."""
    fuse = _fuse()
    yield fuse
    if fuse.ok and not others_allowed():
        yield Check(
            "mounts in containers",
            False,
            "only their owner may see mounts",
            "for sandbox='docker' on a mount: add the line user_allow_other to /etc/fuse.conf",
            optional=True,
        )
    for name in DRIVERS:
        yield _mounter(name, fuse)


def store_checks(home: Path) -> Iterator[Check]:
    """Report the available object stores; a configured or running one receives one request."""
    if _has_settings():
        yield from _configured(home)
    else:
        yield Check(
            "object store",
            False,
            "no AWS settings",
            "for workspaces in a bucket of yours: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and "
            "AWS_ENDPOINT_URL_S3 if it is not Amazon's",
            optional=True,
        )
    yield from _embedded(LocalS3(home))


def _fuse() -> Check:
    mounter = shutil.which("fusermount3") or shutil.which("fusermount")
    if sys.platform != "linux":
        return Check("FUSE", False, f"mounts need Linux, and this is {sys.platform}", WITHOUT, optional=True)
    if not FUSE.exists():
        return Check(
            "FUSE",
            False,
            f"no {FUSE}",
            f"modprobe fuse; in a container, start it with --device {FUSE}; {WITHOUT}",
            optional=True,
        )
    if not os.access(FUSE, os.R_OK | os.W_OK):
        return Check("FUSE", False, f"no permission for {FUSE}", f"as root: chmod 666 {FUSE}; {WITHOUT}", optional=True)
    if mounter is None:
        return Check("FUSE", False, "no fusermount3", f"apt-get install fuse3; {WITHOUT}", optional=True)
    return Check("FUSE", True, f"{FUSE}, {output([mounter, '--version']) or 'fusermount'} ({mounter})")


def _mounter(name: str, fuse: Check) -> Check:
    title, able = f"mounts by {name}", REMARKS[name]
    if name in MEASURED:
        able = f"{MEASURED[name].describe()}; {able}"
    try:
        path = DRIVERS[name].program()
    except (MissingDependency, WorkspaceError) as error:
        return Check(
            title, False, f"not installed. It would give: {able}", str(error).rpartition(": ")[2], optional=True
        )
    version = re.search(r"\d+\.\d[\w.]*", output([path, VERSIONS.get(name, "--version")]) or "")
    program = f"{name} {version.group() if version else '(of unknown version)'}, {path}"
    if not fuse.ok:
        return Check(title, False, f"{program}, but no FUSE", fuse.remedy, optional=True)
    return Check(title, True, f"{able} ({program})")


def _has_settings() -> bool:
    files = [os.environ.get(name, usual) for name, usual in SETTINGS_FILES.items()]
    return any(map(os.environ.get, SETTINGS)) or any(Path(file).expanduser().exists() for file in files)


def _configured(home: Path) -> Iterator[Check]:
    """Check the object store of the AWS settings."""
    try:
        connection = connect(ANY, home)
        assert connection.session is not None, "only the embedded store has none"
        config = client_config(path_style=not connection.is_aws, attempts=1)
        refused, clock = _ask(partial(connection.session.client, "s3", config=config))
    except WorkspaceError as error:
        yield _no("object store", error)
        return
    if refused is None:
        yield Check("object store", True, f"{connection.endpoint}, keys from {connection.credentials_source}")
    else:
        yield _no("object store", refused)
    if clock is not None:
        yield clock


def _embedded(store: LocalS3) -> Iterator[Check]:
    title = "embedded object store"
    if not store.buckets:
        try:
            weed()
        except MissingDependency as error:
            remedy = f"{str(error).rpartition(': ')[2]}, then: session-widgets s3 start"
            yield Check(title, False, "never started, and SeaweedFS is not installed", remedy, optional=True)
            return
        yield Check(
            title,
            False,
            "never started",
            "for workspaces in a bucket of this machine: session-widgets s3 start",
            optional=True,
        )
    elif not store.running:
        remedy = "a session that needs it starts it; or now: session-widgets s3 start"
        yield Check(title, False, f"does not run; its files are in {store.place}", remedy, optional=True)
    else:
        try:
            refused, _ = _ask(partial(store.client, attempts=1))
        except WorkspaceError as error:
            refused = error
        running = f"at {store.endpoint}, buckets {', '.join(store.buckets)}, files in {store.place}"
        yield Check(title, True, running) if refused is None else _no(title, refused)


def _ask(make_client: Callable[[], Any]) -> tuple[WorkspaceError | None, Check | None]:
    """Send one request; return the reason of a refusal, if any, and the difference of the clocks."""
    from botocore.exceptions import BotoCoreError, ClientError

    refused = None
    try:
        meta = make_client().list_buckets()["ResponseMetadata"]
    except ClientError as error:
        meta = error.response.get("ResponseMetadata", {})
        if error.response.get("Error", {}).get("Code") != "AccessDenied":  # keys of one bucket may not list all
            refused = explain(error, ANY)
    except BotoCoreError as error:
        raise explain(error, ANY) from error
    ahead = clock_skew(meta.get("HTTPHeaders", {}).get("date"))
    return refused, None if ahead is None else _clock(ahead)


def _clock(ahead: float) -> Check:
    if abs(ahead) <= SKEW_SECONDS:
        return Check("clock", True, f"within {max(1, round(abs(ahead)))} s of the object store's")
    found = f"{abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'} the object store's"
    return Check("clock", False, found, "set it right, for example with timedatectl: stores refuse from 15 minutes on")


def _no(name: str, error: WorkspaceError) -> Check:
    text = str(error).replace(f" in bucket '{ANY}'", "").removeprefix(f"bucket '{ANY}': ")
    found, _, remedy = text.partition(". ")
    return Check(name, False, found, remedy or found)
