"""Many files and large ones go to a cloud and come home again: each byte is compared."""

from __future__ import annotations

import filecmp
import itertools
import random

import pytest

import session_widgets as sw
from session_widgets._sandboxes.clouds import limits
from tests.clouds.journeys import completed, output
from tests.standins.rented import CLOUDS, rented

pytestmark = pytest.mark.needs("boxes")
MB = 1 << 20


@pytest.fixture
def account(request, tmp_path, monkeypatch):
    with rented(request.param, tmp_path / request.param) as account:
        for name, value in account.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
        yield account
        account.check()


WHOLE = [pytest.param(name, 2_500, 200, marks=[pytest.mark.nightly, pytest.mark.timeout(600)]) for name in CLOUDS]


@pytest.mark.parametrize(("account", "count", "size"), [("e2b", 150, 12), *WHOLE], indirect=["account"])
def test_every_byte_goes_there_and_comes_home(account, home, tmp_path, count, size):
    """A third of the bytes are one file, which is sent by itself; the others are small, and go in streams."""
    given = tmp_path / "mine" / "given"
    large = size * MB // 3
    chance = random.Random(7)
    for number in range(count - 1):
        file = given / f"{number % 7}" / f"ünï {number:04}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(chance.randbytes(chance.randrange(2 * (size * MB - large) // count)))
        file.chmod(chance.choice((0o644, 0o600, 0o755)))
    (given / "large.bin").write_bytes(chance.randbytes(large))
    session = sw.open_session("a", sandbox=account.name, workspace=given.parent, permissions="allow_all")
    turn = completed(session.send("run cp -a given came; find given -type f | wc -l"))
    assert output(turn).count(f"{count}\\n") == 1
    there = account.place
    places = [given, there / "given", there / "came", given.parent / "came"]
    assert [differing(one, other) for one, other in itertools.pairwise(places)] == [[], [], []]
    session.delete()


def differing(one, other):
    """Names of files that only one of them has, or that differ in content or mode."""
    names = {path.relative_to(root) for root in (one, other) for path in root.rglob("*") if path.is_file()}
    assert len(names) > 100
    return [
        name
        for name in names
        if not (other / name).is_file()
        or not (one / name).is_file()
        or not filecmp.cmp(one / name, other / name, shallow=False)
        or (one / name).stat().st_mode != (other / name).stat().st_mode
    ]
