"""Blocking methods are derived from the async ones."""

import inspect

import pytest

import session_widgets as sw
from session_widgets._sessions.asynchronous import AsyncSession
from session_widgets._sessions.files import AsyncFiles, Files

PAIRS = [
    (blocking, method, name)
    for blocking, method in ((sw.Session, AsyncSession), (Files, AsyncFiles))
    for name, function in vars(method).items()
    if not name.startswith("_") and inspect.iscoroutinefunction(function)
]


@pytest.mark.parametrize(("blocking", "method", "name"), PAIRS, ids=lambda one: getattr(one, "__name__", one))
def test_each_async_method_has_a_blocking_one_with_the_same_arguments_and_a_docstring(blocking, method, name):
    found = getattr(blocking, name)
    assert inspect.signature(found) == inspect.signature(getattr(method, name))
    assert not inspect.iscoroutinefunction(found)
    assert found.__doc__.strip()
