"""`docs/matrix.md`: one cell of its table at a time, so that every test can hold its own."""

from __future__ import annotations

import fcntl

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "matrix.md"
DURABLE = "durable"
"""Property of a test: sandbox, attachment, event and outcome."""


def rows() -> dict[tuple[str, str], list[str]]:
    """The cells of the table, by harness and sandbox, in the order of the columns; in bold what CI runs."""
    return {(cells[0], cells[1]): cells[2:] for cells in map(_cells, _table(PAGE.read_text())[2:])}


def bold(cells: list[str]) -> list[int]:
    """Return the columns of a row that stand in bold."""
    return [column for column, cell in enumerate(cells) if cell.startswith("**")]


def check(harness: str, sandbox: str, column: int, outcome: str) -> None:
    """Fail where the table says something else than `outcome`, after writing it there."""
    with PAGE.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        row = next(line for line in _table(text) if _cells(line)[:2] == [harness, sandbox])
        cells = _cells(row)
        stands = cells[2 + column]
        written = stands.strip("*")
        cells[2 + column] = stands.replace(written, outcome)
        if written != outcome:
            found = f"| {' | '.join([f'`{harness}`', f'`{sandbox}`', *cells[2:]])} |"
            file.seek(0)
            file.truncate()
            file.write(text.replace(row, found))
    assert written == outcome, f"docs/matrix.md said {written!r}; it says {outcome!r} now: look at the difference"


def _table(text: str) -> list[str]:
    return text.partition("<!-- table -->\n")[2].partition("<!-- end of table -->")[0].splitlines()


def _cells(row: str) -> list[str]:
    return [cell.strip().strip("`") for cell in row.strip("|").split("|")]
