"""Parallel work on many files, with progress reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from threading import Event, Lock, Thread
from typing import TypeVar

from session_widgets.errors import WorkspaceError
from session_widgets.progress import Progress

T = TypeVar("T")
R = TypeVar("R")

PARALLEL = 16
TELL_FROM = 50
"""Fewer files than this are moved without progress reports."""


def counted(
    work: Callable[[T], R], items: Iterable[T], count: int, progress: Progress, verb: str, where: str
) -> list[R]:
    """Do `work` for each of `count` items, several at a time, with progress reports if there are many."""
    done = 0
    step = max(1, count // 50)

    def one(item: T) -> R:
        nonlocal done
        result = work(item)
        done += 1
        if count >= TELL_FROM and done % step == 0:
            progress(f"{verb} {done:,} of {count:,} files ({where})")
        return result

    return in_parallel(one, items, count)


def in_parallel(work: Callable[[T], R], items: Iterable[T], count: int | None = None) -> list[R]:
    """Do `work` for every item. A refused item does not stop the others; an error that concerns all stops them.

    One thread at a time takes the next item. The interpreter does not wait for these threads at its exit: unfinished
    items are done the next time.
    """
    waiting, taking, stopped = iter(items), Lock(), Event()
    results, errors = list[R](), list[Exception]()

    def take() -> None:
        while not stopped.is_set():
            try:
                with taking:
                    item = next(waiting, _END)
                if isinstance(item, _End):
                    return
                results.append(work(item))
            except Exception as error:
                errors.append(error)
                if not isinstance(error, WorkspaceError) or error.reason != "refused":
                    stopped.set()

    many = count if count is not None else len(items) if isinstance(items, Sized) else PARALLEL
    threads = [Thread(target=take, daemon=True) for _ in range(min(PARALLEL, many))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


class _End:
    """Marks the end of the items."""


_END = _End()
