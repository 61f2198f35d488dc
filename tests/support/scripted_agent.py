"""A small ACP agent over stdio that misbehaves on request: the prompt's text says how.

It is written without any ACP package, so that it can break the rules a package would keep.
"""

import json
import os
import sys
import threading
import time

cancelled = threading.Event()
answers: dict[object, dict] = {}
answered = threading.Condition()


def send(message: dict) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}))


def write(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def update(session: str, kind: str, **fields) -> None:
    send({"method": "session/update", "params": {"sessionId": session, "update": {"sessionUpdate": kind, **fields}}})


def say(session: str, text: str) -> None:
    update(session, "agent_message_chunk", content={"type": "text", "text": text})


def ask(session: str, id: object, tool: str = "call_1") -> dict:
    """Ask for permission under an id of our choice and wait for the answer."""
    options = [
        {"optionId": "no", "name": "Reject", "kind": "reject_once"},
        {"optionId": "yes", "name": "Allow", "kind": "allow_once"},
    ]
    call = {"toolCallId": tool, "title": "Edit a.txt", "kind": "edit", "status": "pending"}
    params = {"sessionId": session, "toolCall": call, "options": options}
    send({"id": id, "method": "session/request_permission", "params": params})
    with answered:
        answered.wait_for(lambda: id in answers)
        return answers.pop(id)


def prompt(id: object, session: str, text: str) -> None:
    command, *arguments = text.split()
    stop = "end_turn"
    match command:
        case "say":
            say(session, " ".join(arguments))
        case "stream":
            count = int(arguments[0])
            chunk = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "x"}}
            line = json.dumps(
                {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": session, "update": chunk}}
            )
            for start in range(0, count, 1000):
                write("\n".join([line] * min(1000, count - start)))
        case "permission":  # comes before its tool call, under ids that collide with anybody who counts
            for number in range(int(arguments[0])):
                outcome = ask(session, number, f"call_{number}")
                update(session, "tool_call", toolCallId=f"call_{number}", title="Edit a.txt", status="pending")
                say(session, json.dumps(outcome["result"]["outcome"]["optionId"]))
        case "collide":  # a permission request under the id of the prompt itself
            say(session, json.dumps(ask(session, id)["result"]["outcome"]["optionId"]))
        case "unknown":
            send({"id": 0, "method": "fs/write_text_file", "params": {"path": "/etc/passwd"}})
            with answered:
                answered.wait_for(lambda: 0 in answers)
            say(session, json.dumps(answers.pop(0)["error"]["code"]))
        case "usage":
            update(session, "usage_update", used=None, size=200000)
        case "noise":
            write("this is not JSON")
            say(session, "after the noise")
        case "twice":
            send({"id": id, "result": {"stopReason": "end_turn"}})
        case "error":
            send({"id": id, "error": {"code": -32603, "message": "boom", "data": {"details": "why"}}})
            return
        case "long":
            say(session, "y" * int(arguments[0]))
        case "wait":
            update(session, "tool_call", toolCallId="call_1", title="sleep", status="in_progress")
            if cancelled.wait(float(arguments[0])):
                stop = "cancelled"  # and the tool call stays open
        case "crash":
            say(session, "about to crash")
            print("the last words", file=sys.stderr, flush=True)
            time.sleep(0.05)
            os._exit(int(arguments[0]))
        case "last":  # as much as fits, then gone
            for _ in range(int(arguments[0])):
                say(session, "z")
            os._exit(3)
    cancelled.clear()
    send({"id": id, "result": {"stopReason": stop}})


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        match message.get("method"):
            case "initialize":
                send({"id": message["id"], "result": {"protocolVersion": 1, "agentInfo": {"name": "scripted"}}})
            case "session/new":
                send({"id": message["id"], "result": {"sessionId": "one"}})
            case "session/prompt":
                params = message["params"]
                threading.Thread(
                    target=prompt, args=(message["id"], params["sessionId"], params["prompt"][0]["text"]), daemon=True
                ).start()
            case "session/cancel":
                cancelled.set()
            case None:
                with answered:
                    answers[message["id"]] = message
                    answered.notify_all()
            case _:
                send({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})


if __name__ == "__main__":
    main()
