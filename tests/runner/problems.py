"""Problems (RFC 9457) that a runner answers with."""

from __future__ import annotations


def code(answer) -> tuple[int, str]:
    """The status of an answer, and the type of its problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:sandbox-agent:error:")
