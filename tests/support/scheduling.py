"""Where each test runs when pytest-xdist shares them out, and in which order.

Tests that share a fixture of a module or a package stay on one worker, which makes it once. The others go to any
worker. What takes longest begins first, then what waits most; what only computes fills the end, so that the workers
end together.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

EARLY = (
    "soak", "kills", "matrix", "browser", "faults", "real", "clouds", "standins", "sandboxes", "workspaces", "widgets",
    "sessions", "cli", "runner",
)  # fmt: skip
"""Folders of tests: those whose groups take longest, the longest first; then those that wait for other programs."""


@pytest.hookimpl(wrapper=True, trylast=True)  # inside every other wrapper: pytest-xdist reads the marks in a plain hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Mark each test with its group; when all others have sorted the tests, put the long groups first.

    What is shared is made once: those that take the same value of a module's fixture come one after the other.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))
    yield
    rank = {folder: place for place, folder in enumerate(EARLY)}
    modules = {path: place for place, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: (rank.get(item.path.parent.name, len(rank)), modules[item.path], _values(item)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail where the groups do not reach pytest-xdist, which knows them by the end of a test's id."""
    if getattr(session.config.option, "loadgroup", False) and any(
        item.get_closest_marker("xdist_group") and "@" not in item.nodeid for item in session.items
    ):
        raise pytest.UsageError("pytest-xdist ignores the groups of tests: this pytest is too new for it")


def _group(item: pytest.Item) -> str | None:
    """The package or the module whose fixtures this test shares; one group a value of a parametrized fixture."""
    definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - it has no public name
    chosen = {name: found[-1].scope for name in item.fixturenames if (found := definitions.get(name))}
    if "package" in chosen.values():
        return item.path.parent.name
    shared = any(scope == "module" and name != "nothing_left_open" for name, scope in chosen.items())
    return "-".join([item.path.parent.name, item.path.stem, *map(str, _values(item))]) if shared else None


def _values(item: pytest.Item) -> tuple[int, ...]:
    """Which values it takes of the parametrized fixtures of its module."""
    definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - it has no public name
    indices: dict[str, int] = getattr(getattr(item, "callspec", None), "indices", {})
    return tuple(
        index for name, index in indices.items() if (found := definitions.get(name)) and found[-1].scope == "module"
    )
