"""Kernels to be killed: functions in forked processes, with their reports before the end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.forked import Forked
from tests.support.paths import ROOT

SECONDS = 10
"""For an end that comes after the last word."""
CODE = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
getattr(importlib.import_module(sys.argv[2]), sys.argv[3])(**json.loads(sys.argv[4]))
"""


def run(
    forked: Forked, function: str, heard: Callable[[Any], None] = lambda _: None, **arguments: Any
) -> tuple[int, list[Any]]:
    """Run a function in a process of its own; return how that ended, and the JSON values that it printed.

    Args:
        forked: starts it.
        function: "module:name".
        heard: is given each value as it comes.
        arguments: of the function.
    """
    module, _, name = function.partition(":")
    argv = ["-c", str(ROOT), module, name, json.dumps(arguments)]
    read, write = os.pipe()
    with os.fdopen(read) as told, Path(os.devnull).open() as nothing:
        with os.fdopen(write, "w") as telling:
            process = forked.start(argv, stdin=nothing, stdout=telling, code=CODE)
        said: list[Any] = []
        try:
            for line in told:
                said.append(json.loads(line))
                heard(said[-1])
            return process.wait(SECONDS), said
        except BaseException:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            raise
