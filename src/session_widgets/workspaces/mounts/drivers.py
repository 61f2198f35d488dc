"""The mounters, each as a recipe: arguments, environment, and files for the secrets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from session_widgets.errors import WorkspaceError
from session_widgets.workspaces.credentials import Credentials
from session_widgets.workspaces.weed import weed

FUSE_CONF = Path("/etc/fuse.conf")
PASSED_ON = (
    "PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a mount.

    Attributes:
        prefix: without "/" at its ends.
        keys: None if the driver needs none.
        filer: "host:port" of SeaweedFS's filer, if known.
        owner: uid and gid of the files.
        confined: whether the keys reach only this prefix.
    """

    endpoint: str
    region: str
    bucket: str
    prefix: str
    keys: Credentials | None
    filer: str | None
    owner: tuple[int, int]
    confined: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """Command of a mounter: in the foreground, with its secrets in files (name -> text) of its directory."""

    argv: list[str]
    env: Mapping[str, str] = field(repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Driver:
    """A mounter.

    Attributes:
        program: returns its path, or raises `MissingDependency` or `WorkspaceError` with the remedy.
        command: returns the command for a target, a private directory, and the mount point.
        needs_keys: whether it uses S3, with keys; else it uses SeaweedFS's filer, without keys.
        lists_directories: whether S3 lists its empty directories.
        lists_links: whether S3 shows the targets of its symbolic links.
        keeps_links: whether they survive a remount.
    """

    name: str
    program: Callable[[], str]
    command: Callable[[Target, Path, Path], Command]
    needs_keys: bool = True
    lists_directories: bool = True
    lists_links: bool = True
    keeps_links: bool = True


def others_allowed() -> bool:
    """Whether other users than its owner, such as a container's, may see a mount."""
    if os.geteuid() == 0:
        return True
    try:
        lines = FUSE_CONF.read_text().splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)


def _s3fs(target: Target, place: Path, point: Path) -> Command:
    keys = _keys(target)
    uid, gid = target.owner
    options = {
        "url": target.endpoint,
        "endpoint": target.region,
        "use_path_request_style": None,
        "listobjectsv2": None,
        "uid": str(uid),
        "gid": str(gid),
        "mp_umask": "0077",
        "complement_stat": None,
        "stat_cache_expire": "1",  # other programs change the bucket, too
        "multipart_size": "50",  # an object below twice this size has an MD5 as ETag
        "retries": "3",
        "connect_timeout": "10",
        "readwrite_timeout": "60",
        "tmpdir": str(place / "cache"),
        "dbglevel": "err",
    }
    if others_allowed():
        options["allow_other"] = None
    env, files = _environment(place), {}
    if keys.session_token is None:
        options["passwd_file"] = str(place / "keys")
        files["keys"] = f"{keys.access_key}:{keys.secret_key}\n"
    else:  # s3fs takes a session token in its environment alone, which only its user and root can read
        options["use_session_token"] = None
        env |= {"AWSACCESSKEYID": keys.access_key, "AWSSECRETACCESSKEY": keys.secret_key}
        env["AWSSESSIONTOKEN"] = keys.session_token
    listed = ",".join(_option(name, value) for name, value in options.items())
    return Command(["s3fs", f"{target.bucket}:/{target.prefix}", str(point), "-f", "-o", listed], env, files)


def _option(name: str, value: str | None) -> str:
    return name if value is None else f"{name}={value}".replace("\\", "\\\\").replace(",", "\\,")


def _weed(target: Target, place: Path, point: Path) -> Command:
    if target.filer is None:
        raise WorkspaceError(
            "weed mount speaks to SeaweedFS's filer, and it is not known where that is: set SESSION_WIDGETS_WEED_FILER "
            "to its host:port, or choose the attachment 'fuse:s3fs' or 'sync'.",
            reason="mount",
        )
    uid, gid = target.owner
    argv = [
        "weed",
        "mount",
        f"-filer={target.filer}",
        f"-filer.path=/buckets/{target.bucket}/{target.prefix}",
        f"-dir={point}",
        f"-cacheDir={place / 'cache'}",
        "-localSocket=socket",  # in `place`, its working directory: a full path may be too long for a socket
        f"-map.uid={uid}:0",  # files written by S3 belong to 0 there
        f"-map.gid={gid}:0",
        "-umask=000",
        f"-allowOthers={'true' if others_allowed() else 'false'}",
    ]
    return Command(argv, _environment(place))


def _geesefs(target: Target, place: Path, point: Path) -> Command:
    keys = _keys(target)
    uid, gid = target.owner
    lines = ["[session-widgets]", f"aws_access_key_id = {keys.access_key}"]
    lines += [f"aws_secret_access_key = {keys.secret_key}"]
    if keys.session_token is not None:
        lines.append(f"aws_session_token = {keys.session_token}")
    argv = [
        "geesefs",
        "--endpoint", target.endpoint,
        "--region", target.region,
        "--no-detect",
        "--list-type", "2",
        "--no-expire-multipart",
        "--fsync-on-close",
        "--stat-cache-ttl", "1s",
        "--memory-limit", "256",
        "--uid", str(uid),
        "--gid", str(gid),
        "--shared-config", str(place / "keys"),
        "--profile", "session-widgets",
        "--print-stats", "0",
        "--log-file", "stderr",
        *(("-o", "allow_other") if others_allowed() else ()),
        "-f",
        f"{target.bucket}:{target.prefix}",
        str(point),
    ]  # fmt: skip
    return Command(argv, _environment(place), {"keys": "\n".join([*lines, ""])})


def _environment(place: Path) -> dict[str, str]:
    """The minimal environment of a mounter: HOME is its own directory, so that it reads no other settings or keys."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"HOME": str(place)}


def _keys(target: Target) -> Credentials:
    assert target.keys is not None
    return target.keys


def _on_path(name: str, remedy: str) -> Callable[[], str]:
    def program() -> str:
        if found := shutil.which(name):
            return found
        raise WorkspaceError(f"{name} was expected on PATH and is not there: {remedy}.", reason="tool")

    return program


DRIVERS = {
    "s3fs": Driver("s3fs", _on_path("s3fs", "apt-get install s3fs (version 1.90 or newer)"), _s3fs),
    "weed": Driver("weed", weed, _weed, needs_keys=False, lists_directories=False, lists_links=False),
    "geesefs": Driver(
        "geesefs",
        _on_path("geesefs", "take a release of github.com/yandex-cloud/geesefs, or choose 'fuse:s3fs' or 'sync'"),
        _geesefs,
        lists_links=False,
        keeps_links=False,
    ),
}
