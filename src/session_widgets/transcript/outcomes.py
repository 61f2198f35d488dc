"""The outcome of a turn as one word, so that turns of different harnesses can be counted together."""

from __future__ import annotations

import re

STOPS = {"refusal": "refused", "max_tokens": "token_limit", "max_turn_requests": "request_limit"}
"""ACP's unsuccessful stop reasons."""
FAILURES = {
    "turn_limit": r"the turn.?s limit ",
    "auth_failed": r"\b40[13]\b|unauthori[sz]ed|authenticat|api[ _-]?key|log ?in\b",
    "rate_limited": r"\b429\b|\b529\b|rate.?limit|too many requests|overloaded|quota",
    "token_limit": r"too long|context.{0,20}(length|window|limit)|max(imum)?.{0,10}tokens",
    "refused": r"\brefus|content.?(filter|policy)|usage policy",
    "agent_exited": r"process (ended|exited)|ended by signal",
}
"""Of a failed turn: the first whose expression matches the error, the only report of the harnesses."""


def outcome(status: str, stop_reason: str | None, error: str | None, failure: str | None = None) -> str:
    """Return the outcome of a turn; "failed" if the error is unknown.

    Args:
        status: of the turn.
        stop_reason: ACP's.
        error: why it failed.
        failure: failure of a turn that its agent reports as completed.
    """
    if status == "completed":
        return STOPS.get(stop_reason or "", failure or status)
    if status != "failed":
        return status
    found = (word for word, words in FAILURES.items() if re.search(words, error or "", re.IGNORECASE))
    return next(found, status)


def outcome_sql() -> str:
    """Return `outcome` as an SQL expression over columns of the same names."""
    stops = [f"when status = 'completed' and stop_reason = '{stop}' then '{word}'" for stop, word in STOPS.items()]
    failures = [
        f"when status = 'failed' and regexp_matches(error, '{words}', 'i') then '{word}'"
        for word, words in FAILURES.items()
    ]
    silent = "when status = 'completed' then coalesce(failure, status)"
    return f"case {' '.join([*stops, silent, *failures])} else status end"
