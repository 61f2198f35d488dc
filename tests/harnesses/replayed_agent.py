"""Replays recorded agent processes, one at each start, with their messages and timing.

Arguments: the capture, the scenario, and a file that counts the processes. What the client says is waited for by its
method, or as the answer to a request; a request that was not recorded is refused. A process whose recording ends in the
middle of a request was killed, and is again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main(capture: str, scenario: str, counter: str) -> None:
    lines = [json.loads(line) for line in Path(capture).read_text().splitlines()]
    lines = [line for line in lines if line["scenario"] == scenario]
    phases = list(dict.fromkeys(line.get("phase") for line in lines))
    count = Path(counter)
    started = int(count.read_text()) if count.exists() else 0
    count.write_text(str(started + 1))
    play([line for line in lines if line.get("phase") == phases[started]])


def play(lines: list[dict[str, Any]]) -> None:
    open_requests: dict[object, object] = {}
    for line in lines:
        message = line["msg"]
        if line["dir"] == "c2a":
            heard = hear(message)
            if "method" in message and "id" in message:
                open_requests[message["id"]] = heard["id"]
        elif "method" in message:
            say(message)
        else:
            say({**message, "id": open_requests.pop(message["id"])})
    if open_requests:
        os.kill(os.getpid(), signal.SIGKILL)
    hear(None)


def hear(recorded: dict[str, Any] | None) -> dict[str, Any]:
    """Read what the client says until it is what it said then; without that, until it says no more."""
    for line in sys.stdin:
        message = json.loads(line)
        if recorded is not None and message.get("method") == recorded.get("method"):
            if "method" in message or message["id"] == recorded["id"]:
                return message
        elif "method" in message and "id" in message:
            say({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "not recorded"}})
    sys.exit()


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
