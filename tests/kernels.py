"""Another Python process with a session of its own, and what both of them leave behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

PRELUDE = """
import json, sys, time
import session_widgets as sw
"""


class Kernel:
    """Runs `code` behind `PRELUDE`; it prints one JSON value a line."""

    def __init__(self, code):
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", PRELUDE + code], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
        )

    def read(self):
        line = self.process.stdout.readline()
        assert line, f"the other kernel ended with {self.process.wait()}"
        return json.loads(line)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def end(self):
        out, _ = self.process.communicate(timeout=50)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


def runner_pid(session):
    ref = session._core.record.sandbox_ref
    return json.loads((Path(session.store.home) / "sandboxes" / ref.split(":")[1] / "process.json").read_text())["pid"]


def exactly_once(events):
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
