"""Confinement of a `local` sandbox by bubblewrap: agents, commands and terminals, each in namespaces of its own."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from session_widgets._sandboxes.docker_gateway import PROXY_PORT, egress_of, proxy_variables
from session_widgets._sandboxes.network import OPEN, Network, elsewhere
from session_widgets._sandboxes.options import Sandbox
from session_widgets._sandboxes.visible_files import SYSTEM, TMP, View, program_files, python_files, user_site
from session_widgets.errors import BadValue, MissingDependency, SandboxError
from session_widgets.host.data_directory import data_directory
from session_widgets.runner.inside import words

PRIVATE = Path("/run/session-widgets")
HOME = PRIVATE / "home"
DOOR = PRIVATE / "runner"
TRY_SECONDS = 20

SETTINGS = (
    "alternatives", "bash.bashrc", "ca-certificates.conf", "debian_version", "fonts", "gai.conf", "group", "host.conf",
    "hosts", "inputrc", "java", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "magic",
    "mime.types", "networks", "nsswitch.conf", "os-release", "passwd", "pki/ca-trust/extracted", "pki/tls/certs",
    "profile", "protocols", "python3", "resolv.conf", "services", "shells", "ssl/certs", "ssl/openssl.cnf", "terminfo",
    "timezone", "xattr.conf",
)  # fmt: skip
"""Files of /etc that programs need, and that contain no secret, not even of root's."""
KERNEL = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "asound")
"""Files of /proc that user 0 may write even without a capability and in a user namespace."""
UNFIT = ("/", str(TMP), "/usr", "/etc", "/var", "/run", "/proc", "/sys", "/dev", str(PRIVATE))
SIGNALS = "HUP,INT,QUIT,TERM"
"""They are for the command alone: bubblewrap, which is in its process group, waits for its end."""

INSTALL = "install bubblewrap: apt-get install bubblewrap, or dnf install bubblewrap"
REMEDY = (
    "as root, sysctl kernel.unprivileged_userns_clone=1; on Ubuntu since 23.10 an AppArmor profile with `userns` for "
    "bwrap, or sysctl kernel.apparmor_restrict_unprivileged_userns=0; in a container the engine forbids namespaces: "
    "use sandbox='docker' on its host"
)
"""For a kernel that refuses namespaces."""


def check_here() -> tuple[str, str]:
    """Return the paths of `env` and `bwrap`.

    Raises:
        MissingDependency: this machine cannot confine.
    """
    if sys.platform != "linux":
        raise MissingDependency(
            f"Sandbox('local', confine=True) needs Linux, whose namespaces it uses; this is {sys.platform}. "
            "sandbox='docker' isolates here."
        )
    env, bwrap = shutil.which("env"), shutil.which("bwrap")
    if env is None or bwrap is None:
        raise MissingDependency(f"Sandbox('local', confine=True) needs the program bwrap: {INSTALL}.")
    return env, bwrap


def check_local(sandbox: Sandbox, root: Path, home: Path) -> None:
    """Check the options of a `local` sandbox, before it is stored.

    Args:
        sandbox: with its options.
        root: the workspace.
        home: of the store.

    Raises:
        BadValue: they contradict each other, or the workspace.
        MissingDependency: this machine cannot confine.
    """
    if not sandbox.confine:
        if needing := [name for name in ("mounts", "network") if name in sandbox.given]:
            raise BadValue(
                f"{' and '.join(f'{name}=' for name in needing)} of 'local' need confine=True: without it programs see "
                "all files of this machine, and its network."
            )
        return
    check_here()
    check_workspace(root, home)


def confinement(
    root: Path, place: Path, home: Path, agents: Mapping[str, Any], mounts: Mapping[str, str], ways: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the setting `confinement` of a runner. Blocks: it starts a program once, to see that it works.

    No program of the sandbox may run, because files in its directories are made here.

    Args:
        root: the workspace.
        place: directory of the sandbox.
        home: of the store, with the records of its sandboxes.
        agents: launch entries of the harnesses.
        mounts: further directories of this machine, by which they are visible; read-only.
        ways: out of it, from `ways_out`.

    Raises:
        MissingDependency: this machine cannot confine.
        SandboxError: the kernel refuses, or a path cannot be confined.
    """
    env, bwrap = check_here()
    check_workspace(root, home)
    for name in ("home", "tmp", "cache", "door"):
        (place / name).mkdir(mode=0o700, exist_ok=True)
    view = View(root, place)
    for path in python_files():
        view.protect(path)
    view.hide([*(hidden := _hidden(home)), _own_home()])
    view.mount_all(mounts, hidden)
    for path in program_files(agents):
        view.show(path)
    view.tree[home / "cache"] = ["--bind", str(place / "cache"), str(home / "cache")]
    view.use_workspace()
    command = [
        *(env, f"--ignore-signal={SIGNALS}", bwrap),
        *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *(["--unshare-net"] if ways["closed"] else []),
        *("--cap-drop", "ALL"),
        *_base(place),
        *view.arguments(),
        *("--remount-ro", "/"),
    ]
    then = [env, f"--default-signal={SIGNALS}"]
    if ports := [*ways["ports"], *([ways["proxy"]] if ways["egress"] else [])]:
        then += [sys.executable, *words(str(DOOR), ports)]
    _try([*command, "--chdir", "/", "--", *then, "test", "-w", str(root)], root)
    return {"command": command, "then": then, "door": str(place / "door"), "inside": str(DOOR), **ways}


def ways_out(network: Network, model: Sequence[str]) -> dict[str, Any]:
    """Return what a runner has to know of the network of confined programs.

    Args:
        network: what they may reach.
        model: addresses of the model's API, which they may reach besides: ports of this loopback, too.
    """
    if network == OPEN:
        return {"closed": False, "proxy": PROXY_PORT, "egress": None, "ports": []}
    there = elsewhere(model)
    ports = sorted({int(one.partition(":")[2] or 443) for one in model if one not in there})
    return {"closed": True, "proxy": PROXY_PORT, "egress": egress_of(network, there), "ports": ports}


def environment(ways: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that name directories of this machine, or its proxy, for programs inside.

    Args:
        ways: out, from `ways_out`.
    """
    variables = {"HOME": str(HOME), "TMPDIR": str(TMP), **proxy_variables(ways)}
    if user_site():
        variables["PYTHONUSERBASE"] = site.getuserbase()
    return variables


def check_workspace(root: Path, home: Path) -> None:
    """Raise `BadValue` for a workspace that contains what a confined sandbox hides.

    Args:
        root: the workspace.
        home: of the store.
    """
    hidden = {**dict.fromkeys(_hidden(home), "the data directory, with its runners' tokens"), _own_home(): "your home"}
    for one in {root, root.resolve()}:
        for path, what in hidden.items():
            if path.is_relative_to(one) or path.resolve().is_relative_to(one):
                raise BadValue(
                    f"confine=True hides {what} ({path}), and the workspace {str(root)!r} contains it. Pass a "
                    "directory below as workspace=, or none for a directory of the session's own."
                )
        if str(one) in UNFIT:
            raise BadValue(f"confine=True: a confined sandbox has a {one} of its own; pass another workspace=.")


def _base(place: Path) -> Iterator[str]:
    """Yield the arguments for the system's files, and for the sandbox's own."""
    for path in SYSTEM:
        if os.path.islink(path):  # noqa: PTH114 - paths are text here, as bwrap takes them
            yield from ("--symlink", os.readlink(path), path)  # noqa: PTH115
        else:
            yield from ("--ro-bind-try", path, path)
    for name in SETTINGS:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from ("--proc", "/proc", "--dev", "/dev")
    if os.geteuid() == 0:
        for name in KERNEL:
            yield from ("--ro-bind-try", f"/proc/{name}", f"/proc/{name}")
    yield from ("--bind", str(place / "tmp"), str(TMP), "--symlink", str(TMP), "/var/tmp")  # noqa: S108
    yield from ("--bind", str(place / "home"), str(HOME), "--ro-bind", str(place / "door"), str(DOOR))


def _hidden(home: Path) -> list[Path]:
    return [home.absolute(), data_directory().absolute()]


def _own_home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - `Path.home` raises without one


def _try(command: Sequence[str], root: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SandboxError(
            f"bwrap did not answer within {TRY_SECONDS} s; is the workspace {root} a dead mount?"
        ) from None
    if done.returncode == 0:
        return
    said = done.stderr.decode(errors="replace").strip()[-500:]
    if not said:
        raise SandboxError(
            f"the workspace {root} cannot be written in a confined sandbox: it belongs to user {root.stat().st_uid}, "
            f"and agents there are user {os.getuid()} without further rights. Give it to that user."
        )
    hint = f" If the kernel refuses namespaces: {REMEDY}." if _is_refusal(said) else ""
    raise SandboxError(f"the sandbox cannot be confined: {said}.{hint}")


def _is_refusal(said: str) -> bool:
    return any(word in said for word in ("namespace", "uid map", "Operation not permitted", "No permissions"))
