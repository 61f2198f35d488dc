"""Commands as a user other than root, who sees the Python and the sources of the tests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.paths import ROOT

USER = "1000"
SCRIPT = """
set -e
user=$1 folder=$2 home=$3; shift 3
held=$(mktemp -d)
number=0
kept=()
while [ "$1" != -- ]; do
  number=$((number + 1)); mkdir "$held/$number"; mount --rbind "$1" "$held/$number"; kept+=("$1"); shift
done
shift
mount -t tmpfs tmpfs "$home"  # root's, which nobody else may enter
chmod 755 "$home"
number=0
for one in "${kept[@]}"; do
  number=$((number + 1)); mkdir -p "$one"; mount --rbind "$held/$number" "$one"
done
chown "$user:$user" "$folder"
exec setpriv --reuid "$user" --regid "$user" --clear-groups \\
  env -i HOME="$folder" TMPDIR="$folder" PATH="$PATH" LANG=C.UTF-8 "$@"
"""


def as_ordinary_user(command: Sequence[str], folder: Path) -> list[str]:
    """Return a command that runs another one as a user other than root.

    Args:
        command: to run.
        folder: becomes that user's home; the directories above it must be open to all.
    """
    home = Path.home()
    kept = [str(path) for path in {Path(sys.base_prefix), ROOT} if path.is_relative_to(home)]
    return ["unshare", "--mount", "bash", "-c", SCRIPT, "bash", USER, str(folder), str(home), *kept, "--", *command]
