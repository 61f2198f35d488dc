"""A real agent program with a bad habit. Arguments: the habit, then its command.

garbage   prints what is no message before each message
hangs     ignores session/new, and so never answers
deaf      neither ends at the end of its input nor by TERM, nor does its child
older     says that it is version 0.0.1
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

GARBAGE = (b"Update available: run npm install", b'{"jsonrpc": "2.0", "meth', b"[1, 2]", b"\xff\xfe\x00", b"")


def main(habit: str, *command: str) -> None:
    if habit == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert program.stdin is not None
    assert program.stdout is not None
    threading.Thread(target=listen, args=(habit, program.stdin), daemon=True).start()
    for line in program.stdout:
        if habit == "garbage":
            sys.stdout.buffer.write(b"\n".join(GARBAGE) + b"\n")
        sys.stdout.buffer.write(older(line) if habit == "older" else line)
        sys.stdout.buffer.flush()


def listen(habit: str, to_program) -> None:
    for line in sys.stdin.buffer:
        if habit == "hangs" and json.loads(line).get("method") == "session/new":
            continue
        to_program.write(line)
        to_program.flush()
    if habit != "deaf":
        to_program.close()


def older(line: bytes) -> bytes:
    message = json.loads(line)
    if "agentInfo" not in (message.get("result") or {}):
        return line
    message["result"]["agentInfo"]["version"] = "0.0.1"
    return json.dumps(message).encode() + b"\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
