"""Rules on how turns ended: at a limit, by an error, or without a result. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from session_widgets.analysis.mode import Behaviour, Ending, Endings, Mode, place
from session_widgets.printing import one_line
from session_widgets.transcript.records import Step

_OUTCOMES: dict[str, Mode] = {
    "turn_limit": "timeout", "request_limit": "step_limit", "token_limit": "context_overflow",
    "auth_failed": "environment_failure", "rate_limited": "environment_failure", "agent_exited": "crashed",
    "model_error": "other_failure", "no_answer": "other_failure",
}  # fmt: skip
_SIGNS: tuple[tuple[Mode, re.Pattern[str]], ...] = (
    ("context_overflow", re.compile(r"(?i)exit_context|too many (?:input )?tokens|is too large")),
    (
        "step_limit",
        re.compile(
            r"(?i)exit_cost|LimitsExceeded|max(?:imum)?[ _](?:number of )?(?:turns|steps|iterations|messages|requests)"
            r"|(?:step|turn|iteration|message|cost|call)s? limit|exceeded \w+ limit"
        ),
    ),
    ("timeout", re.compile(r"(?i)time[d-]?[ -]?out|time limit|exit_command_timeout|deadline exceeded")),
    (
        "environment_failure",
        re.compile(
            r"(?i)exit_environment|\b50[0234]\b|ECONN|ENOTFOUND|network|connection|could not connect|sandbox|docker"
            r"|container|no space left|disk|out of memory|stream disconnected|^terminated$"
        ),
    ),
    ("crashed", re.compile(r"(?i)exited|exit_error|exit_format|killed|signal|crash|panic|segmentation|core dumped")),
)
"""Of failed turns whose outcome has no word of its own."""
_WITHOUT_RESULT = re.compile(
    r"(?i)\b(?:I (?:was|am|'m) (?:unable|not able)|I (?:could|can) ?(?:not|n.t) (?:complete|finish|solve|fix|find a way"
    r"|do (?:this|that|it))|I (?:have to |must |will )?give up|giving up"
    r"|(?:the )?task (?:is|was) not (?:possible|complete))"
)


def failed_turns(session_id: str, steps: Sequence[Step], ends: Endings) -> Iterator[Behaviour]:
    """Yield why each turn failed, in one word; what fits none of them is "other_failure"."""
    for turn, end in ends.items():
        own = [step for step in steps if step.turn == turn]
        mode = _why(end)
        if own and mode is not None:
            said = one_line(end.error or end.stop_reason or end.outcome or end.status, 120)
            yield Behaviour(session_id, mode, (place(own[-1]),), f"turn {turn} ended: {said}")


def _why(end: Ending) -> Mode | None:
    if (known := _OUTCOMES.get(end.outcome or "")) is not None:
        return known
    if end.status != "failed":
        return None
    return next((mode for mode, sign in _SIGNS if sign.search(end.error or "")), "other_failure")


def gave_up(session_id: str, steps: Sequence[Step], ends: Endings) -> Iterator[Behaviour]:
    """Yield the last message of a session whose agent says there that it has no result."""
    said = [step for step in steps if step.kind == "message"]
    last = max(ends, default=None)
    if said and said[-1].turn == last and ends[said[-1].turn].status == "completed":
        found = _WITHOUT_RESULT.search(said[-1].text or "")
        if found is not None:
            text = said[-1].text or ""
            detail = one_line(text[max(0, found.start() - 20) :], 100)
            yield Behaviour(session_id, "gave_up", (place(said[-1]),), f"the last message says: {detail}")
