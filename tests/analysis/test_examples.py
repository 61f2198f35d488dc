"""The examples of the docstrings run."""

from __future__ import annotations

import doctest
from importlib import import_module
from pkgutil import walk_packages

import pytest

from session_widgets import analysis

MODULES = [found.name for found in walk_packages(analysis.__path__, "session_widgets.analysis.")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name):
    assert doctest.testmod(import_module(name)).failed == 0
