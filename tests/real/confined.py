"""Runs each harness in this process's namespaces: prints the outcome of a turn as JSON. Argument: a directory."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path

import session_widgets as sw
from tests.support.model.serving import script, serving
from tests.support.real_harnesses import MODELS, NAMES, allow_once

SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))


def main(folder: Path) -> None:
    bring_loopback_up()
    with serving(folder) as model:
        os.environ.update(model.environment)
        for name in NAMES:
            session = sw.open_session(name, harness=name, permissions=allow_once, model=MODELS.get(name))
            turn = session.send(script({"text": "I write", "write": ["a.txt", "x"]}, {"text": "done"}))
            written = (session.workspace / "a.txt").exists()
            print(json.dumps([name, turn.status, turn.text, written, turn.error]), flush=True)
            session.delete()
        sw.store().close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
