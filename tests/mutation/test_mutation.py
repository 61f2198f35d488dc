"""Faults that the mutation tool skips and accepts. The nightly run shows that it finds faults."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from tests.mutation.changes import change
from tests.mutation.modules import MODULES
from tests.mutation.survivors import FILE, KINDS, accepted
from tests.support.paths import ROOT

FUNCTION = """
    def it(self, name):
        # a comment
        LOG.info("looked at %s now", name)
        rows = self.sql("select 1 from t where a")
        self.sql("insert into t values ('a')")
        self.sql("commit")
        assert rows, "there are rows"
        if not name:
            raise NotFound("no such name. " "Look again.", reason="name of it", code=5)
        if len(name) > 5:
            return NotDurable("it is too long", "long")
        return self.find("a b", name)
"""


@pytest.mark.parametrize(
    ("before", "after", "left_out"),
    [
        ("looked at", "LOOKED AT", True),
        ("no such name. ", "XXno such name. XX", True),
        ("Look again.", "look again.", True),
        ("there are rows", "THERE ARE ROWS", True),
        ("it is too long", "IT IS TOO LONG", True),
        ('"no such name. " "Look again."', "None", False),
        ('"long"', '"LONG"', False),
        ("code=5", "code=6", False),
        ("select 1 from t where a", "SELECT 1 FROM T WHERE A", True),
        ("select 1 from", "XXselect 1 from", False),
        ("select 1 from t where a", "select 2 from t where a", False),
        ("insert into t values ('a')", "INSERT INTO T VALUES ('A')", False),
        ("commit", "COMMIT", False),
        ('find("a b"', 'find("A B"', False),
        ("> 5", ">= 5", False),
        ("not name", "name", False),
    ],
)
def test_only_words_of_errors_and_logs_and_the_case_of_sql_are_left_out(
    before: str, after: str, left_out: bool
) -> None:
    assert before in FUNCTION
    found = change("a.py", "A.it", FUNCTION, FUNCTION.replace(before, after), {"NotDurable", "NotFound"})
    assert found.left_out is left_out


def test_a_change_has_a_name_that_moves_with_its_function() -> None:
    found = change("a.py", "A.it", FUNCTION, FUNCTION.replace("> 5", ">= 5"), set())
    assert found.name == "A.it: if len(name) > 5: -> if len(name) >= 5:"
    moved = FUNCTION.replace("# a comment\n", "# a comment\n        pass\n")
    assert change("a.py", "A.it", moved, moved.replace("> 5", ">= 5"), set()).name == found.name


def test_what_is_accepted_has_a_place_and_a_reason() -> None:
    found = [entries for module in MODULES for entries in accepted(module).items()]
    for file, entries in found:
        assert (ROOT / "src/session_widgets" / file).is_file()
        for name, entry in entries.items():
            assert entry.kind in KINDS
            assert entry.reason
            assert " -> " in name
    files = {file for file, _ in found}
    assert files == {line.split('"')[1] for line in FILE.read_text().splitlines() if line.startswith("file = ")}


def test_every_module_has_sources_and_tests() -> None:
    source, tests = ROOT / "src/session_widgets", ROOT / "tests"
    for module in MODULES.values():
        assert all(
            any(fnmatch(str(path.relative_to(source)), one) for path in source.rglob("*.py")) for one in module.sources
        )
        assert all((tests / one).exists() for one in module.tests if not one.startswith("-"))
