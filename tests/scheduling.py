"""Where each test runs when pytest-xdist shares them out, and in which order.

Tests that share a fixture of a module or a package stay on one worker, which makes it once. The others go to any
worker. What takes longest begins first, so that the workers end together.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

EARLY = ("matrix", "browser", "real", "sandboxes", "widgets", "sandbox_agent")
"""Folders of tests whose groups take longest, the longest first."""


@pytest.hookimpl(wrapper=True, trylast=True)  # inside every other wrapper: pytest-xdist reads the marks in a plain hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Mark each test with its group; when all others have sorted the tests, put the long groups first."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))
    yield
    rank = {folder: place for place, folder in enumerate(EARLY)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))


def _group(item: pytest.Item) -> str | None:
    """The package or the module whose fixtures this test shares; one group a value of a parametrized fixture."""
    definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - it has no public name
    chosen = {name: found[-1].scope for name in item.fixturenames if (found := definitions.get(name))}
    if "package" in chosen.values():
        return str(item.path.parent)
    indices = (getattr(item, "callspec", None) and item.callspec.indices) or {}
    shared = [name for name, scope in chosen.items() if scope == "module" and name != "nothing_left_open"]
    return "-".join([str(item.path), *(str(indices[name]) for name in shared if name in indices)]) if shared else None
