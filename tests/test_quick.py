"""`make check` imports no file of which it would run no test."""

from __future__ import annotations

import pytest

from tests.support.quick import left_out

NEEDS = 'pytestmark = pytest.mark.needs("chromium")\n'
SLOW = "pytestmark = pytest.mark.slow\n"
ONE_TEST = '@pytest.mark.needs("chromium")\ndef test_one(): ...\n'


@pytest.mark.parametrize(
    ("text", "process", "slow"),
    [
        (NEEDS, True, True),
        ('pytestmark = [\n    pytest.mark.timeout(9),\n    pytest.mark.needs("docker"),\n]\n', True, True),
        (SLOW, False, True),
        (f"{ONE_TEST}\n\ndef test_another(): ...\n", False, False),
        (f"pytestmark = pytest.mark.timeout(9)\nDOCKER = {NEEDS[13:]}", False, False),
        (f"pytestmark = [\n    pytest.mark.timeout(9),\n]\n{ONE_TEST}", False, False),
    ],
)
def test_the_marks_of_a_file_tell(tmp_path, text, process, slow):
    file = tmp_path / "test_some.py"
    file.write_text(f"import pytest\n\n{text}")
    assert (left_out(file, without_slow=False), left_out(file, without_slow=True)) == (process, slow)


def test_a_folder_is_left_out_with_its_last_file(tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "test_a.py").write_text(NEEDS)
    (tmp_path / "page" / "conftest.py").write_text("")
    assert left_out(tmp_path / "page", without_slow=True)
    (tmp_path / "test_b.py").write_text("")
    assert not left_out(tmp_path, without_slow=True)
    assert not left_out(tmp_path / "page" / "conftest.py", without_slow=True)
