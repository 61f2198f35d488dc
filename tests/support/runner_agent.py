"""A scripted agent: JSON-RPC lines on stdio, controlled by the text of each prompt."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

prompts = 0


def out(message):
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def say(text):
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    out({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}})


def raw(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def flood(count):
    lines = []
    for number in range(count):
        params = {"sessionId": "s", "update": {"sessionUpdate": "agent_message_chunk", "content": {"n": number}}}
        lines.append(json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": params}))
        if len(lines) == 100:
            sys.stdout.write("\n".join(lines) + "\n")
            lines = []
    sys.stdout.write("".join(line + "\n" for line in lines))
    sys.stdout.flush()


def deep(levels, request_id):
    """In one write: a text, a tool call nested so deep, another text, and an answer nested so deep."""
    nested = "[" * levels + "]" * levels
    update = '{"sessionUpdate":"tool_call","title":"deep","rawInput":' + nested + "}"
    call = '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":' + update + "}}"
    answer = '{"jsonrpc":"2.0","id":' + json.dumps(request_id) + ',"result":{"stopReason":"end_turn","_meta":'
    texts = [
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
        for text in ("before", "after")
    ]
    before, after = (
        json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": text}})
        for text in texts
    )
    raw("\n".join([before, call, '{"unended":' + "[" * levels, after, answer + nested + "}}"]) + "\n")


def children():
    """One child that ignores TERM, and a grandchild in a session of its own without a parent."""
    stubborn = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    code = (
        "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=-3, stderr=-3, start_new_session=True).pid)"
    )
    strayed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    say(f"{stubborn.pid} {strayed.strip()}")


def prompt(text, request_id):
    global prompts
    prompts += 1
    word, _, rest = text.partition(" ")
    answer = {"jsonrpc": "2.0", "id": request_id, "result": {"stopReason": "end_turn"}}
    if word == "say":
        say(rest)
    elif word == "count":
        say(str(prompts))
    elif word == "flood":
        flood(int(rest))
    elif word == "noise":
        raw("this is not json\n\n[1, 2]\n")
        say("after noise")
    elif word == "twice":
        out(answer)
    elif word == "write":
        Path(rest).write_text("x")
    elif word == "run":
        exec(rest)
    elif word == "big":
        say("x" * int(rest))
    elif word == "cut":
        line = json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"text": "whole"}})
        for piece in (line[:20], line[20:50], line[50:] + "\n"):
            raw(piece)
            time.sleep(0.05)
    elif word == "odd":
        raw('{"jsonrpc":"2.0","method":"odd","params":{"half":"\\ud83d","other":"\\u00e9"}}\r\n')
        raw('{"jsonrpc":"2.0",\r"method":"return"}\n')
        raw('{"jsonrpc":"2.0","method":"nan","params":NaN}\n')
    elif word == "ask":
        out({"jsonrpc": "2.0", "id": 0, "method": "session/request_permission", "params": {"options": []}})
        reply = json.loads(sys.stdin.readline())
        say(json.dumps(reply["result"]))
    elif word == "children":
        children()
    elif word == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif word == "environment":
        say(json.dumps(dict(os.environ)))
    elif word == "crash":
        say("about to crash")
        sys.stderr.write("\x1b[31mout of credits\x1b[0m\n")
        sys.stderr.flush()
        os._exit(int(rest))
    elif word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "mutter":
        raw('{"jsonrpc":"2.0","method":"unended"}')
        os._exit(0)
    elif word == "raw":
        raw(json.loads(rest))
    elif word == "last":
        out(answer)
        raw(rest + "\n")
        return
    elif word == "deep":
        deep(int(rest), request_id)
        return
    elif word == "deaf":
        os.close(1)
        os.close(2)
        time.sleep(600)
    elif word == "hang":
        return
    out(answer)


for received in sys.stdin:
    message = json.loads(received)
    method = message.get("method")
    if method == "session/prompt":
        prompt(message["params"]["prompt"][0]["text"], message["id"])
    elif method == "fail":
        out(
            {
                "jsonrpc": "2.0",
                "id": message["id"],
                "error": {"code": -32603, "message": "no", "data": {"z": 1, "a": 2}},
            }
        )
    elif method and "id" in message:
        out({"jsonrpc": "2.0", "id": message["id"], "result": {"protocolVersion": 1, "method": method}})
    elif method == "session/cancel":
        say("cancel seen")
