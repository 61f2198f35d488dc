"""The checks of the kills themselves."""

from __future__ import annotations

from threading import Thread

from tests.kills.effects import Effects
from tests.kills.operations import without_forks


def test_a_fork_with_a_lower_pid_is_no_second_server():
    assert without_forks({314: 32766, 315: 314, 32766: 1}) == [32766]
    assert without_forks({314: 1, 32766: 1, 32767: 32766}) == [314, 32766]


def test_an_effect_of_another_thread_at_the_same_moment_counts():
    met: list[str] = []

    def told(name: str) -> None:
        met.append(name)
        if name == "first":
            other.start()
            other.join(0.2)  # it waits until this has ended

    effects = Effects("/home", "s1", told, None)
    effects._watching = True  # without the hooks, which cannot be removed
    other = Thread(target=effects.meet, args=("second",))
    effects.meet("first")
    other.join()
    assert met == ["first", "second"]
