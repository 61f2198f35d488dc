"""Where each test runs when pytest-xdist shares them out, and in which order.

Tests that share a fixture of a module or a package stay on one worker, which makes it once. The others go to any
worker. The groups that take longest begin first. Then come all other folders together, in proportion: at any time some
tests wait for other programs and others compute. What only computes fills the end, so that the workers end together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest

LONG = ("soak", "kills", "matrix", "browser")
"""Folders of tests whose groups take longest, the longest first."""
WAITING = ("real", "faults", "clouds", "standins", "sandboxes", "workspaces", "widgets", "sessions", "cli", "runner")
"""Folders of tests that wait for other programs: the last tenth of a run has none of them."""


@pytest.hookimpl(wrapper=True, trylast=True)  # inside every other wrapper: pytest-xdist reads the marks in a plain hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Mark each test with its group; when all others have sorted the tests, put the long groups first.

    What is shared is made once: those that take the same value of a module's fixture come one after the other.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))
    yield
    items[:] = _mixed(items)


def _mixed(items: list[pytest.Item]) -> list[pytest.Item]:
    """Order the groups by their places in the run, from 0 to 1; the long ones come before."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        groups.setdefault(str(mark.args[0]) if mark else item.nodeid, []).append(item)
    sizes, before = Counter(item.path.parent.name for item in items), Counter[str]()
    places = {}
    for name, group in groups.items():
        folder = group[0].path.parent.name
        share = before[folder] / sizes[folder]
        places[name] = LONG.index(folder) - len(LONG) if folder in LONG else share * (0.9 if folder in WAITING else 1)
        before[folder] += len(group)
    return [item for name in sorted(groups, key=places.__getitem__) for item in sorted(groups[name], key=_values)]


def _group(item: pytest.Item) -> str | None:
    """The package or the module whose fixtures this test shares; one group a value of a parametrized fixture."""
    definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - it has no public name
    chosen = {name: found[-1].scope for name in item.fixturenames if (found := definitions.get(name))}
    if "package" in chosen.values():
        return str(item.path.parent)
    shared = any(scope == "module" and name != "nothing_left_open" for name, scope in chosen.items())
    return "-".join([str(item.path), *map(str, _values(item))]) if shared else None


def _values(item: pytest.Item) -> tuple[int, ...]:
    """Which values it takes of the parametrized fixtures of its module."""
    definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - it has no public name
    indices: dict[str, int] = getattr(getattr(item, "callspec", None), "indices", {})
    return tuple(
        index for name, index in indices.items() if (found := definitions.get(name)) and found[-1].scope == "module"
    )
