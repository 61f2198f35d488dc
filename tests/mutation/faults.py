"""mutmut, driven: the list of faults, and the outcome of each."""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mutmut import configuration
from mutmut.__main__ import _run, copy_src_dir, create_mutants
from mutmut.mutation.data import MutantLineSpans, SourceFileMutationData
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

from tests.mutation.changes import Change, change
from tests.mutation.modules import RELOADED, Module

SOURCES = Path("src/session_widgets")
SKIPPED = next(code for code, status in status_by_exit_code.items() if status == "skipped")
NOTICED = {"killed", "timeout", "segfault"}
BROKEN = 255
"""mutmut could not run the tests; it takes that for a test that took too long."""


class Fault(NamedTuple):
    """A fault that was tried."""

    name: str
    """mutmut's: `mutmut show NAME` prints it."""
    outcome: str
    change: Change

    @property
    def noticed(self) -> bool:
        return self.outcome in NOTICED


def make(module: Module, workers: int) -> None:
    """Configure mutmut for a module, write its faults, and leave out those that `Change.left_out` names."""
    config = configuration.config()
    config.only_mutate = [str(SOURCES / pattern) for pattern in module.sources]
    config.pytest_add_cli_args_test_selection = [
        path if path.startswith("-") else f"tests/{path}" for path in module.tests
    ]
    os.environ[RELOADED] = " ".join(module.reloaded)
    config.also_copy = []  # by mutmut, which would copy thousands of files of Node's
    _copy()
    copy_src_dir()
    create_mutants(workers)
    for data in _files():
        for name, found in _changes(data):
            if found.left_out:
                data.exit_code_by_key[name] = SKIPPED
        data.save()


def _copy() -> None:
    """Have beside the sources what the tests need."""
    for folder in ("tests", "docs"):
        ignored = shutil.ignore_patterns("node_modules", "__pycache__")
        shutil.copytree(folder, f"mutants/{folder}", ignore=ignored, dirs_exist_ok=True)
    shutil.copy("pyproject.toml", "mutants")


def try_all(workers: int) -> None:
    """Try what was not tried; raises `SystemExit` where mutmut gives up."""
    _run((), workers)


def reset() -> None:
    """Have those tried again that nothing noticed but the clock, by the tests that there are now."""
    Path("mutants/mutmut-stats.json").unlink(missing_ok=True)
    for data in _files():
        for name, code in data.exit_code_by_key.items():
            if code != SKIPPED and status_by_exit_code[code] not in NOTICED - {"timeout"}:
                data.exit_code_by_key[name] = None
        data.save()


def results() -> list[Fault]:
    return [
        Fault(name, "broken" if (code := data.exit_code_by_key[name]) == BROKEN else status_by_exit_code[code], found)
        for data in _files()
        for name, found in _changes(data)
    ]


def _files() -> Iterator[SourceFileMutationData]:
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        yield data


def _changes(data: SourceFileMutationData) -> Iterator[tuple[str, Change]]:
    """Each fault of a file by its name."""
    spans = MutantLineSpans.load(data.path)
    assert spans is not None, "mutmut writes it with the faults"
    lines = spans.mutants_path.read_text("utf-8").splitlines(keepends=True)
    errors = {
        node.name
        for node in ast.parse((SOURCES / "errors.py").read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    }

    def source(generated: str) -> str:
        span = spans.span_by_function_name[generated]
        return "".join(lines[span.start - 1 : span.end]).replace(generated, "it", 1)

    for name in data.exit_code_by_key:
        generated = name.rpartition(".")[2]
        function, of = orig_function_and_class_names_from_key(name)
        original = generated.partition("__mutmut_")[0] + "__mutmut_orig"
        found = change(
            str(Path(data.path).relative_to(SOURCES)),
            f"{of}.{function}" if of else function,
            source(original),
            source(generated),
            errors,
        )
        yield name, found
