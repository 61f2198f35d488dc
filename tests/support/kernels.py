"""Another Python process with its own session, and the leftovers of both."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.support.forked import Forked

PRELUDE = """
import json, sys, time
import session_widgets as sw
"""


class Kernel:
    """Runs `code` behind `PRELUDE`; it prints one JSON value a line."""

    def __init__(self, forked: Forked, code: str) -> None:
        reading, writing = os.pipe()
        self._said = os.fdopen(reading)
        with os.fdopen(writing, "w") as said, Path(os.devnull).open() as nothing:
            self.process = forked.start(["-c"], code=PRELUDE + code, stdin=nothing, stdout=said)

    def read(self) -> Any:
        line = self._said.readline()
        assert line, f"the other kernel ended with {self.process.wait(5)}"
        return json.loads(line)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.end()

    def end(self) -> tuple[int, list[Any]]:
        with self._said:
            said = [json.loads(line) for line in self._said]
        return self.process.wait(50), said


def runner_pid(session):
    ref = session._controller.state.record.sandbox_ref
    return json.loads((Path(session.store.home) / "sandboxes" / ref.split(":")[1] / "process.json").read_text())["pid"]


def exactly_once(events):
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
