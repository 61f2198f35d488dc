"""The demo agent behind a pipe that nests: beside each text it sends a tool call nested so deep, and so is each answer.

Argument: levels. All that comes at once leaves in one write.
"""

import json
import subprocess
import sys


def main(levels: int) -> None:
    demo = [sys.executable, "-m", "session_widgets.demo"]
    program = subprocess.Popen(demo, stdin=sys.stdin.buffer, stdout=subprocess.PIPE)
    nested = "[" * levels + "]" * levels
    assert program.stdout is not None
    for line in program.stdout:
        message = json.loads(line)
        written = line.decode().strip()
        params = message.get("params", {})
        if params.get("update", {}).get("sessionUpdate") == "agent_message_chunk":
            update = {"sessionUpdate": "tool_call", "toolCallId": "deep", "title": "deep", "rawInput": "HERE"}
            call = {"jsonrpc": "2.0", "method": "session/update", "params": params | {"update": update}}
            written += "\n" + json.dumps(call).replace('"HERE"', nested)
        if "stopReason" in (message.get("result") or {}):
            message["result"]["_meta"] = "HERE"
            written = json.dumps(message).replace('"HERE"', nested)
        sys.stdout.write(written + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
