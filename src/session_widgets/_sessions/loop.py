"""The private event loop. Connections and tasks live on it; callers block or await from any thread."""

from __future__ import annotations

import asyncio
import atexit
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_SECONDS = 5
PULSE_SECONDS = 0.2


class LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="session-widgets", daemon=True)
        self._thread.start()
        atexit.register(self._close)

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and block for its result; an interrupt cancels it.

        The interrupt may come between any two instructions here: so this thread holds no lock that the loop needs,
        as `Future.result()` would.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a blocking call on the private loop would wait for itself; use `.aio` there")
        tasks, ended = list[asyncio.Task[T]](), queue.SimpleQueue[asyncio.Task[T]]()

        def begin() -> None:
            tasks.append(self.loop.create_task(work))
            tasks[0].add_done_callback(ended.put)

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        self.loop.call_soon_threadsafe(begin)
        try:
            return ended.get().result()
        except BaseException:
            self.loop.call_soon_threadsafe(cancel)
            raise

    async def aio(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the private loop and await it from any running loop."""
        if threading.current_thread() is self._thread:
            return await work
        return await pulsing(asyncio.wrap_future(self.submit(work)))

    def _close(self) -> None:
        """Close everything before the interpreter shuts down; sandboxes and their turns keep running."""
        with suppress(TimeoutError, CancelledError):
            self.submit(_end_tasks()).result(CLOSE_SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            self.loop.close()


async def pulsing(future: asyncio.Future[T]) -> T:
    """Await `future` on a loop that keeps turning: only then does ipykernel interrupt an awaiting cell."""
    try:
        while not future.done():
            await asyncio.wait([future], timeout=PULSE_SECONDS)
    except asyncio.CancelledError:
        future.cancel()
        raise
    return future.result()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()


@cache
def private_loop() -> LoopThread:
    """Return this process's loop, created at first use."""
    return LoopThread()


class OneAtATime:
    """Runs blocking calls in threads, one after the other; also waits for calls that were abandoned."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a thread; cancelling stops the waiting, not the function."""
        work = asyncio.create_task(self._run(function, *args, **kwargs))
        work.add_done_callback(_look_at)
        return await asyncio.shield(work)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._lock:
            return await in_thread(function, *args, **kwargs)


def _look_at(task: asyncio.Task[Any]) -> None:
    """Record its end: the caller may have gone."""
    if not task.cancelled():
        task.exception()


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in a separate thread that blocks neither the pool nor the interpreter's exit."""
    loop, outcome = asyncio.get_running_loop(), Future[T]()
    outcome.set_running_or_notify_cancel()  # the function runs to its end, even if nobody waits for it any more

    def run() -> None:
        try:
            outcome.set_result(function(*args, **kwargs))
        except BaseException as error:  # passed to the awaiting task
            outcome.set_exception(error)

    threading.Thread(target=run, name="session-widgets call", daemon=True).start()
    return await asyncio.wrap_future(outcome, loop=loop)


def anywhere(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make an async method run on the private loop, from any awaiting loop."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return await private_loop().aio(method(*args, **kwargs))

    return call
