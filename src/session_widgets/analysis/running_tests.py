"""Whether a command runs tests."""

from __future__ import annotations

import re

from session_widgets.analysis.alignment.actions import command_head

_TESTS = re.compile(
    r"(?:pytest|py\.test|unittest|tox|nox|nosetests|jest|vitest|mocha|ava|ctest|rspec|phpunit|tap|bats)\b"
    r"|(?:npm|pnpm|yarn|bun|deno|cargo|go|make|mvn|gradle|gradlew|dotnet|just|rake|swift|mix|zig|bazel|sbt|lein"
    r"|mise|task|poe)"
    r" (?:test|tests|check|verify|t)\b"
    r"|(?:python|node|bun|deno|ruby|php) (?:\S*/)?(?:test_[\w.-]+|[\w-]+(?:[_.-]test|[_.]spec)\.\w+)$"
)
_RUN = re.compile(r"\b(npm|pnpm|yarn|bun|mise)\s+run\s+(?=test)")
_SEPARATORS = re.compile(r"&&|\|\||[;|\n]")


def runs_tests(script: str) -> bool:
    """Whether a command of a script runs tests.

    Example:
        >>> [runs_tests(one) for one in ("cd src && python -m pytest | tail", "python tests/test_a.py", "cat test.py")]
        [True, True, False]
    """
    parts = _SEPARATORS.split(_RUN.sub(r"\1 ", script[:4000]))
    return any(_TESTS.match(command_head(part)[0]) for part in parts if part.strip())
