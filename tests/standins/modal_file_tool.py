#!/usr/bin/env python3
"""What Modal keeps in every box at /__modal/.bin/modal-sandbox-fs-tools: one file operation, given as JSON."""

import json
import shutil
import sys
from pathlib import Path

MOST = 5 << 30
KINDS = {
    FileNotFoundError: "NotFound",
    IsADirectoryError: "IsDirectory",
    NotADirectoryError: "NotDirectory",
    PermissionError: "PermissionDenied",
    FileExistsError: "PathAlreadyExists",
}


def read(path):
    """Print a file."""
    with Path(path).open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)


def write(path):
    """Replace a file by the input."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)


def make(path, parents):
    """Make a directory."""
    Path(path).mkdir(parents=parents, exist_ok=parents)


def remove(path, recursive):
    """Remove a file or a directory."""
    entry = Path(path)
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink()
    elif recursive:
        shutil.rmtree(entry)
    else:
        entry.rmdir()


OPERATIONS = {"ReadFile": read, "WriteFile": write, "MakeDirectory": make, "Remove": remove}


def main():
    """Do it, and describe a failure as Modal does."""
    [(name, arguments)] = json.loads(sys.argv[1]).items()
    if name not in OPERATIONS:
        sys.exit(json.dumps({"error_kind": "NotSupported", "message": f"the stand-in has no {name}"}))
    try:
        OPERATIONS[name](**arguments)
    except OSError as error:
        kind = KINDS.get(type(error), "Other")
        sys.exit(json.dumps({"error_kind": kind, "message": str(error)}))


if __name__ == "__main__":
    main()
