"""Parallel work on many files, with progress reports."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Thread
from typing import TypeVar

from session_widgets.errors import WorkspaceError
from session_widgets.progress import Progress

T = TypeVar("T")
R = TypeVar("R")

PARALLEL = 16
TELL_FROM = 50
"""Fewer files than this are moved without progress reports."""


def counted(work: Callable[[T], R], items: Sequence[T], progress: Progress, verb: str, where: str) -> list[R]:
    """Do `work` for every item, several at a time, with progress reports if there are many."""
    done = 0
    step = max(1, len(items) // 50)

    def one(item: T) -> R:
        nonlocal done
        result = work(item)
        done += 1
        if len(items) >= TELL_FROM and done % step == 0:
            progress(f"{verb} {done:,} of {len(items):,} files ({where})")
        return result

    return in_parallel(one, items)


def in_parallel(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do `work` for every item. A refused item does not stop the others; an error that concerns all stops them.

    The interpreter does not wait for these threads at its exit: unfinished items are done the next time.
    """
    waiting, results, errors = deque(items), list[R](), list[Exception]()

    def take() -> None:
        while (item := _next(waiting)) is not None:
            try:
                results.append(work(item))
            except Exception as error:
                errors.append(error)
                if not isinstance(error, WorkspaceError) or error.reason != "refused":
                    waiting.clear()

    threads = [Thread(target=take, daemon=True) for _ in range(min(PARALLEL, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def _next(waiting: deque[T]) -> T | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None
