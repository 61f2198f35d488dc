"""Owner of a container's files: the kernel's user, or `agent` if the kernel runs as root."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from session_widgets.errors import BadValue

AGENT = 1000
"""User and group id of `agent` in the image."""


@dataclass(frozen=True, slots=True)
class Account:
    """Owner of a container's files on this machine; agents and commands inside run as this user."""

    uid: int
    gid: int
    rootless: bool = False

    @property
    def inside(self) -> tuple[int, int] | None:
        """The user of agents and commands, another one than the runner; None: a rootless engine has one for all.

        Such an engine maps its own user to root inside, so root owns the files there.
        """
        return None if self.rootless else (self.uid, self.gid)

    @property
    def runner(self) -> str:
        """User and group of the runner, for `docker run --user`: a group without agents."""
        return "0:0" if self.rootless else f"0:{self.gid + 1}"

    @property
    def private(self) -> str:
        """Mount options of a directory that only the runner can access."""
        return "uid=0,gid=0,mode=0700" if self.rootless else f"uid=0,gid={self.gid + 1},mode=0710"


def container_account(*, rootless: bool = False) -> Account:
    """Return the account of new containers."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0 and not rootless:
        uid = gid = AGENT
    return Account(uid, gid, rootless)


def hand_over(path: Path, account: Account) -> None:
    """Give a file, or a directory with its content, to the account; links are changed, never followed.

    Only root can do so, and only entries with another owner are changed. Of a FUSE mount only the root is changed: the
    mounter sets the owner of the files, and each check may be a request to an object store.

    Raises:
        BadValue: the account cannot write there, or the directory holds more than a workspace.
    """
    if os.geteuid() == 0 and account.uid != 0:
        _check(path)
        _give(path, account)
        if not _is_fuse(path):
            for _, folders, files, directory in os.fwalk(path, follow_symlinks=False):
                for name in (*folders, *files):
                    _give(name, account, directory)
    if not _can_write(path, account):
        raise BadValue(
            f"the sandbox runs as user {account.uid} and cannot write to {path}. Give it the directory "
            f"(chown -R {account.uid}:{account.gid} {path}), or choose another workspace."
        )


def _check(path: Path) -> None:
    """Refuse a directory whose new owner would break this machine or this program."""
    real = path.resolve()
    for precious in (Path.home().resolve(), Path(sys.base_prefix).resolve()):
        if real in {precious, *precious.parents}:
            raise BadValue(f"{path} cannot be a docker workspace: it holds {precious}. Choose a directory of its own.")


def _is_fuse(path: Path) -> bool:
    real = str(path.resolve())
    return any(
        mount.mountpoint == real and mount.fstype.startswith("fuse") for mount in psutil.disk_partitions(all=True)
    )


def _give(path: str | Path, account: Account, directory: int | None = None) -> None:
    with suppress(OSError):  # it vanished, or the file system has a single owner: then `_can_write` decides
        info = os.stat(path, dir_fd=directory, follow_symlinks=False)
        if (info.st_uid, info.st_gid) != (account.uid, account.gid):
            os.chown(path, account.uid, account.gid, dir_fd=directory, follow_symlinks=False)


def _can_write(path: Path, account: Account) -> bool:
    if account.uid == os.geteuid():
        return os.access(path, os.W_OK)
    info = path.stat()
    shift = 6 if info.st_uid == account.uid else 3 if info.st_gid == account.gid else 0
    return bool(info.st_mode >> shift & 0o2)
