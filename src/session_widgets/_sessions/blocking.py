"""Blocking methods, derived from the async ones with their signatures and docstrings."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from session_widgets._sessions.loop import private_loop

P = ParamSpec("P")
T = TypeVar("T")


def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]], attribute: str
) -> Callable[Concatenate[Any, P], T]:
    """Return the blocking form of an async method; interrupting it cancels the call.

    Args:
        method: of the class of `attribute`.
        attribute: name of the attribute that holds the object with the async method.
    """

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return private_loop().run(method(getattr(self, attribute), *args, **kwargs))

    return call
