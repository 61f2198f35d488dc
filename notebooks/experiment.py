"""Logs of an invented experiment, in Claude Code's format: they stand for the `~/.claude/projects` of a reader.

Two models fix the same bugs, each twice. The large one reads the test before it edits; the small one edits at once.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

MODELS = {"example-large": 0.65, "example-small": 0.5}
"""Each model's chance to fix a bug of middle difficulty at its first try."""
TASKS = 24
ATTEMPTS = 2


class Log:
    """One session's file: a record a line, as Claude Code writes them."""

    def __init__(self, session: str, cwd: str, model: str, start: datetime) -> None:
        self.session, self.cwd, self.model, self.now = session, cwd, model, start
        self.lines: list[str] = []
        self.calls = 0

    def add(self, role: str, seconds: float, content: Any, **message: Any) -> None:
        """Add a record, some seconds after the last one."""
        self.now += timedelta(seconds=seconds)
        number = len(self.lines)
        record = {
            "type": role,
            "uuid": f"{self.session[:8]}-{number}",
            "parentUuid": f"{self.session[:8]}-{number - 1}" if number else None,
            "sessionId": self.session,
            "cwd": self.cwd,
            "version": "2.1.39",
            "isSidechain": False,
            "userType": "external",
            "timestamp": self.now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "message": {"role": role, "content": content, **message},
        }
        self.lines.append(json.dumps(record))

    def says(self, content: list[Any], seconds: float, words: int, *, last: bool = False) -> None:
        """Add an answer of the model, with its usage."""
        self.calls += 1
        usage = {"input_tokens": 4, "cache_read_input_tokens": 1_500 * self.calls, "output_tokens": words}
        usage |= {"cache_creation_input_tokens": 600}
        identity = {"id": f"msg_{self.session[:8]}_{self.calls}", "model": self.model}
        self.add("assistant", seconds, content, **identity, usage=usage, stop_reason="end_turn" if last else "tool_use")

    def uses(
        self, tool: str, result: str, *, said: str = "", words: int = 40, error: bool = False, **given: Any
    ) -> None:
        """Add a tool call and its result."""
        call = {"type": "tool_use", "id": f"tool_{self.session[:8]}_{self.calls}", "name": tool, "input": given}
        self.says([*([{"type": "text", "text": said}] if said else []), call], 2 + words / 40, words)
        answer = {"type": "tool_result", "tool_use_id": call["id"], "content": result, "is_error": error}
        self.add("user", 1.5 if tool == "Bash" else 0.1, [answer])


def write_logs(folder: Path, seed: int = 7) -> Path:
    """Write the files of all runs into a folder, and return it."""
    chance = random.Random(seed)
    hardness = [chance.uniform(-0.25, 0.25) for _ in range(TASKS)]
    start = datetime(2026, 11, 2, 9, tzinfo=UTC)
    folder.mkdir(parents=True, exist_ok=True)
    for task in range(TASKS):
        for model, skill in MODELS.items():
            for attempt in range(ATTEMPTS):
                session = str(UUID(int=chance.getrandbits(128), version=4))
                log = Log(session, f"/bench/{model}-{attempt}/task-{task:02}", model, start)
                _run(log, task, skill - hardness[task], chance)
                (folder / f"{session}.jsonl").write_text("".join(f"{line}\n" for line in log.lines))
                start += timedelta(minutes=3)
    return folder


def _run(log: Log, task: int, skill: float, chance: random.Random) -> None:
    careful = log.model == "example-large"
    code, test = f"{log.cwd}/src/part_{task}.py", f"{log.cwd}/tests/test_part_{task}.py"
    log.add("user", 0, f"task-{task:02}: tests/test_part_{task}.py fails. Find the bug and fix it.")
    if careful:
        log.uses("Read", f"assert part(2) == {task + 2}", said="The test says what is expected.", file_path=test)
    log.uses("Read", f"def part(n):\n    return n - {task}\n", file_path=code)
    passed = False
    for again in range(3 if careful else 2):
        passed = chance.random() < skill * (1 if again == 0 else 0.6)
        before = f"n - {task}" if again == 0 else f"n + {task + again}"
        after = f"n + {task}" if passed else f"n + {task + again + 1}"
        said = "That was not it." if again else ""
        log.uses(
            "Edit",
            "The file has been updated.",
            said=said,
            words=chance.randint(30, 90),
            file_path=code,
            old_string=before,
            new_string=after,
        )
        shown = "1 passed" if passed else f"Exit code 1\nE   assert {task + 3} == {task + 2}\n1 failed"
        log.uses(
            "Bash", shown, error=not passed, words=25, command=f"cd {log.cwd} && pytest -q tests/test_part_{task}.py"
        )
        if passed or (not careful and chance.random() < 0.5):
            break
    log.says([{"type": "text", "text": "It passes now." if passed else "I could not find it."}], 2, 12, last=True)
