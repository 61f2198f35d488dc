"""Small session files of Claude Code, written by hand after real ones."""

from __future__ import annotations

import json
from typing import Any

SESSION = "11111111-2222-3333-4444-555555555555"


class Log:
    """The lines of one file; every record follows the last one, a second later."""

    def __init__(self, session: str = SESSION, **always: Any) -> None:
        self.lines: list[str] = []
        self.session = session
        self.always = always
        self.last: str | None = None

    def add(self, kind: str, uid: str, **fields: Any) -> Log:
        parent = fields.pop("parent", self.last)
        record = {
            "parentUuid": parent,
            "isSidechain": False,
            "userType": "external",
            "cwd": "/work",
            "sessionId": self.session,
            "version": "2.1.39",
            "gitBranch": "main",
            "type": kind,
            "uuid": uid,
            "timestamp": f"2026-02-11T10:00:{len(self.lines):02}.000Z",
            **self.always,
            **fields,
        }
        self.lines.append(json.dumps(record))
        self.last = uid
        return self

    def user(self, uid: str, content: Any, **fields: Any) -> Log:
        return self.add("user", uid, message={"role": "user", "content": content}, **fields)

    def result(self, uid: str, call: str, text: str, *, error: bool = False, **fields: Any) -> Log:
        block = {"type": "tool_result", "tool_use_id": call, "content": text, "is_error": error}
        return self.user(uid, [block], **fields)

    def assistant(self, uid: str, message: str, *blocks: dict[str, Any], output: int = 5, **fields: Any) -> Log:
        said = {
            "id": message,
            "model": "claude-opus-4-6",
            "role": "assistant",
            "content": list(blocks),
            "stop_reason": fields.pop("stop", None),
            "usage": {
                "input_tokens": 3,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
                "output_tokens": output,
            },
        }
        return self.add("assistant", uid, message=said, requestId="req", **fields)

    def __str__(self) -> str:
        return "".join(line + "\n" for line in self.lines)


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def tool(call: str, name: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": name, "input": given}


def story() -> Log:
    """Two turns: a thought, a shell command that fails, an edit; then a call that the user rejects."""
    log = Log()
    log.user("u1", "Fix the test")
    log.assistant("a1", "msg_1", {"type": "thinking", "thinking": "Let me see."}, output=1)
    log.assistant("a2", "msg_1", tool("t1", "Bash", command="pytest -q"), output=9)
    log.result("r1", "t1", "Exit code 1\nfailed", error=True, toolUseResult="Error: Exit code 1\nfailed")
    log.assistant("a3", "msg_2", tool("t2", "Edit", file_path="/work/a.py", old_string="1", new_string="2"))
    edit = {"filePath": "/work/a.py", "oldString": "1", "newString": "2", "originalFile": "x = 1\n"}
    log.result("r2", "t2", "The file /work/a.py has been updated.", toolUseResult=edit)
    log.assistant("a4", "msg_3", text("Done."), stop="end_turn")
    log.user("u2", [text("Now delete it")])
    log.assistant("a5", "msg_4", tool("t3", "Bash", command="rm a.py"))
    rejected = "The user doesn't want to proceed with this tool use. The tool use was rejected"
    log.result("r3", "t3", rejected, error=True, toolUseResult="User rejected tool use")
    log.user("u3", [text("[Request interrupted by user for tool use]")])
    return log
