"""The barrier's errors when the bucket does not show the uploaded files."""

from __future__ import annotations

import pytest

from session_widgets.errors import NotDurable
from session_widgets.workspaces.barrier import verify
from tests.support.workspaces import persist, write

pytestmark = pytest.mark.needs("seaweedfs")


def sent(_manifest):
    """Every write was acknowledged."""


def lost(_here):
    """The store has none of it."""


def replaced(here):
    here.objects.prefix.put("a", b"2", 1, metadata={}, if_match=None)


def added(here):
    here.objects.prefix.put("b", b"2", 1, metadata={}, if_match=None)


@pytest.mark.parametrize(
    ("happens", "what"),
    [(lost, "not in the bucket"), (replaced, "another content in the bucket"), (added, "in the bucket alone")],
)
def test_a_difference_that_does_not_go_away_is_named_in_bounded_time(here, happens, what):
    write(here, "a", "1")
    if happens is not lost:
        persist(here)
    happens(here)
    with pytest.raises(NotDurable, match=f"bucket and sandbox still differ.*{what}") as caught:
        verify(here.scan, sent, here.objects.listing, here._engine.same, here.path, patience=0.3)
    assert caught.value.reason == "mismatch"
    assert (here.path / "a").read_text() == "1"


def test_a_store_that_shows_it_late_is_waited_for(here):
    write(here, "a", "1")
    looks = []

    def late(manifest):
        looks.append(manifest)
        if len(looks) == 3:
            here._push(manifest)

    proven = verify(here.scan, late, here.objects.listing, here._engine.same, here.path, patience=30)
    assert list(proven.entries) == ["a"]
    assert len(looks) == 3
