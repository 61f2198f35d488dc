"""What is in a new box: files of /etc, a home, and maybe a Python."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

COPIED = (
    "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "login.defs", "profile", "bash.bashrc", "localtime",
    "mime.types", "os-release", "debian_version", "alternatives",
)  # fmt: skip
WRITTEN = {
    "hosts": "127.0.0.1 localhost\n",
    "passwd": "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000:user:/home/user:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
    "shadow": "root:*:19000:0:99999:7:::\nuser:*:19000:0:99999:7:::\n",
}


def furnish(root: Path) -> None:
    """Make its directories and the files of /etc, unless they are there."""
    (root / "etc").mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    for name in COPIED:
        source, target = Path("/etc", name), root / "etc" / name
        if target.exists() or not source.exists():
            continue
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    for name, text in WRITTEN.items():
        if not (target := root / "etc" / name).exists():
            target.write_text(text)
    home = root / "home" / "user"
    if not home.exists():
        home.mkdir(parents=True)
        os.chown(home, 1000, 1000)


@functools.cache
def brought_python() -> str:
    """The Python to mount into a box: none, if this machine's own will do."""
    probe = ["/usr/bin/python3", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    try:
        return "" if subprocess.run(probe, check=False).returncode == 0 else sys.base_prefix
    except OSError:
        return sys.base_prefix
