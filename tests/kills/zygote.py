"""A process that has everything imported and forks: a kernel that is to be killed then costs no start of Python.

`python -m kills.zygote` reads one JSON line per child, `{"run": "module:function", "with": {...}}`, and answers with
what the child prints and, as the last line, `{"ended": code}`: the negative number of the signal that killed
it, if one did.
Our own modules are forgotten before the fork, since what they make on import belongs to one process.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
PRELOADED = (
    "kills.operations", "session_widgets.sessions.opening", "session_widgets.store.database", "session_widgets.acp",
    "session_widgets.sandboxes.docker", "session_widgets.sandboxes.sandbox_agent", "docker", "docker.types", "mcp",
    "session_widgets.workspaces.mounted", "boto3",
)  # fmt: skip


class Zygote:
    """The parent's end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self, function: str, heard: Callable[[Any], None] = lambda _: None, **arguments: Any
    ) -> tuple[int, list[Any]]:
        """Fork, run `function` there, and return how that process ended, and the JSON values that it printed.

        Args:
            function: "module:name".
            heard: is given each value as it comes.
            arguments: of the function.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"run": function, "with": arguments}) + "\n")
        self._process.stdin.flush()
        said: list[Any] = []
        for line in self._process.stdout:
            value = json.loads(line)
            if isinstance(value, dict) and "ended" in value:
                return value["ended"], said
            said.append(value)
            heard(value)
        raise AssertionError(f"the zygote ended with {self._process.wait()}, after {said}")


@contextmanager
def zygote() -> Iterator[Zygote]:
    """Start a zygote with this process's environment."""
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "kills.zygote"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    with process:
        try:
            yield Zygote(process)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # a child of it may hang
            raise


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in {"session_widgets", "kills", "kernels"}]:
        del sys.modules[name]
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "only a process of one thread may be forked"
    for line in sys.stdin:
        asked = json.loads(line)
        if (pid := os.fork()) == 0:
            return child(asked["run"], asked["with"])
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"ended": os.waitstatus_to_exitcode(status)}), flush=True)


def child(function: str, arguments: dict[str, Any]) -> None:
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    module, _, name = function.partition(":")
    try:
        getattr(importlib.import_module(module), name)(**arguments)
    except BaseException:
        traceback.print_exc()
        sys.stdout.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
