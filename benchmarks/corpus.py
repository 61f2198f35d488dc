"""Folders of made-up session files, the same for the same seed: `python -m benchmarks.corpus FOLDER 365`."""

from __future__ import annotations

import argparse
import json
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PROPORTIONS = {"claude-code": 0.6, "codex": 0.25, "pi": 0.15}
"""Parts of a corpus by bytes."""
FILE_BYTES = 1_300_000
"""Of a usual session: 282 files are 365 MB."""
SEED = 11
_BEGIN = datetime(2026, 1, 5, 9, tzinfo=UTC)
_SYLLABLES = [
    "al",
    "bor",
    "ce",
    "dim",
    "er",
    "fo",
    "gra",
    "hin",
    "is",
    "jo",
    "ket",
    "lum",
    "mor",
    "ni",
    "or",
    "pas",
    "ret",
    "sol",
    "tur",
    "ul",
    "ver",
    "wen",
    "xi",
    "yd",
    "zo",
]
_PATTERNS = [
    "def {0}({1}, {2}):",
    "    return {0}({1})",
    "    {0} = {1}.{2}",
    "    if {0} is not None and {1}:",
    "import {0}.{1}",
    "    # {0} {1} {2} {3}",
    "        self.{0} = {1}",
    "class {0}({1}):",
    "    assert {0} == {1}",
    "    for {0} in {1}.{2}():",
    '    raise {0}("{1} {2}")',
    "",
    '    log.info("{0} {1} %s", {2})',
]


class _Project:
    """Source files that the sessions of a corpus read, edit and test."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))) for _ in range(4_000)]
        self.files: dict[str, list[str]] = {}
        for _ in range(300):
            path = "/".join(["src", *chance.sample(words, 2)]) + ".py"
            own = chance.sample(words, 60)
            self.files[path] = [
                chance.choice(_PATTERNS).format(*chance.choices(own, k=4)) for _ in range(chance.randint(40, 900))
            ]
        self.words = words


class _Session:
    """What happens in a session, without its form: turns of calls and results."""

    def __init__(self, project: _Project, seed: int) -> None:
        self.chance = random.Random(seed)
        self.project = project
        self.id = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        self.now = _BEGIN + timedelta(minutes=self.chance.randint(0, 400_000))
        self.used = 18_000
        self.files = dict(self.chance.sample(list(project.files.items()), 12))

    def tick(self) -> str:
        """A later time, as ISO 8601."""
        self.now += timedelta(milliseconds=self.chance.randint(40, 9_000))
        return self.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def uid(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def said(self, count: int) -> str:
        return " ".join(self.chance.choices(self.project.words, k=count))

    def call(self) -> tuple[str, dict[str, Any], str]:
        """A tool call: its kind, its input, its output."""
        path = self.chance.choice(list(self.files))
        lines = self.files[path]
        kind = self.chance.choices(("read", "edit", "run", "search"), (35, 20, 35, 10))[0]
        first = self.chance.randrange(len(lines))
        part = lines[first : first + self.chance.randint(5, 400)]
        if kind == "read":
            return kind, {"path": path}, "\n".join(f"{n:6}\t{line}" for n, line in enumerate(part, first + 1))
        if kind == "edit":
            old = "\n".join(part[:8])
            return (
                kind,
                {"path": path, "old": old, "new": f"{old}\n    # {self.said(6)}"},
                f"The file {path} has been updated.",
            )
        if kind == "search":
            hits = [
                f"{name}:{self.chance.randint(1, 900)}:{self.chance.choice(text)}"
                for name, text in self.chance.choices(list(self.files.items()), k=20)
            ]
            return kind, {"pattern": self.said(1)}, "\n".join(hits)
        tests = [
            f"tests/test_{word}.py::test_{self.said(1)} PASSED [{n:3}%]"
            for n, word in enumerate(self.chance.choices(self.project.words, k=self.chance.randint(4, 90)))
        ]
        return (
            kind,
            {"command": f"python -m pytest {path} -q"},
            "\n".join([*tests, f"{len(tests)} passed in 0.{len(tests)}s"]),
        )

    def usage(self) -> tuple[int, int, int, int]:
        """Tokens of a call: uncached, cache read, cache written, output."""
        written = self.chance.randint(200, 4_000)
        before, self.used = self.used, self.used + written
        return self.chance.randint(1, 30), before, written, self.chance.randint(20, 900)


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


_CLAUDE_TOOLS = {"read": "Read", "edit": "Edit", "run": "Bash", "search": "Grep"}


def _claude(session: _Session) -> Iterator[str]:
    last: str | None = None

    def record(kind: str, message: dict[str, Any], **more: Any) -> str:
        nonlocal last
        about = {
            "parentUuid": last,
            "isSidechain": False,
            "userType": "external",
            "cwd": "/src/project",
            "sessionId": session.id,
            "version": "2.1.37",
            "gitBranch": "main",
            "type": kind,
            "message": message,
        }
        last = session.uid()
        return _line({**about, "uuid": last, "timestamp": session.tick(), **more})

    while True:
        yield record("user", {"role": "user", "content": session.said(30)})
        for _ in range(session.chance.randint(3, 40)):
            kind, given, output = session.call()
            name, call = f"msg_{session.chance.getrandbits(80):020x}", f"toolu_{session.chance.getrandbits(80):020x}"
            uncached, read, written, made = session.usage()
            usage = {
                "input_tokens": uncached,
                "cache_creation_input_tokens": written,
                "cache_read_input_tokens": read,
                "output_tokens": made,
                "service_tier": "standard",
            }
            message = {
                "model": "claude-sonnet-4-5-20250929",
                "id": name,
                "type": "message",
                "role": "assistant",
                "stop_reason": None,
                "stop_sequence": None,
                "usage": usage,
            }
            yield record("assistant", {**message, "content": [{"type": "text", "text": session.said(15)}]})
            used = {"type": "tool_use", "id": call, "name": _CLAUDE_TOOLS[kind], "input": _claude_input(given)}
            yield record("assistant", {**message, "content": [used]})
            result = {"tool_use_id": call, "type": "tool_result", "content": output, "is_error": False}
            yield record("user", {"role": "user", "content": [result]}, toolUseResult={"stdout": output, "stderr": ""})
        done = {
            "model": "claude-sonnet-4-5-20250929",
            "id": f"msg_{session.chance.getrandbits(80):020x}",
            "type": "message",
            "role": "assistant",
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 80},
        }
        yield record("assistant", {**done, "content": [{"type": "text", "text": session.said(60)}]})


def _claude_input(given: dict[str, Any]) -> dict[str, Any]:
    names = {"path": "file_path", "old": "old_string", "new": "new_string"}
    return {names.get(name, name): value for name, value in given.items()}


def _codex(session: _Session) -> Iterator[str]:
    total = dict.fromkeys(
        ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens"), 0
    )

    def record(kind: str, **payload: Any) -> str:
        return _line({"timestamp": session.tick(), "type": kind, "payload": payload})

    yield record(
        "session_meta",
        id=session.id,
        timestamp=session.tick(),
        cwd="/src/project",
        originator="codex_cli_rs",
        cli_version="0.137.0",
        model_provider="openai",
        base_instructions={"text": session.said(900)},
    )
    while True:
        yield record("event_msg", type="task_started", model_context_window=258_400)
        yield record("turn_context", cwd="/src/project", model="gpt-5.2-codex", approval_policy="never", summary="auto")
        asked = session.said(30)
        yield record("response_item", type="message", role="user", content=[{"type": "input_text", "text": asked}])
        yield record("event_msg", type="user_message", message=asked, images=[])
        for _ in range(session.chance.randint(3, 40)):
            kind, given, output = session.call()
            call = f"call_{session.chance.getrandbits(80):020x}"
            command = given.get("command") or f"{kind} {given.get('path') or given.get('pattern')}"
            noise = f"{session.chance.getrandbits(1_600):0400x}"
            yield record("response_item", type="reasoning", summary=[], content=None, encrypted_content=noise)
            yield record(
                "response_item",
                type="function_call",
                name="exec_command",
                call_id=call,
                arguments=json.dumps({"cmd": command}),
            )
            shown = f"Chunk ID: {session.chance.getrandbits(24):06x}\nProcess exited with code 0\nOutput:\n{output}"
            yield record("response_item", type="function_call_output", call_id=call, output=shown)
            uncached, read, _, made = session.usage()
            now = {
                "input_tokens": uncached + read,
                "cached_input_tokens": read,
                "output_tokens": made,
                "reasoning_output_tokens": made // 2,
                "total_tokens": uncached + read + made,
            }
            total = {name: total[name] + now[name] for name in total}
            info = {"total_token_usage": total, "last_token_usage": now, "model_context_window": 258_400}
            yield record("event_msg", type="token_count", info=info, rate_limits=None)
        answer = session.said(60)
        yield record("event_msg", type="agent_message", message=answer)
        yield record(
            "response_item", type="message", role="assistant", content=[{"type": "output_text", "text": answer}]
        )
        yield record("event_msg", type="task_complete", last_agent_message=answer)


def _pi(session: _Session) -> Iterator[str]:
    last: str | None = None

    def record(**message: Any) -> str:
        nonlocal last
        before, last = last, f"{session.chance.getrandbits(32):08x}"
        return _line(
            {"type": "message", "id": last, "parentId": before, "timestamp": session.tick(), "message": message}
        )

    yield _line({"type": "session", "version": 3, "id": session.id, "timestamp": session.tick(), "cwd": "/src/project"})
    while True:
        yield record(role="user", content=[{"type": "text", "text": session.said(30)}])
        for _ in range(session.chance.randint(3, 40)):
            kind, given, output = session.call()
            call = f"toolu_{session.chance.getrandbits(80):020x}"
            uncached, read, written, made = session.usage()
            usage = {
                "input": uncached,
                "output": made,
                "cacheRead": read,
                "cacheWrite": written,
                "cost": {"total": 0.01},
            }
            name = {"run": "bash", "search": "grep"}.get(kind, kind)
            content = [
                {"type": "text", "text": session.said(15)},
                {"type": "toolCall", "id": call, "name": name, "arguments": given},
            ]
            yield record(
                role="assistant",
                content=content,
                api="anthropic-messages",
                provider="anthropic",
                model="claude-sonnet-4-5",
                usage=usage,
                stopReason="toolUse",
            )
            yield record(
                role="toolResult",
                toolCallId=call,
                toolName=name,
                content=[{"type": "text", "text": output}],
                isError=False,
            )
        yield record(
            role="assistant",
            content=[{"type": "text", "text": session.said(60)}],
            provider="anthropic",
            model="claude-sonnet-4-5",
            usage={"input": 3, "output": 80, "cacheRead": 0, "cacheWrite": 0},
            stopReason="stop",
        )


WRITERS: dict[str, Callable[[_Session], Iterator[str]]] = {"claude-code": _claude, "codex": _codex, "pi": _pi}


def write(folder: Path, size: int, *, file_bytes: int = FILE_BYTES, seed: int = SEED) -> int:
    """Write session files of about `size` bytes in all, in the proportions of `PROPORTIONS`.

    Args:
        folder: new, or that of the same call before, whose files are kept.
        size: in bytes.
        file_bytes: of a usual file; some are a tenth, some three times as large.
        seed: of everything.

    Returns:
        The bytes of all files.
    """
    done = folder / "complete"
    if not done.exists():
        project, number = _Project(seed), 0
        for name, part in PROPORTIONS.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            left = int(size * part)
            while left > 0:
                number += 1
                session = _Session(project, seed * 1_000_003 + number)
                wanted = min(left, int(file_bytes * session.chance.choice((0.1, 0.5, 1, 1, 1, 3))))
                left -= write_one(folder / name / f"{session.id}.jsonl", WRITERS[name](session), wanted)
        done.touch()
    return sum(path.stat().st_size for path in folder.rglob("*.jsonl"))


def write_one(path: Path, lines: Iterator[str], wanted: int) -> int:
    """Write lines to a file until it has so many bytes; return how many it has."""
    size = 0
    with path.open("wb") as file:
        while size < wanted:
            size += file.write(next(lines).encode())
    return size


def one_session(path: Path, size: int, *, seed: int = SEED) -> int:
    """Write one session of Claude Code of about `size` bytes; return its bytes."""
    return write_one(path, _claude(_Session(_Project(seed), seed)), size)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("megabytes", type=float)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    print(write(given.folder, int(given.megabytes * 1e6), seed=given.seed))


if __name__ == "__main__":
    main()
